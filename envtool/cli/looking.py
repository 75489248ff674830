"""The commands that look into the environment: `tree` and `why`."""

import difflib
import sys
from argparse import Namespace
from collections.abc import Mapping
from itertools import pairwise
from typing import NoReturn

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.render import package_json, tree_lines
from envtool.cli.session import Session
from envtool.errors import EnvtoolError

__all__ = ["add_commands"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    add_command(
        commands,
        "tree",
        _run_tree,
        summary="show which package requires which",
        text="""
        Draws the locked packages as a tree that hangs from what the declaration asks for, with
        the size of each in the store. A branch that was shown before is marked (*).
        """,
        examples=[("envtool tree", ""), ("envtool tree --json", "for a script")],
    )
    parser = add_command(
        commands,
        "why",
        _run_why,
        summary="say what requires a package",
        text="""
        Shows each chain that leads from a requirement of the declaration down to the package,
        which may be one of Debian that is there for its libraries.
        """,
        examples=[("envtool why six", ""), ("envtool why libgl1", "which wheel needs a library")],
    )
    completed_by(parser.add_argument("name", metavar="NAME", help="name of a package"), "packages")


def _run_tree(session: Session, arguments: Namespace) -> int:  # noqa: ARG001 - it has no words
    packages = session.workspace().tree(session.project())
    if session.terminal.json:
        session.terminal.result_json({"packages": [package_json(one) for one in packages]})
    else:
        unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        session.terminal.result("\n".join(tree_lines(packages, unicode=unicode)) or "no packages")
    return 0


def _run_why(session: Session, arguments: Namespace) -> int:
    workspace, project = session.workspace(), session.project()
    chains = workspace.why(project, arguments.name)
    if not chains:
        _refuse(arguments.name, [package.name for package in workspace.tree(project)])
    asked = workspace.asked_libraries(project)
    if session.terminal.json:
        pairs = dict.fromkeys(pair for chain in chains for pair in pairwise(chain))
        shape = {
            "name": arguments.name,
            "chains": [list(chain) for chain in chains],
            "libraries": [
                {"by": pair[0], "package": pair[1], "sonames": list(asked[pair])}
                for pair in pairs
                if pair in asked
            ],
        }
        session.terminal.result_json(shape)
    else:
        session.terminal.result("\n".join(_chain_text(chain, asked) for chain in chains))
    return 0


def _refuse(name: str, known: list[str]) -> NoReturn:
    near = difflib.get_close_matches(name.lower(), known, 1)
    raise EnvtoolError(
        f"nothing in the declaration leads to a package {name}",
        hint=f"did you mean {near[0]}?" if near else "`envtool tree` shows the packages",
    )


def _chain_text(chain: tuple[str, ...], asked: Mapping[tuple[str, str], tuple[str, ...]]) -> str:
    if len(chain) == 1:
        return f"{chain[0]}: the declaration asks for it"
    shown = [chain[0]]
    for pair in pairwise(chain):
        sonames = f" ({', '.join(asked[pair])})" if pair in asked else ""
        shown.append(f"{pair[1]}{sonames}")
    return " -> ".join(shown)
