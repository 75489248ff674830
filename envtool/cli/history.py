"""The commands that deal with what was before: `generations`, `diff`, `rollback`."""

from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.options import UsageError
from envtool.cli.quantities import age, positive
from envtool.cli.render import (
    changes_json,
    changes_lines,
    counts_text,
    generation_json,
    generation_lines,
)
from envtool.cli.session import Session
from envtool.cli.terminal import size_text
from envtool.errors import EnvtoolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envtool.machine.collecting.retention import Retention
    from envtool.machine.project import Project
    from envtool.workspace.workspace import Workspace

__all__ = ["add_commands", "go_to"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    _add_generations(commands)
    _add_diff(commands)
    _add_rollback(commands)


def _add_generations(commands: "Commands[Parser]") -> None:
    generations = add_command(
        commands,
        "generations",
        _run_generations,
        summary="list the generations of the environment",
        text="""
        One line for each: number, date, what is added (+), removed (-) and changed (~) against the
        one before (packages, the interpreter, packages of Debian), the size of its closure, its
        Python, and whether shells, kernels or other processes are in it. The current one has a
        star.
        """,
        examples=[("envtool generations", ""), ("envtool generations --json", "for a script")],
    )
    _add_delete(generations)


def _add_diff(commands: "Commands[Parser]") -> None:
    parser = add_command(
        commands,
        "diff",
        _run_diff,
        summary="show what changed between two generations",
        text="""
        Shows the packages that came (+), went (-) or changed (~) from generation A to generation B:
        by default from the one before the current one to the current one; and how large their
        closures are. The interpreter and packages of Debian are among them; of what came or went
        only because another package of Debian needs it, -v says the names.
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


def _add_rollback(commands: "Commands[Parser]") -> None:
    parser = add_command(
        commands,
        "rollback",
        _run_rollback,
        summary="go back to an earlier generation",
        text="""
        Makes the generation before the current one, or number N, the current one again, at once
        and without the network. It stays there: `run`, `shell` and kernels use it until you
        `envtool switch` forward, or `add`, `remove` or `upgrade`. The declaration stays as it is,
        unless --files brings that and the lock back as they were.
        """,
        examples=[
            ("envtool rollback", "one back"),
            ("envtool rollback 3", "to number 3"),
            ("envtool rollback --files", "with declaration and lock, to go on from there"),
        ],
    )
    parser.add_argument(
        "--files", action="store_true", help="restore that generation's declaration and lock, too"
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
    workspace = session.workspace()
    generations = workspace.generations(project)
    if terminal.json:
        listed = [generation_json(one) for one in generations]
        terminal.result_json({"generations": listed, "differs": _differs(workspace, project)})
    elif generations:
        terminal.result("\n".join(generation_lines(generations, terminal)))
    else:
        session.check_environment(project)
        program = session.program(project)
        terminal.result(f"no generations yet; `{program} switch` makes the first one")
    return 0


def _differs(workspace: "Workspace", project: "Project") -> str | None:
    """Return how what is declared differs from the current generation; None when it does not."""
    from envtool.kernel.drift import difference

    current = workspace.profile(project).current()
    if current is None:
        return None
    try:
        return difference(workspace, project, current, workspace.record(current.path))
    except EnvtoolError as error:
        return error.message


def _run_diff(session: Session, arguments: Namespace) -> int:
    project, terminal = session.project(), session.terminal
    workspace = session.workspace()
    before, after, changes = workspace.difference(project, arguments.before, arguments.after)
    sizes = workspace.sizes(project, [before, after])
    if terminal.json:
        shape: dict[str, object] = {
            "before": before,
            "after": after,
            "changes": changes_json(changes),
        }
        shape["sizes"] = {"before": sizes[0], "after": sizes[1]}
        terminal.result_json(shape)
    else:
        if before == after and arguments.before is None:
            terminal.result(f"generation {after} has none before it to compare it with")
            return 0
        line = f"generation {before} to {after}: {counts_text(changes)}, {size_text(sizes[0])}"
        line += f" to {size_text(sizes[1])}" if sizes[0] != sizes[1] else ""
        terminal.result("\n".join([line, *changes_lines(changes, terminal)]))
    return 0


def _run_rollback(session: Session, arguments: Namespace) -> int:
    return go_to(session, session.project(), arguments.number, files=arguments.files)


def go_to(session: Session, project: "Project", number: int | None, *, files: bool = False) -> int:
    """Make a generation (the one before, if None) the current one, and tell."""
    workspace, terminal = session.workspace(), session.terminal
    if files:
        workspace.check_files(project)
    before, after = workspace.rollback(project, number)
    written = workspace.restore_files(project) if files else []
    if terminal.json:
        terminal.result_json({"from": before, "to": after, "files": written})
        return 0
    lines = [f"generation {after} is the current one already"]
    if before != after:
        lines = [
            f"switched from generation {before} to {after}",
            f"`{session.program(project)} rollback {before}` leads back to where you were",
        ]
    terminal.result("\n".join([*lines, *(f"restored {path}" for path in written)]))
    return 0


def _add_delete(generations: Parser) -> None:
    below = generations.add_subparsers(
        metavar="COMMAND", title="commands", prog=generations.prog, parser_class=Parser
    )
    parser = add_command(
        below,
        "delete",
        _run_delete,
        summary="delete generations of the environment",
        text="""
        Deletes those you name, as nix-env has it: numbers; `old`, all but the current one; `+5`,
        all but the five newest; `30d`, those of more than 30 days ago, but for the one that was
        current then. The current one always stays, and numbers are not given anew. What nothing
        leads to any more goes with the next `envtool gc`.
        """,
        examples=[
            ("envtool generations delete 3 4", ""),
            ("envtool generations delete +5", "keep the five newest"),
            ("envtool generations delete 30d --dry-run", "what would go"),
        ],
    )
    which = parser.add_argument(
        "which", metavar="WHICH", nargs="+", help="old, +N, AGE, or numbers"
    )
    completed_by(which, "generations")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, do nothing")


def _run_delete(session: Session, arguments: Namespace) -> int:
    project, workspace, dry_run = session.project(), session.workspace(), arguments.dry_run
    retention = _retention(arguments.which)
    if retention is None:
        numbers = [positive_word(word) for word in arguments.which]
        gone = workspace.delete_generations(project, numbers, dry_run=dry_run)
    else:
        gone = workspace.prune(retention, project, dry_run=dry_run)
    if session.terminal.json:
        listed = [
            {"declaration": one.declaration, "environment": one.environment, "number": one.number}
            for one in gone
        ]
        session.terminal.result_json({"dry_run": dry_run, "generations": listed})
        return 0
    would = "would delete" if dry_run else "deleted"
    named = ", ".join(str(one.number) for one in gone)
    noun = "generation" if len(gone) == 1 else "generations"
    session.terminal.result(f"{would} {noun} {named}" if gone else "no generation to delete")
    return 0


def _retention(words: "Sequence[str]") -> "Retention | None":
    """Return what the one word that is no number means; None when all are numbers."""
    from envtool.machine.collecting.retention import Retention

    if all(word.isdigit() for word in words):
        return None
    if len(words) > 1:
        raise UsageError(
            "expected numbers only, or one of old, +N, AGE",
            hint="envtool generations delete --help",
        )
    try:
        if words[0] == "old":
            return Retention()
        if words[0].startswith("+"):
            return Retention(keep=positive(words[0][1:]))
        return Retention(older_than=age(words[0]))
    except ArgumentTypeError as error:
        raise UsageError(
            f"expected old, +N, an age such as 30d, or numbers of generations, not {words[0]!r}",
            hint="envtool generations delete --help",
        ) from error


def positive_word(word: str) -> int:
    """Return the number of a generation that a word spells.

    :raises UsageError: it spells none.
    """
    try:
        return _number(word)
    except ArgumentTypeError as error:
        raise UsageError(str(error), hint="envtool generations delete --help") from error
