"""`envtool print-env`: the change of variables as text, for whoever enters by other means."""

import os
from argparse import Namespace
from typing import TYPE_CHECKING, cast

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.session import Session
from envtool.cli.shell import SHELLS, find_shell

if TYPE_CHECKING:
    from envtool.formats.activation import Dialect

__all__ = ["add_print_env"]


def add_print_env(commands: "Commands[Parser]") -> None:
    """Add `print-env`."""
    parser = add_command(
        commands,
        "print-env",
        _run,
        summary="print the variables that enter the environment",
        text="""
        Prints what `envtool shell` would change, as text that bash, zsh or fish evaluates, or as
        JSON: what is unset, then set, then put first in a list such as PATH. With --undo it
        prints what leads back from there to the variables of now, to the letter: ask for it
        before you enter. Entering twice is entering once.
        """,
        examples=[
            ('eval "$(envtool print-env --shell bash)"', "enter, in the shell you are in"),
            ("envtool print-env --shell fish | source", "the same in fish"),
            ('undo=$(envtool print-env --undo); …; eval "$undo"', "and leave again"),
            ("envtool print-env --json", "for an editor: the change and its undoing"),
        ],
    )
    parser.add_argument(
        "--shell", choices=(*SHELLS, "json"), help="whose language (default: that of $SHELL)"
    )
    parser.add_argument("--undo", action="store_true", help="print what leads back instead")


def _run(session: Session, arguments: Namespace) -> int:
    project = session.project()
    number, record, workspace = session.current(project)
    entered = workspace.activation(record, number, project)
    back, terminal = entered.reverse(os.environ), session.terminal
    if terminal.json or arguments.shell == "json":
        undone = back.shape()
        terminal.result_json(undone if arguments.undo else {**entered.shape(), "undo": undone})
        return 0
    dialect = cast("Dialect", find_shell(arguments.shell, os.environ)[0])
    text = (back if arguments.undo else entered).render(dialect)
    # As bytes: a value may hold what no encoding knows.
    terminal.result_bytes(os.fsencode(text))
    return 0
