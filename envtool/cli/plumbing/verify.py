"""Checking the store and putting it right: `store verify`."""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.options import UsageError
from envtool.cli.plumbing.places import Asked
from envtool.cli.plumbing.shown import show
from envtool.cli.progress import Progress
from envtool.cli.render import plural
from envtool.cli.session import Session
from envtool.cli.terminal import size_text
from envtool.errors import DatabaseError

if TYPE_CHECKING:
    from envtool.build.repair import Outcome
    from envtool.machine.mending.problem import Problem
    from envtool.machine.mending.recover import Recovered
    from envtool.machine.store import Store
    from envtool.reporting import Reporter

__all__ = ["add_commands"]

_MOST_UNKNOWN = 5


def add_commands(family: "Commands[Parser]") -> None:
    """Add the command of this theme."""
    parser = add_command(
        family,
        "verify",
        _run_verify,
        summary="check the store, and repair what is damaged",
        text="""
        Compares the database with itself, with the store directory and with the links of all
        generations. With --contents, and for each PATH, objects are read whole: hashes, modes,
        times, owners, derivations. The exit code is 1 when something is wrong and stays wrong;
        files that nobody knows are told of, but do no harm.

        With --repair what is damaged or missing is fetched, unpacked, built or composed again,
        and takes the place of the damaged object in one step: programs that run go on. A
        database that cannot be read is made again from the store; the old one is kept beside it.
        """,
        examples=[
            ("envtool store verify", "is anything missing?"),
            ("envtool store verify --contents --repair", "read everything, mend what is broken"),
            ("envtool store verify --repair default", "only this generation's object"),
            ("envtool store verify --repair --from data/ 0c5b8vw4", "here is the original"),
        ],
    )
    paths = parser.add_argument(
        "paths", metavar="PATH", nargs="*", help="check these (default: the whole store)"
    )
    completed_by(paths, "store paths")
    parser.add_argument("--contents", action="store_true", help="read and hash every object")
    parser.add_argument("--repair", action="store_true", help="put right what is wrong")
    originals = parser.add_argument(
        "--from",
        metavar="FILE",
        dest="originals",
        action="append",
        default=[],
        help="a file or folder that a damaged source may be copied from",
    )
    completed_by(originals, "files")


def _run_verify(session: Session, arguments: Namespace) -> int:

    if arguments.originals and not arguments.repair:
        raise UsageError("--from says what to repair from", hint="give --repair, too")
    asked, store = Asked(session), session.workspace().store
    progress = Progress(session.terminal)
    problems, recovered = _checked(asked, store, progress, arguments)
    outcomes: dict[tuple[str, str], Outcome] = {}
    if arguments.repair and any(problem.harms for problem in problems):
        from envtool.build.repair import repair

        done = repair(store, problems, progress, originals=arguments.originals)
        outcomes = {(each.problem.kind, each.problem.name): each for each in done}
        known = {(problem.kind, problem.name) for problem in problems}
        problems += [each.problem for key, each in outcomes.items() if key not in known]
    sizes = store.database.sizes()
    # What was repaired may have made a stranger one of ours.
    problems = [each for each in problems if each.harms or each.name not in sizes]
    left = [each for each in problems if each.harms and not _is_done(each, outcomes)]
    checked = asked.paths(arguments.paths) if arguments.paths else list(sizes)
    shape = {
        "contents": arguments.contents or bool(arguments.paths),
        "checked": len(checked),
        "size": sum(sizes.get(path, 0) for path in checked),
        "database": _recovered_json(recovered),
        "problems": [_problem_json(each, outcomes) for each in problems],
        "left": len(left),
    }
    lines = [
        *_recovered_lines(recovered),
        *_lines(problems, outcomes),
        _summary(shape, problems, left),
    ]
    show(asked, shape, lines)
    return 1 if left else 0


