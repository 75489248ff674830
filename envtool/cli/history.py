"""The commands that deal with what was before: `generations`, `diff`, `rollback`."""

from argparse import ArgumentTypeError, Namespace

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.render import (
    changes_json,
    changes_lines,
    counts_text,
    generation_json,
    generation_lines,
)
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
        "diff",
        _run_diff,
        summary="show what changed between two generations",
        text="""
        Shows the packages that came (+), went (-) or changed (~) from generation A to generation B:
        by default from the one before the current one to the current one.
        """,
        examples=[
            ("envtool diff", "what the last step changed"),
            ("envtool diff 2", "from generation 2 to the current one"),
            ("envtool diff 2 5", ""),
        ],
    )
    for name, letter in (("before", "A"), ("after", "B")):
        number = parser.add_argument(
            name, metavar=letter, nargs="?", type=_number, help="number of a generation"
        )
        completed_by(number, "generations")
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


def _run_diff(session: Session, arguments: Namespace) -> int:
    project, terminal = session.project(), session.terminal
    before, after, changes = session.workspace().difference(
        project, arguments.before, arguments.after
    )
    if terminal.json:
        shape = {"before": before, "after": after, "changes": changes_json(changes)}
        terminal.result_json(shape)
    else:
        line = f"generation {before} to {after}: {counts_text(changes)}"
        terminal.result("\n".join([line, *changes_lines(changes, terminal)]))
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
