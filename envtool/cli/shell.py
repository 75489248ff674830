"""`envtool shell`: enter an environment in a shell, or in any other program."""

import os
from argparse import REMAINDER, Namespace
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.isolating import Isolation, add_isolation, plain_shell, start
from envtool.cli.options import UsageError
from envtool.cli.prompt.allowing import lets_in
from envtool.cli.prompt.entering import with_hook
from envtool.cli.prompt.texts import Shell
from envtool.cli.quantities import positive
from envtool.cli.session import Session
from envtool.cli.shells import SHELLS, enter, find_shell, run_in_shell
from envtool.formats import visit
from envtool.formats.activation import EnvironmentChange, change, compose

if TYPE_CHECKING:
    from envtool.formats.generation import Record
    from envtool.machine.project import Project
    from envtool.workspace.entering import Entering

__all__ = ["add_shell", "enter_generation"]


def add_shell(commands: "Commands[Parser]") -> None:
    """Add `shell`."""
    parser = add_command(
        commands,
        "shell",
        _run_shell,
        summary="enter the environment in a shell",
        text="""
        Starts your shell ($SHELL) with the environment's programs first on PATH, after your own
        start-up files have run. The host's PYTHON* variables are gone inside. The declaration's
        variables and its hook apply once you have said `envtool allow`. The prompt shows
        the environment's name; `exit` leads back. With no generation yet it makes the first one.
        --command starts any other program instead, with the declaration's hook run before it.
        """,
        examples=[
            ("envtool shell", "your own shell"),
            ("envtool shell --shell fish", "another one"),
            ("envtool shell -p numpy 'pandas>=2'", "just these, whatever folder you are in"),
            ("envtool shell --system graphviz -p pydot", "and programs of Debian"),
            ("envtool shell --generation 3", "as it was then; nothing is switched"),
            ("envtool shell --run 'python -V | tee version'", "one line of shell, then back"),
            ("envtool shell --command xonsh", "any other shell, or program"),
        ],
    )
    _add_options(parser)
    add_isolation(parser)


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "--shell", choices=SHELLS, help="which shell (default: $SHELL); --command starts others"
    )
    parser.add_argument(
        "--run", dest="line", metavar="CMD", help="run a line of shell instead of entering"
    )
    command = parser.add_argument(
        "--command",
        metavar="CMD",
        nargs=REMAINDER,
        help="start this program, with all words behind it, instead of a shell",
    )
    completed_by(command, "commands")
    parser.add_argument(
        "-p",
        dest="requirements",
        metavar="REQ",
        nargs="+",
        action="extend",
        default=[],
        help="an environment of just these requirements, without a declaration",
    )
    system = parser.add_argument(
        "--system",
        metavar="PKG",
        nargs="+",
        action="extend",
        default=[],
        help="the same of packages of Debian, such as graphviz; goes with -p",
    )
    completed_by(system, "debian packages")
    number = parser.add_argument(
        "--generation", metavar="N", type=positive, help="another generation than the current one"
    )
    completed_by(number, "generations")


def _check_words(arguments: Namespace) -> None:
    if arguments.command == []:
        raise UsageError("--command needs a program", hint="envtool shell --command xonsh")
    given = {"--run": arguments.line, "--command": arguments.command, "--shell": arguments.shell}
    said = [option for option, word in given.items() if word is not None]
    if arguments.command is not None and len(said) > 1:
        raise UsageError(f"{' and '.join(said)} do not go together", hint="envtool shell --help")


def _run_shell(session: Session, arguments: Namespace) -> NoReturn:
    project, number, record, workspace = _meant(session, arguments)
    isolation = Isolation.of(vars(arguments))
    enter_generation(
        session,
        workspace,
        project,
        (number, record),
        shell=arguments.shell,
        line=arguments.line,
        command=arguments.command,
        isolation=isolation,
    )


def enter_generation(
    session: Session,
    workspace: "Entering",
    project: "Project",
    generation: "tuple[int | None, Record]",
    *,
    shell: Shell | None = None,
    line: str | None = None,
    command: Sequence[str] | None = None,
    isolation: Isolation | None = None,
) -> NoReturn:
    """Replace this process by a shell in a generation, or in a trial, which has no number.

    :param line: what to run instead of entering.
    :param command: the program to become instead of a shell, and its words.
    """
    number, record = generation
    declared = lets_in(session, workspace, project, record)
    entered = workspace.activation(record, number, project, declared=declared)
    if not isolation:
        entered = compose(entered, _with_magics(workspace, project, record))
    # What a prompt has entered it leaves in its own shell; this one is not its.
    entered = compose(entered, change(unset=[visit.VARIABLE]))
    hook = record.hook if declared else None
    session.terminal.flush()
    become = partial(start, workspace=workspace, project=project, record=record)
    if command is not None:
        entered = compose(entered, change(assign={"ENVTOOL_SHELL": record.name}))
        environ = with_hook(entered, hook, os.environ).apply(os.environ)
        become(isolation or Isolation(), command, environ)
    shell, path = find_shell(shell, os.environ)
    system = workspace.system(record)
    if system is not None:
        shell, path = _shell_of(system, shell)
    if shell == "fish" and not isolation:
        entered, hook = with_hook(entered, hook, os.environ), None
    if line is not None and hook:
        line = f"{hook}\n{line}"
    if isolation:
        words, environ = plain_shell(shell, path, record.name, entered.apply(os.environ))
        become(isolation, words if line is None else [path, "-c", line], environ, system=True)
    if system is not None:
        _enter_system(system, f"{workspace.physical(record.environment)}/bin/python")
    if line is not None:
        run_in_shell(line, entered, record.name, shell=shell, path=path, environ=os.environ)
    enter(entered, record.name, shell=shell, path=path, environ=os.environ, hook=hook or "")


def _with_magics(workspace: "Entering", project: "Project", record: "Record") -> EnvironmentChange:
    """Return what lets an IPython of the environment load `%envtool`."""
    from envtool.kernel.entering import terminal_variables

    return change(assign=terminal_variables(workspace, project, record))


def _meant(session: Session, arguments: Namespace) -> "tuple[Project, int, Record, Entering]":
    """Return the project and the generation that the words mean."""
    _check_words(arguments)
    if arguments.requirements or arguments.system:
        if arguments.generation is not None:
            option = "-p" if arguments.requirements else "--system"
            message = f"{option} and --generation do not go together"
            raise UsageError(message, hint="envtool shell --help")
        project = session.made_up(arguments.requirements, arguments.system)
    else:
        project = session.found_project() if _is_entered(arguments) else session.project()
    if arguments.generation is None:
        return project, *session.current(project)
    workspace = session.quiet_workspace()
    return project, *workspace.generation(project, arguments.generation), workspace


def _is_entered(arguments: Namespace) -> bool:
    return arguments.line is None and arguments.command is None


def _shell_of(system: str, wanted: Shell) -> tuple[Shell, str]:
    """Return the shell of a system root: the wanted one if it is there; bash always is."""
    shell: Shell = wanted if os.path.lexists(f"{system}/usr/bin/{wanted}") else "bash"
    return shell, f"/usr/bin/{shell}"


def _enter_system(system: str, python: str) -> None:
    # Imported now: afterwards the host's /usr is out of sight, and perhaps this Python's library.
    import tempfile  # noqa: F401

    import envtool.cli.failure  # noqa: F401
    from envtool.machine.isolating.system import enter_system

    enter_system(system, python)
