"""The commands that deal with what was before: `generations`, `rollback`, `gc`."""

from argparse import ArgumentTypeError, Namespace

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.render import generation_json, generation_lines, plural
from envtool.cli.session import Session
from envtool.cli.terminal import size_text

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
    _add_gc(commands)


def _add_gc(commands: "Commands[Parser]") -> None:
    parser = add_command(
        commands,
        "gc",
        _run_gc,
        summary="delete what nothing needs any more",
        text="""
        Deletes the store paths that no generation, no running shell or kernel and no other root
        leads to. Generations are roots: every one that is listed can still be gone back to.
        """,
        examples=[("envtool gc --dry-run", "what would be deleted"), ("envtool gc", "delete it")],
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, do nothing")


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


def _run_gc(session: Session, arguments: Namespace) -> int:
    workspace, terminal = session.workspace(), session.terminal
    plan = workspace.gc_plan()
    dead, freed = (plan.dead, plan.freed) if arguments.dry_run else workspace.collect(plan)
    live = plan.live_count + len(plan.dead) - len(dead)
    if terminal.json:
        shown = [{"path": path.full(), "size": size} for path, size in dead]
        shape = {"dry_run": arguments.dry_run, "dead": shown, "live": live}
        terminal.result_json({**shape, "freed": freed})
        return 0
    if arguments.dry_run or terminal.verbose:
        for path, size in dead:
            terminal.result(f"{path}  {size_text(size)}")
    would = "would delete" if arguments.dry_run else "deleted"
    terminal.result(
        f"{would} {plural(len(dead), 'store path')}, {size_text(freed)}; {live} are needed"
    )
    return 0
