"""The command that finds packages before anything is declared: `search`."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.render import table
from envtool.cli.session import Session
from envtool.cli.terminal import size_text
from envtool.errors import DeclarationError

if TYPE_CHECKING:
    from envtool.formats.debian.package import Package
    from envtool.plan.owners import Files, Owner
    from envtool.plan.searching import Packages

__all__ = ["add_commands", "beginnings"]

_SHOWN = 20
_SUITE = "stable"
_WIDEST = 79


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "search",
        _run_search,
        summary="find packages of Debian, and of the package index by exact name",
        text="""
        Lists Debian's packages that have all words in their name or first line, the closest
        first, and what the package index has under exactly this name. With --provides it says which
        package has a shared library or a program. The suite is the declaration's, else stable.
        Debian's indices are fetched once, and looked at for news once a day.
        """,
        examples=[
            ("envtool search graphviz", ""),
            ("envtool search svg convert", "both words"),
            ("envtool search --provides libGL.so.1", "which package has this library"),
            ("envtool search --provides dot", "or this program"),
            ("envtool search --suite bookworm --suite trixie numpy", "in two suites"),
        ],
    )
    words = parser.add_argument(
        "words", metavar="WORD", nargs="*", help="part of a name or summary"
    )
    completed_by(words, "debian packages")
    parser.add_argument("--provides", metavar="NAME", help="library, program, or its path")
    suite = parser.add_argument(
        "--suite", metavar="SUITE", action="append", help="suite of Debian; several may be given"
    )
    completed_by(suite, "suites")
    parser.add_argument(
        "--component",
        metavar="NAME",
        action="append",
        help="component, such as contrib; default main; several may be given",
    )
    parser.add_argument("--all", action="store_true", help=f"show more than {_SHOWN}")
    parser.add_argument("--refresh", action="store_true", help="ask Debian's archive for news now")


def beginnings(session: Session, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield names of packages that begin so, with their suite; of indices that are kept."""
    from envtool.plan.searching import beginnings as names

    yield from names(session.workspace().settings, prefix)


def _run_search(session: Session, arguments: Namespace) -> int:
    from envtool.cli.options import UsageError

    words = [word for each in arguments.words for word in each.split()]
    if bool(words) == (arguments.provides is not None):
        raise UsageError(
            "search needs a word, or --provides with the name of a file",
            hint="envtool search graphviz",
        )
    if arguments.provides is not None:
        return _files(session, arguments)
    return _packages(session, arguments, words)


def _packages(session: Session, arguments: Namespace, words: Sequence[str]) -> int:
    from envtool.plan.searching import search

    terminal, workspace = session.terminal, session.workspace()
    suites, index = _declared(session)
    found = search(
        workspace.settings,
        workspace.reporter,
        words,
        arguments.suite or suites,
        arguments.component or ["main"],
        refresh=arguments.refresh,
        most=None if arguments.all else _SHOWN,
        index=index,
    )
    _tell(session, found.failures)
    if terminal.json:
        terminal.result_json(_packages_json(found))
        return 0
    lines = list(_package_lines(found))
    if found.total > len(found.debian):
        lines.append(f"and {found.total - len(found.debian)} more: add a word, or --all")
    if found.project is not None:
        lines += [""] if lines else []
        lines.append("in the package index:")
        lines += _cut(table([_project_row(found)]))
    if not lines:
        lines = [_nothing(" ".join(words), found.suites), *_near(found.near)]
    terminal.result("\n".join(lines))
    return 0


