"""The commands that deal with what was before: `generations`, `rollback`."""

from argparse import ArgumentTypeError, Namespace

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.render import generation_json, generation_lines
from envtool.cli.session import Session

__all__ = ["add_commands"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    add_command(
        commands,
        "generations",
        _run_generations,
        summary="list the generations of the environment",
        text="""
        One line for each: number, date, packages added (+), removed (-) and changed (~) against
        the one before, the size of its closure, its Python. The current one has a star.
        """,
        examples=[("envtool generations", ""), ("envtool generations --json", "for a script")],
    )
    parser = add_command(
        commands,
        "rollback",
        _run_rollback,
        summary="go back to an earlier generation",
        text="""
        Makes the generation before the current one, or number N, the current one again, at once
        and without the network. The declaration stays as it is: `envtool switch` goes forward.
        """,
        examples=[("envtool rollback", "one back"), ("envtool rollback 3", "to number 3")],
    )
    number = parser.add_argument(
        "number", metavar="N", nargs="?", type=_number, help="number of a generation"
    )
    completed_by(number, "generations")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ArgumentTypeError(f"expected the number of a generation, not {text!r}")
    return int(text)


def _run_generations(session: Session, arguments: Namespace) -> int:  # noqa: ARG001 - no words
    project, terminal = session.project(), session.terminal
    generations = session.workspace().generations(project)
    if terminal.json:
        terminal.result_json({"generations": [generation_json(one) for one in generations]})
    elif generations:
        terminal.result("\n".join(generation_lines(generations, terminal)))
    else:
        program = session.program(project)
        terminal.result(f"no generations yet; `{program} switch` makes the first one")
    return 0


def _run_rollback(session: Session, arguments: Namespace) -> int:
    project = session.project()
    before, after = session.workspace().rollback(project, arguments.number)
    if session.terminal.json:
        session.terminal.result_json({"from": before, "to": after})
    elif before == after:
        session.terminal.result(f"generation {after} is the current one already")
    else:
        session.terminal.result(
            f"switched from generation {before} to {after}\n"
            f"`{session.program(project)} rollback {before}` leads back to where you were"
        )
    return 0
