"""The words of the commands that realise the environment: `switch` and `build`."""

from argparse import Namespace
from typing import TYPE_CHECKING, NoReturn

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.options import UsageError
from envtool.cli.quantities import positive
from envtool.cli.realising import build, switch
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.machine.project import Project

__all__ = ["add_commands"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    parser = add_command(
        commands,
        "switch",
        _run_switch,
        summary="realise what is declared and make it the current generation",
        text="""
        Locks if the declaration moved on, fetches and builds what the store lacks, and switches
        the project to the new environment in one atomic step. The generations before it stay
        and can be gone back to. With nothing changed it does nothing.
        """,
        examples=[
            ("envtool switch", ""),
            ("envtool switch --dry-run", "what would be fetched, built and changed, in bytes"),
            ("envtool switch --test", "try it in a shell; exit, and all is as before"),
            ("envtool switch --to 3", "to generation 3, as `envtool rollback 3`"),
            ("envtool --offline switch", "only with what is in the store"),
        ],
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, do nothing")
    number = parser.add_argument(
        "--to", metavar="N", type=positive, help="make generation N the current one instead"
    )
    completed_by(number, "generations")
    parser.add_argument(
        "--test", action="store_true", help="enter it in a shell, and make no generation of it"
    )
    add_command(
        commands,
        "build",
        _run_build,
        summary="realise the environment and print its path, without switching",
        text="""
        Prints the path of the environment, which holds bin/python, and nothing else on stdout.
        It stays in the store until `envtool gc` finds that nothing needs it.
        """,
        examples=[
            ("envtool build", ""),
            ('"$(envtool build)"/bin/python -V', "use it without entering"),
        ],
    )


def _run_switch(session: Session, arguments: Namespace) -> int:
    _check_words(arguments)
    if not (arguments.test or arguments.dry_run or arguments.to is not None):
        return switch(session)
    project, workspace, terminal = session.found_project(), session.switching(), session.terminal
    if arguments.test:
        _try(session, project)
    if arguments.to is not None:
        from envtool.cli.history import go_to

        return go_to(session, project, arguments.to)
    from envtool.cli.render import plan_json, plan_lines

    plan = workspace.plan(project)
    if terminal.json:
        terminal.result_json(plan_json(plan))
    else:
        terminal.result("\n".join(plan_lines(plan, terminal)))
    return 0


def _check_words(arguments: Namespace) -> None:
    if [arguments.to is not None, arguments.test, arguments.dry_run].count(True) > 1:
        raise UsageError(
            "--to, --test and --dry-run do not go together", hint="envtool switch --help"
        )


def _try(session: Session, project: "Project") -> NoReturn:
    """Enter what is declared without making a generation of it."""
    from envtool.cli.shell import enter_generation

    workspace = session.switching()
    record = workspace.trial(project)
    enter_generation(session, workspace, project, (None, record))


def _run_build(session: Session, arguments: Namespace) -> int:  # noqa: ARG001 - it has no words
    return build(session)
