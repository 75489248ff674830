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
    from collections.abc import Sequence

    from envtool.plan.auditing import Hit

__all__ = ["add_commands"]

VARIABLE = "ENVTOOL_AUDIT_DATABASE"
PYTHON = "PyPI"
_SHOWN = 4
"""Packages made of one source package that are named."""


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
        named with --database or the variable {VARIABLE}. Of Debian's packages those are asked for
        from which they were built, of their release (Debian:12); databases for Debian are apart
        from those for Python. The exit code is 1 if there are any.
        """,
        examples=[
            ("envtool audit --database osv/PyPI/all.zip", "a zip, as the project publishes it"),
            ("envtool audit --database osv/Debian/all.zip --fixable", "what an upgrade would mend"),
            ("envtool audit --database https://osv.example/all.zip --json", "in CI"),
        ],
    )
    database = parser.add_argument("--database", metavar="PATH", help="path or URL of a database")
    completed_by(database, "files")
    parser.add_argument(
        "--fixable", action="store_true", help="only those that a later version repairs"
    )


def _run_audit(session: Session, arguments: Namespace) -> int:
    database = arguments.database or os.environ.get(VARIABLE)
    if not database:
        raise UsageError(
            "audit needs a database of vulnerabilities",
            hint=f"envtool audit --database PATH, or export {VARIABLE}=PATH",
        )
    terminal = session.terminal
    found = session.workspace().audit(session.project(), database)
    hits = [each for each in found.hits if each.fixed or not arguments.fixable]
    if found.unknown:
        terminal.say(
            f"packages of Debian {', '.join(found.unknown)} are passed over: "
            "databases know releases that have a number"
        )
    if terminal.json:
        shape = {"entries": found.entries, "vulnerabilities": [_json(each) for each in hits]}
        terminal.result_json(shape)
    elif hits:
        terminal.result("\n".join(line for each in hits for line in _lines(each)))
        told = f"{len(hits)} known in {plural(len({each.package for each in hits}), 'package')}"
        following = _following(hits, session.program(session.project()))
        terminal.result("; next: ".join([told, *([following] * bool(following))]))
    elif found.hits:
        terminal.result(f"none of the {len(found.hits)} known has a repair yet")
    else:
        terminal.result(f"none known, by {plural(found.entries, 'entry').replace('ys', 'ies')}")
    return 1 if hits else 0


def _following(hits: "Sequence[Hit]", program: str) -> str:
    """Return the commands that take later versions; none where there are none yet."""
    python = sorted({each.package for each in hits if each.ecosystem == PYTHON})
    found = [f"`{program} upgrade {' '.join(python)}`"] if python else []
    if any(each.fixed for each in hits if each.ecosystem != PYTHON):
        found.append(f"`{program} lock --upgrade`")
    return " and ".join(found)


def _lines(hit: "Hit") -> list[str]:
    known = hit.vulnerability
    names = ", ".join((known.id, *known.aliases))
    fixed = f"fixed in {hit.fixed}" if hit.fixed else "no repair known"
    summary = textwrap.shorten(known.summary, 90, placeholder=" …")
    owner = f"{hit.package} {hit.version}"
    if hit.ecosystem != PYTHON:
        owner += f" ({hit.ecosystem.replace(':', ' ')}: {_listed(hit.binaries)})"
    return [f"{owner}: {names} ({fixed})", *([f"  {summary}"] * bool(summary))]


def _listed(names: "Sequence[str]") -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _json(hit: "Hit") -> dict[str, Any]:
    known = hit.vulnerability
    return {
        "ecosystem": hit.ecosystem,
        "package": hit.package,
        "version": hit.version,
        "id": known.id,
        "aliases": list(known.aliases),
        "summary": known.summary,
        "fixed": hit.fixed,
        "binaries": list(hit.binaries),
    }
