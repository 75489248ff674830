"""The help of `envtool run`, whose words are read by hand (`envtool.cli.run`)."""

from argparse import REMAINDER, Namespace

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.isolating import FLAGS, add_isolation
from envtool.cli.options import Options
from envtool.cli.run import run
from envtool.cli.session import Session

__all__ = ["add_run"]


def add_run(commands: "Commands[Parser]") -> None:
    """Add `run`."""
    parser = add_command(
        commands,
        "run",
        _run,
        summary="run one command in the environment",
        text="""
        Becomes the command: its exit code, signals and terminal are its own, and everything
        behind it belongs to it. With no generation yet it makes the first one. A Python script
        with a `# /// script` block runs in the environment that the block declares; with the
        first line `#!/usr/bin/env -S envtool run` it is a program of its own, whatever its name.
        """,
        examples=[
            ("envtool run python -m pytest -q", "a command of the environment"),
            ("envtool -e docs run make html", "in the environment named docs"),
            ("envtool run plot.py", "a script that declares what it needs"),
            ("envtool run --isolated --no-network python -c 'print(42)'", "kept to itself"),
        ],
    )
    add_isolation(parser)
    command = parser.add_argument("command", metavar="CMD", nargs=REMAINDER, help="the command")
    completed_by(command, "commands")


def _run(session: Session, arguments: Namespace) -> int:
    named = vars(arguments)
    asked = [flag for flag in FLAGS if named[flag[2:].replace("-", "_")]]
    return run(Options.of(named), [*asked, *arguments.command], session.terminal)
