"""`envtool print-env`: the change of variables as text, for whoever enters by other means."""

import os
from argparse import Namespace

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.prompt.allowing import lets_in
from envtool.cli.prompt.entering import with_hook
from envtool.cli.session import Session
from envtool.cli.shells import SHELLS, find_shell
from envtool.formats.activation import quoted
from envtool.machine.consent import Consent

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
        before you enter. The declaration's own variables and its hook's are part of it after
        `envtool allow`. Entering twice is entering once.
        """,
        examples=[
            ('eval "$(envtool print-env --shell bash)"', "enter, in the shell you are in"),
            ("envtool print-env --shell fish | source", "the same in fish"),
            ('undo=$(envtool print-env --undo); …; eval "$undo"', "and leave again"),
            ("envtool print-env --json", "for an editor: the change and its undoing"),
        ],
    )
    parser.add_argument(
        "--shell",
        choices=(*SHELLS, "json", "direnv"),
        help="whose language (default: that of $SHELL)",
    )
    parser.add_argument("--undo", action="store_true", help="print what leads back instead")


def _run(session: Session, arguments: Namespace) -> int:
    project = session.project()
    number, record, workspace = session.current(project)
    declared = lets_in(session, workspace, project, record)
    entered = workspace.activation(record, number, project, declared=declared)
    entered = with_hook(entered, record.hook if declared else None, os.environ)
    back, terminal = entered.reverse(os.environ), session.terminal
    if terminal.json or arguments.shell == "json":
        undone = back.shape()
        terminal.result_json(undone if arguments.undo else {**entered.shape(), "undo": undone})
        return 0
    made = back if arguments.undo else entered
    if arguments.shell == "direnv":
        profile, consent = workspace.profile(project), Consent(workspace.settings, project.path)
        watched = (project.path, profile.directory, consent.folder)
        text = f"watch_file {' '.join(quoted(path, 'bash') for path in watched)}\n"
        text += made.render("bash")
    else:
        text = made.render(find_shell(arguments.shell, os.environ)[0])
    # As bytes: a value may hold what no encoding knows.
    terminal.result_bytes(os.fsencode(text))
    return 0
