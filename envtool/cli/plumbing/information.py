"""What is known about a store path: `store path-info`, `deriver`, `log`, `diff-closures`."""

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.plumbing.places import Asked, take_path, take_paths
from envtool.cli.plumbing.shown import log_text, path_json, show
from envtool.cli.session import Session
from envtool.machine.asking import queries

if TYPE_CHECKING:
    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.asking.differences import Difference
    from envtool.machine.database import PathInfo

__all__ = ["add_commands"]

_UNKNOWN = "unknown-deriver"
"""As Nix says it."""
_SMALL = 8 * 1024
"""Growth below this is not worth a line (Nix's `diff-closures.cc`)."""


def add_commands(family: "Commands[Parser]") -> None:
    """Add the commands of this theme."""
    parser = add_command(
        family,
        "path-info",
        _run_info,
        summary="show what is registered about store paths",
        text="""
        In the form of a .narinfo file: the hash and size of the NAR in bytes, the references,
        the derivation that it was realised from, how its contents lead to its path, signatures.
        """,
        examples=[
            ("envtool store path-info default", ""),
            ("envtool store path-info -s default", "with the bytes of the whole closure"),
            ("envtool store path-info -r --json default", "everything it needs, for a script"),
        ],
    )
    take_paths(parser)
    parser.add_argument("-r", "--recursive", action="store_true", help="everything it needs too")
    parser.add_argument(
        "-s", "--closure-size", action="store_true", help="the size of each one's closure too"
    )
    parser = add_command(
        family,
        "deriver",
        _run_deriver,
        summary="show the derivations that store paths were realised from",
        text=f"""
        One .drv path to a line; {_UNKNOWN} for what was added as it is. The derivation says
        how to realise the path again.
        """,
        examples=[("envtool store deriver default/environment", "")],
    )
    take_paths(parser)
    _add_log(family)
    _add_diff(family)


def _add_log(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "log",
        _run_log,
        summary="print the log of a build",
        text="""
        What the builder of PATH printed, or of the outputs of a .drv, whether it succeeded or
        not. Only packages that are built from source have one.
        """,
        examples=[
            ("envtool store log 0c5b8vw4", ""),
            ("envtool store log /envtool/store/…-demo-1.0.drv", "of a build that failed"),
        ],
    )
    take_path(parser)


def _add_diff(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "diff-closures",
        _run_diff,
        summary="show what changed between two closures",
        text="""
        A line for each name whose versions, or sizes by 8 KiB and more, differ between what
        BEFORE and AFTER need: ∅ is no version at all, ε one without a number. JSON has every
        name that differs.
        """,
        examples=[
            ("envtool store diff-closures default@3 default", "since generation 3"),
            ("envtool store diff-closures ./result-old ./result", ""),
        ],
    )
    take_path(parser, "before", metavar="BEFORE")
    take_path(parser, "after", metavar="AFTER")


def _run_info(session: Session, arguments: Namespace) -> int:
    asked = Asked(session)
    paths: Sequence[StorePath] = asked.paths(arguments.paths)
    sizes: Mapping[StorePath, int] = {}
    if arguments.recursive:
        own = queries.closure(asked.database, paths)
        if arguments.closure_size:
            sizes = queries.closure_sizes(asked.database.requisites(paths), own)
        paths = list(own)
    elif arguments.closure_size:
        sizes = {path: queries.closure_size(asked.database, path) for path in paths}
    infos = asked.database.infos(paths)
    if session.terminal.json:
        told = [_info_json(asked, infos[path], sizes.get(path)) for path in paths]
        return show(asked, {"paths": told}, [])
    lines: list[str] = []
    for path in paths:
        lines += [""] * bool(lines)
        lines += _info_lines(infos[path], sizes.get(path))
    return show(asked, {}, lines)


def _info_lines(info: "PathInfo", closure_size: int | None) -> Iterator[str]:
    yield f"StorePath: {info.path.full()}"
    yield f"NarHash: {info.nar_hash}"
    yield f"NarSize: {info.nar_size}"
    if closure_size is not None:
        yield f"ClosureSize: {closure_size}"
    yield f"References: {' '.join(sorted(info.references))}".rstrip()
    if info.deriver is not None:
        yield f"Deriver: {info.deriver}"
    for signature in info.signatures:
        yield f"Sig: {signature}"
    if info.ca is not None:
        yield f"CA: {info.ca}"


