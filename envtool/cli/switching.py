"""The commands that realise the environment: `switch` and `build`."""

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.options import UsageError
from envtool.cli.quantities import positive
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.formats.outcomes import Generation
    from envtool.machine.project import Project

__all__ = ["add_commands", "perform_switch"]


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


def perform_switch(
    session: Session, project: "Project", switch: Callable[[], tuple["Generation", bool]]
) -> int:
    """Switch to a generation, new or not, and print it and what came and went."""
    from envtool.cli.render import changes_lines, generation_json, generation_line

    before = session.quiet_workspace().profile(project).current()
    generation, made = switch()
    terminal = session.terminal
    if terminal.json:
        terminal.result_json({"made": made, "generation": generation_json(generation)})
        return 0
    line = generation_line(generation, terminal)
    if before and before.number == generation.number:
        terminal.result(f"nothing to do; {line}")
        return 0
    lines = [line if made else f"switched to {line}", *changes_lines(generation.changes, terminal)]
    if made and generation.number == 1:
        lines.append(_next_steps(session.program(project)))
    terminal.result("\n".join(lines))
    return 0


def _next_steps(program: str) -> str:
    return (
        f"next: `{program} shell`, `{program} run python`, or `envtool kernel install` for Jupyter"
    )


def _run_switch(session: Session, arguments: Namespace) -> int:
    project, workspace, terminal = session.found_project(), session.switching(), session.terminal
    _check_words(arguments)
    if arguments.test:
        _try(session, project)
    if arguments.to is not None:
        from envtool.cli.history import go_to

        return go_to(session, project, arguments.to)
    if not arguments.dry_run:
        return perform_switch(session, project, lambda: workspace.switch(project))
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
    workspace = session.switching()
    path = workspace.build(session.project())
    if session.terminal.json:
        session.terminal.result_json({"path": path.full(), "physical": workspace.physical(path)})
    else:
        session.terminal.result(workspace.physical(path))
    return 0