def _checked(
    asked: Asked, store: "Store", progress: "Reporter", arguments: Namespace
) -> "tuple[list[Problem], Recovered | None]":
    """Return the problems, after the database was made again if that was needed and wanted."""

    def check() -> "list[Problem]":
        from envtool.machine.mending.verify import verify

        paths = asked.paths(arguments.paths) if arguments.paths else None
        contents = arguments.contents or paths is not None
        return verify(store, contents=contents, paths=paths, reporter=progress)

    try:
        problems = check()
        if not arguments.repair or all(problem.kind != "database" for problem in problems):
            return problems, None
    except DatabaseError:
        if not arguments.repair:
            raise
    from envtool.machine.mending.recover import rebuild

    recovered = rebuild(store, progress, on_wait=asked.session.terminal.say)
    return check(), recovered


def _is_done(problem: "Problem", outcomes: "dict[tuple[str, str], Outcome]") -> bool:
    outcome = outcomes.get((problem.kind, problem.name))
    return outcome is not None and outcome.done is not None


def _problem_json(problem: "Problem", outcomes: "dict[tuple[str, str], Outcome]") -> dict[str, Any]:
    outcome = outcomes.get((problem.kind, problem.name))
    return {
        "kind": problem.kind,
        "name": problem.name,
        "message": problem.message,
        "repaired": outcome.done if outcome else None,
        "reason": outcome.reason or None if outcome else None,
        "hint": outcome.hint if outcome else problem.hint,
    }


def _recovered_json(recovered: "Recovered | None") -> dict[str, Any] | None:
    if recovered is None:
        return None
    return {
        "kept": recovered.kept,
        "believed": recovered.believed,
        "proven": recovered.proven,
        "left": [path.full() for path in recovered.left],
    }


def _recovered_lines(recovered: "Recovered | None") -> Iterator[str]:

    if recovered is not None:
        rows = plural(recovered.believed, "store path")
        proven = f"{recovered.proven} by what they are"
        yield f"the database was made again: {rows} by rows that could be read, {proven}"
        if recovered.left:
            yield (
                f"{plural(len(recovered.left), 'object')} cannot be believed and will be realised "
                "again when wanted"
            )
        if recovered.kept is not None:
            yield f"the damaged one is kept: {recovered.kept}"


def _lines(
    problems: "Iterable[Problem]", outcomes: "dict[tuple[str, str], Outcome]"
) -> Iterator[str]:
    harmful = [problem for problem in problems if problem.harms]
    width = max((len(problem.kind) for problem in harmful), default=0)
    for problem in harmful:
        yield f"{problem.kind:<{width}}  {problem.message}"
        yield from _outcome_lines(problem, outcomes.get((problem.kind, problem.name)), width)
    unknown = [problem for problem in problems if not problem.harms]
    yield from _unknown_lines(unknown)


def _outcome_lines(problem: "Problem", outcome: "Outcome | None", width: int) -> Iterator[str]:
    margin = " " * (width + 2)
    if outcome is not None and outcome.done is not None:
        yield f"{margin}repaired: {outcome.done}"
        return
    if outcome is not None:
        yield f"{margin}not repaired: {outcome.reason}"
    hint = problem.hint if outcome is None else outcome.hint
    if hint is not None:
        yield f"{margin}hint: {hint}"


def _unknown_lines(unknown: "Sequence[Problem]") -> Iterator[str]:
    if unknown:
        named = ", ".join(problem.name for problem in unknown[:_MOST_UNKNOWN])
        more = ", …" if len(unknown) > _MOST_UNKNOWN else ""
        yield (
            f"{plural(len(unknown), 'name')} in the store directory, of nothing registered: "
            f"{named}{more}"
        )
        yield "hint: envtool gc deletes what nobody needs"


def _summary(
    shape: dict[str, Any], problems: "Sequence[Problem]", left: "Sequence[Problem]"
) -> str:

    count = plural(shape["checked"], "store path")
    read = f"{count}, {size_text(shape['size'])}" if shape["contents"] else count
    harmful = sum(problem.harms for problem in problems)
    if not harmful:
        unread = "" if shape["contents"] else "; contents were not read (--contents)"
        return f"{read}: nothing is wrong{unread}"
    repaired = f", {harmful - len(left)} repaired" if harmful > len(left) else ""
    return f"{read}: {plural(harmful, 'problem')}{repaired}"