def _info_json(asked: Asked, info: "PathInfo", closure_size: int | None) -> dict[str, Any]:
    import time

    registered = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(info.registration_time))
    shape = path_json(
        asked,
        info.path,
        nar_hash=info.nar_hash.sri,
        nar_size=info.nar_size,
        references=[each.full() for each in sorted(info.references)],
        deriver=_full(info.deriver),
        ca=info.ca,
        ultimate=info.ultimate,
        registered=registered,
        signatures=list(info.signatures),
    )
    return shape if closure_size is None else {**shape, "closure_size": closure_size}


def _run_deriver(session: Session, arguments: Namespace) -> int:
    asked = Asked(session)
    paths = asked.paths(arguments.paths)
    infos = asked.database.infos(paths)
    derivers = [infos[path].deriver for path in paths]
    told = [
        path_json(asked, path, deriver=_full(deriver))
        for path, deriver in zip(paths, derivers, strict=True)
    ]
    lines = [_UNKNOWN if each is None else asked.physical(each) for each in derivers]
    return show(asked, {"paths": told}, lines)


def _full(path: "StorePath | None") -> str | None:
    return None if path is None else path.full()


def _run_log(session: Session, arguments: Namespace) -> int:
    from envtool.errors import StoreError
    from envtool.machine.disk import disk_errors

    asked = Asked(session)
    path = asked.place(arguments.path).path
    found = next(filter(os.path.isfile, _logs(asked, path)), None)
    if found is None:
        raise StoreError(
            f"there is no build log of {path} in {asked.settings.logs}",
            hint="only packages built from source have one: envtool store deriver PATH",
        )
    with disk_errors("read the log"), open(found, "rb") as file:
        data = file.read()
    terminal = session.terminal
    text = data.decode("utf-8", "backslashreplace")
    if terminal.json:
        terminal.result_json(path_json(asked, path, log=found, text=text))
    elif sys.stdout.isatty():
        terminal.result(log_text(text).rstrip("\n"))
    else:
        terminal.result_bytes(data)
    return 0


def _logs(asked: Asked, path: "StorePath") -> Iterator[str]:
    """Return where the log may be: under the path, or what came of the same derivation."""
    info = asked.database.infos([path]).get(path)
    derivation = info.deriver if info is not None and info.deriver is not None else path
    outputs = asked.database.outputs([derivation]).get(derivation, {})
    for each in (path, *sorted(outputs.values()), derivation):
        yield f"{asked.settings.logs}/{each}.log"


def _run_diff(session: Session, arguments: Namespace) -> int:
    from envtool.cli.render import table
    from envtool.machine.asking.differences import compare

    asked = Asked(session)
    before, after = asked.path(arguments.before), asked.path(arguments.after)
    differences = compare(
        queries.closure(asked.database, [before]), queries.closure(asked.database, [after])
    )
    shape = {
        "before": path_json(asked, before),
        "after": path_json(asked, after),
        "differences": [_difference_json(each) for each in differences],
    }
    rows = [row for each in differences if (row := _difference_row(each))]
    return show(asked, shape, table(rows, right=[2]))


def _difference_json(difference: "Difference") -> dict[str, Any]:
    return {
        "name": difference.name,
        "removed": list(difference.removed),
        "added": list(difference.added),
        "size_before": difference.before,
        "size_after": difference.after,
    }


def _difference_row(difference: "Difference") -> tuple[str, str, str] | None:
    from envtool.cli.terminal import size_text

    growth = difference.growth
    large = abs(growth) >= _SMALL
    versions = ""
    if difference.removed or difference.added:
        versions = f"{_versions(difference.removed)} → {_versions(difference.added)}"
    elif not large:
        return None
    sized = f"{'+' if growth > 0 else ''}{size_text(growth)}" if large else ""
    return f"{difference.name}:", versions, sized


def _versions(versions: Sequence[str]) -> str:
    return ", ".join(version or "ε" for version in versions) or "∅"