def _files(session: Session, arguments: Namespace) -> int:
    from envtool.plan.owners import search_files

    terminal, workspace = session.terminal, session.workspace()
    found = search_files(
        workspace.settings,
        workspace.reporter,
        arguments.provides,
        arguments.suite or _declared(session)[0],
        arguments.component or ["main"],
        refresh=arguments.refresh,
    )
    _tell(session, found.failures)
    if terminal.json:
        terminal.result_json(_files_json(found))
        return 0
    lines = [f"in Debian {', '.join(found.suites)}:", *_cut(_owner_rows(found))]
    if not found.owners:
        what = f"a library or program {found.name}"
        lines = [f"no package of Debian {', '.join(found.suites)} has {what}", *_near(found.near)]
    terminal.result("\n".join(lines))
    return 0


def _declared(session: Session) -> tuple[Sequence[str], str | None]:
    """Return the suites and the index of the declaration, as far as there is one."""
    from envtool.formats.declarations.reading import parse
    from envtool.machine.project import read_text

    try:
        project = session.project()
        text = read_text(project.path)
        declaration = parse(
            text, path=project.path, kind=project.kind, environment=project.environment
        )
    except DeclarationError:
        if session.options.file is not None:
            raise
        return (_SUITE,), None
    return declaration.suites or (_SUITE,), declaration.index


def _tell(session: Session, failures: Sequence[str]) -> None:
    for each in failures:
        session.terminal.say(f"note: {each}")


def _package_lines(found: "Packages") -> Iterator[str]:
    if not found.debian:
        return
    yield f"in Debian {', '.join(found.suites)}:"
    several = len(found.suites) > 1
    rows = [
        (
            f"  {each.name}",
            each.version,
            *((each.origin.suite,) if several else ()),
            size_text(each.size),
            size_text(each.unpacked),
            each.summary,
        )
        for each in found.debian
    ]
    at = 3 if several else 2
    yield from _cut(table(rows, right=[at, at + 1]))


def _project_row(found: "Packages") -> tuple[str, str, str]:
    project = found.project
    assert project is not None, "asked only if there is one"
    return f"  {project.name}", project.version, project.summary


def _owner_rows(found: "Files") -> list[str]:
    rows = [
        (
            f"  {each.file.package}",
            each.package.version if each.package else "?",
            each.suite,
            size_text(each.package.size if each.package else None),
            f"/{each.file.path}",
        )
        for each in found.owners
    ]
    return table(rows, right=[3])


def _cut(lines: Sequence[str]) -> list[str]:
    """Return lines no wider than the terminal, where there is one."""
    import shutil
    import sys

    if not sys.stdout.isatty():
        return list(lines)
    width = shutil.get_terminal_size((_WIDEST, 24)).columns
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]


def _nothing(words: str, suites: Sequence[str]) -> str:
    where = f"in Debian {', '.join(suites)} or in the package index" if suites else "that was asked"
    return f"nothing {where} is {words}"


def _near(names: Sequence[str]) -> list[str]:
    return [f"did you mean {' or '.join(names)}?"] if names else []


def _packages_json(found: "Packages") -> dict[str, Any]:
    project = found.project
    return {
        "words": list(found.words),
        "suites": list(found.suites),
        "debian": [_package_json(each) for each in found.debian],
        "total": found.total,
        "index": project
        and {
            "name": project.name,
            "version": project.version,
            "summary": project.summary or None,
        },
        "near": list(found.near),
        "failures": list(found.failures),
    }


def _package_json(package: "Package") -> dict[str, Any]:
    return {
        "name": package.name,
        "version": package.version,
        "architecture": package.architecture,
        "size": package.size,
        "unpacked": package.unpacked,
        "suite": package.origin.suite,
        "component": package.origin.component,
        "summary": package.summary,
    }


def _files_json(found: "Files") -> dict[str, Any]:
    return {
        "file": found.name,
        "suites": list(found.suites),
        "owners": [_owner_json(each) for each in found.owners],
        "near": list(found.near),
        "failures": list(found.failures),
    }


def _owner_json(owner: "Owner") -> dict[str, Any]:
    return {
        "path": f"/{owner.file.path}",
        "name": owner.file.package,
        "suite": owner.suite,
        "package": owner.package and _package_json(owner.package),
    }
