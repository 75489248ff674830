"""To and from other tools: `export`, and what `init --from` takes over."""

import os
from argparse import Namespace
from typing import TYPE_CHECKING

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.plan.exporting import ExportForm

__all__ = ["add_commands", "taken_over"]

FORMS: "dict[ExportForm, str]" = {
    "requirements": "pip's requirements.txt with hashes",
    "pylock": "pylock.toml (PEP 751), of a notebook too",
    "environment": "conda's environment.yml",
    "dockerfile": "a Dockerfile that needs nothing beside it",
    "cyclonedx": "a bill of materials, CycloneDX 1.6 in JSON",
}


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    parser = add_command(
        commands,
        "export",
        _run_export,
        summary="write the lock in the form of another tool",
        text="""
        Prints the locked packages, all of them at their versions, for those who do not have
        envtool; or writes them to a file with -o, and says what the form has no words for. The lock
        has to answer the declaration.
        Forms: requirements (by default), pylock, environment, dockerfile, cyclonedx.
        """,
        examples=[
            ("envtool export -o requirements.txt", "with hashes, for pip"),
            ("envtool export --format dockerfile -o Dockerfile", "an image of the same packages"),
            ("envtool export --format cyclonedx -o bom.json", "a bill of materials"),
            ("envtool -f analysis.ipynb export --format pylock", "a notebook's lock as a file"),
        ],
    )
    parser.add_argument(
        "--format",
        dest="form",
        metavar="FORM",
        choices=list(FORMS),
        default="requirements",
        help=", ".join(FORMS),
    )
    parser.add_argument("--no-hashes", action="store_true", help="requirements without hashes")
    output = parser.add_argument("-o", "--output", metavar="FILE", help="write to FILE instead")
    completed_by(output, "files")


def taken_over(
    origin: str, name: str, asked: str | None, own: str, folder: str
) -> tuple[str, tuple[str, ...]]:
    """Return the declaration that takes over from another tool's file, and what was left of it.

    `asked` is the Python that the user named and `own` the one that holds if nobody did;
    `folder` is where the declaration will lie.
    """
    from envtool.plan.carrying import carry, declare
    from envtool.values import replace

    carried = carry(origin)
    place = origin if os.path.isdir(origin) else os.path.dirname(origin)
    projects = tuple(
        (os.path.relpath(os.path.join(place, path), folder), editable)
        for path, editable in carried.projects
    )
    carried = replace(carried, projects=projects, python=asked or carried.python)
    return declare(name, carried, own, folder)


def _run_export(session: Session, arguments: Namespace) -> int:
    project, terminal = session.project(), session.terminal
    hashes = not arguments.no_hashes
    text, left = session.workspace().export(project, arguments.form, hashes=hashes)
    for line in left:
        terminal.say(f"not carried over: {line}")
    if arguments.output:
        from envtool.machine.project import write_declaration

        write_declaration(os.path.abspath(arguments.output), text)
    if terminal.json:
        shown = None if arguments.output else text
        shape = {"format": arguments.form, "file": arguments.output, "text": shown}
        terminal.result_json({**shape, "left": list(left)})
    elif arguments.output:
        terminal.result(f"wrote {arguments.output}")
    else:
        terminal.result(text.removesuffix("\n"))
    return 0
