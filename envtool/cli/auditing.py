"""The command that knows of vulnerabilities: `audit`."""

import os
import textwrap
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.options import UsageError
from envtool.cli.render import plural
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.plan.auditing import Hit

__all__ = ["add_commands"]

VARIABLE = "ENVTOOL_AUDIT_DATABASE"


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    parser = add_command(
        commands,
        "audit",
        _run_audit,
        summary="say which packages have known vulnerabilities",
        text=f"""
        Holds the packages of the current generation, or of the lock, against a database in the
        Open Source Vulnerability format: a zip, folder or file of entries, by path or URL. It is
        named with --database or the variable {VARIABLE}. The exit code is 1 if there are any.
        """,
        examples=[
            ("envtool audit --database osv/PyPI/all.zip", "a zip, as the project publishes it"),
            ("envtool audit --database https://osv.example/all.zip --json", "in CI"),
        ],
    )
    database = parser.add_argument("--database", metavar="PATH", help="path or URL of a database")
    completed_by(database, "files")


def _run_audit(session: Session, arguments: Namespace) -> int:
    database = arguments.database or os.environ.get(VARIABLE)
    if not database:
        raise UsageError(
            "audit needs a database of vulnerabilities",
            hint=f"envtool audit --database PATH, or export {VARIABLE}=PATH",
        )
    terminal = session.terminal
    found = session.workspace().audit(session.project(), database)
    if terminal.json:
        shape = {"entries": found.entries, "vulnerabilities": [_json(each) for each in found.hits]}
        terminal.result_json(shape)
    elif found.hits:
        terminal.result("\n".join(line for each in found.hits for line in _lines(each)))
        names = {each.package for each in found.hits}
        told = f"{len(found.hits)} known in {plural(len(names), 'package')}"
        program = session.program(session.project())
        terminal.result(f"{told}; next: `{program} upgrade {' '.join(sorted(names))}`")
    else:
        terminal.result(f"none known, by {plural(found.entries, 'entry').replace('ys', 'ies')}")
    return 1 if found.hits else 0


def _lines(hit: "Hit") -> list[str]:
    known = hit.vulnerability
    names = ", ".join((known.id, *known.aliases))
    fixed = f"fixed in {hit.fixed}" if hit.fixed else "no repair known"
    summary = textwrap.shorten(known.summary, 90, placeholder=" …")
    return [f"{hit.package} {hit.version}: {names} ({fixed})", *([f"  {summary}"] * bool(summary))]


def _json(hit: "Hit") -> dict[str, Any]:
    known = hit.vulnerability
    return {
        "package": hit.package,
        "version": hit.version,
        "id": known.id,
        "aliases": list(known.aliases),
        "summary": known.summary,
        "fixed": hit.fixed,
    }
