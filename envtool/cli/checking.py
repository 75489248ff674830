"""`envtool check`: tell what is not there that an environment's packages need."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.render import plural
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.build.checking import Checked
    from envtool.build.importing import Attempt
    from envtool.plan.libraries.completeness import Need

__all__ = ["add_check"]

_LIMIT = 60
_SHOWN = 3


def add_check(commands: "Commands[Parser]") -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "check",
        _run,
        summary="say which shared libraries an environment lacks",
        text="""
        Reads every library and program of the current generation's packages as the dynamic
        loader would, and names what is not there, who needs it, and the Debian package that has
        it. Then imports each top-level module of the packages that the declaration asks for, in
        a process of its own; with an interpreter of envtool's own in a root that holds nothing
        else. Plugins that lack something are counted only; --all names them. The exit code is 1
        if anything is missing that is not a plugin's, or an import fails.
        """,
        examples=[
            ("envtool check", ""),
            ("envtool check --no-import", "only read, run no code of a package"),
            ("envtool check --json", "for a script or CI"),
        ],
    )
    parser.add_argument("--all", action="store_true", help="name what only plugins lack, too")
    parser.add_argument("--no-import", action="store_true", help="import nothing")
    parser.add_argument(
        "--limit",
        type=_seconds,
        default=_LIMIT,
        metavar="SECONDS",
        help=f"longest that an import may take (default: {_LIMIT})",
    )


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise ArgumentTypeError(f"{text!r} is no number of seconds, such as 60")
    return int(text)


def _run(session: Session, arguments: Namespace) -> int:
    limit = None if arguments.no_import else arguments.limit
    checked = session.workspace().check(session.project(), limit=limit)
    if session.terminal.json:
        session.terminal.result_json(_json(checked))
    else:
        session.terminal.result("\n".join(_lines(checked, everything=arguments.all)))
    return 0 if checked.is_complete else 1


def _lines(checked: "Checked", *, everything: bool) -> Iterator[str]:
    from envtool.plan.libraries.completeness import is_driver

    essential = checked.essential
    plugins = [one for one in checked.lacks if one not in essential and not is_driver(one.soname)]
    yield from _lack_lines(checked, essential)
    for attempt in checked.failures:
        yield f"{attempt.package}: import {attempt.module}: {attempt.error}"
        yield from _mend_lines(checked, attempt.soname)
    for attempt in checked.optional:
        who = f"{attempt.package}: {attempt.module}"
        yield f"{who} is for users of {attempt.wants}, which is not here"
    if drivers := sorted({one.soname for one in checked.lacks if is_driver(one.soname)}):
        yield f"of a GPU's driver, which belongs to the host: {', '.join(drivers)}"
    if everything:
        yield from _lack_lines(checked, plugins)
    elif plugins:
        count = len({one.soname for one in plugins})
        them = "that" if count == 1 else "them"
        noun = "library" if count == 1 else "libraries"
        yield f"plugins lack {count} {noun} (envtool check --all names {them})"
    yield _summary(checked)


def _lack_lines(checked: "Checked", lacks: "Sequence[Need]") -> Iterator[str]:
    groups: dict[tuple[str, str, str | None], list[Need]] = {}
    for one in lacks:
        groups.setdefault((one.wheel, one.soname, one.version), []).append(one)
    for (wheel, soname, version), needs in groups.items():
        files = [need.file for need in needs if need.file]
        if version is None:
            yield f"{wheel}: {soname} is missing{_for(files)}"
            yield from _mend_lines(checked, soname)
        else:
            newest = f", only {needs[0].newest}" if needs[0].newest else ""
            yield f"{wheel}: {needs[0].by} has no {version}{newest}{_for(files)}"


def _for(files: Sequence[str]) -> str:
    if not files:
        return ", which it opens by name"
    shown = ", ".join(file.partition("/")[2] for file in files[:_SHOWN])
    more = len(files) - _SHOWN
    return f"; needed by {shown}{f' and {more} more' if more > 0 else ''}"


def _mend_lines(checked: "Checked", soname: str | None) -> Iterator[str]:
    mend = checked.mends.get(soname or "")
    if mend is not None:
        has = f"Debian ({mend.suite}) has it in {mend.package}"
        if mend.declaration is not None:
            has += f"; declare {mend.declaration}, then: envtool switch"
        yield f"  {mend.command or has}"


def _summary(checked: "Checked") -> str:
    parts = [f"{plural(checked.files, 'ELF file')} read"]
    if checked.attempts:
        good = sum(each.error is None for each in checked.attempts)
        where = ", in an empty root" if checked.isolated else ""
        parts.append(f"{good} of {plural(len(checked.attempts), 'module')} imported{where}")
    said = "complete" if checked.is_complete else "not complete"
    return f"{said}: {'; '.join(parts)}"


def _json(checked: "Checked") -> dict[str, Any]:
    return {
        "complete": checked.is_complete,
        "files": checked.files,
        "isolated": checked.isolated,
        "lacks": [_lack_json(checked, one) for one in checked.lacks],
        "imports": [_attempt_json(checked, one) for one in checked.attempts],
    }


def _lack_json(checked: "Checked", one: "Need") -> dict[str, Any]:
    from envtool.plan.libraries.completeness import is_driver

    return {
        "package": one.wheel,
        "file": one.file,
        "soname": one.soname,
        "version": one.version,
        "newest": one.newest,
        "essential": one.essential,
        "driver": is_driver(one.soname),
        "mend": _mend_json(checked, one.soname if one.version is None else None),
    }


def _attempt_json(checked: "Checked", one: "Attempt") -> dict[str, Any]:
    return {
        "package": one.package,
        "module": one.module,
        "error": one.error,
        "soname": one.soname,
        "optional": one in checked.optional,
        "mend": _mend_json(checked, one.soname),
    }


def _mend_json(checked: "Checked", soname: str | None) -> dict[str, Any] | None:
    mend = checked.mends.get(soname or "")
    if mend is None:
        return None
    return {
        "package": mend.package,
        "suite": mend.suite,
        "command": mend.command,
        "declaration": mend.declaration,
    }
