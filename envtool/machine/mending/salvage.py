"""Registrations out of a damaged database: each one a claim, to be believed only if proven."""

import glob
import os
from collections.abc import Iterable, Iterator

from envtool.errors import FormatError
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import STORE_DIR, StorePath
from envtool.machine.database import PathInfo
from envtool.machine.disk import disk_errors
from envtool.machine.mending.pages import Row, rows_of_database, rows_of_log
from envtool.values import replace

__all__ = ["kept_aside", "salvage"]

_ASIDE = ".damaged-"
_VALID_PATHS = 9
"""Columns of the table."""
_FEWEST = 6
"""Columns that a row has in databases that were begun by an older Nix."""
_REFS = 2


def kept_aside(file: str, name: str) -> str:
    """Return where a damaged database is kept, unique whatever the clock says."""
    wanted = found = f"{file}{_ASIDE}{name}"
    number = 1
    while os.path.lexists(found):
        number += 1
        found = f"{wanted}.{number}"
    return found


def salvage(file: str) -> dict[StorePath, list[PathInfo]]:
    """Return what the database, and those kept aside before, say of each path, best first."""
    older = sorted(glob.glob(f"{glob.escape(file)}{_ASIDE}*"), reverse=True)
    found: dict[StorePath, list[PathInfo]] = {}
    for each in [file, *(name for name in older if not name.endswith(("-wal", "-shm")))]:
        for info in _registered([*_rows(each)]):
            found.setdefault(info.path, []).append(info)
    return found


def _rows(file: str) -> Iterator[Row]:
    yield from rows_of_database(_contents(file))
    yield from rows_of_log(_contents(f"{file}-wal"))


def _contents(file: str) -> bytes:
    with disk_errors("read the damaged database"):
        try:
            with open(file, "rb") as source:
                return source.read()
        except (FileNotFoundError, IsADirectoryError):
            return b""


def _registered(rows: Iterable[Row]) -> list[PathInfo]:
    """Return the registrations, the newest first."""
    infos: dict[int, PathInfo] = {}
    edges: list[tuple[int, int]] = []
    for number, columns in rows:
        if len(columns) == _REFS:
            referrer, reference = columns
            if isinstance(referrer, int) and isinstance(reference, int):
                edges.append((referrer, reference))
        elif (info := _info(columns)) is not None:
            infos[number] = info
    references: dict[int, set[StorePath]] = {number: set() for number in infos}
    for referrer, reference in edges:
        if referrer in infos and reference in infos:
            references[referrer].add(infos[reference].path)
    return [
        _with_references(infos[number], references[number])
        for number in sorted(infos, reverse=True)
    ]


def _with_references(info: PathInfo, references: Iterable[StorePath]) -> PathInfo:
    return replace(info, references=frozenset(references))


def _info(columns: tuple[int | str | None, ...]) -> PathInfo | None:
    """Return a row of ValidPaths; None if it is none."""
    if not _FEWEST <= len(columns) <= _VALID_PATHS or columns[0] is not None:
        return None
    row = (*columns, *[None] * (_VALID_PATHS - len(columns)))
    _, path, nar_hash, registered, deriver, size, ultimate, signatures, ca = row
    texts, numbers = (deriver, signatures, ca), (size, ultimate)
    if not (isinstance(path, str) and isinstance(nar_hash, str) and isinstance(registered, int)):
        return None
    if any(isinstance(each, int) for each in texts) or any(isinstance(n, str) for n in numbers):
        return None
    try:
        return PathInfo(
            path=StorePath.parse_full(path, STORE_DIR),
            nar_hash=Hash.parse(nar_hash),
            nar_size=int(size or 0),
            references=frozenset(),
            deriver=StorePath.parse_full(str(deriver)) if deriver else None,
            ca=str(ca) if ca else None,
            ultimate=bool(ultimate),
            registration_time=registered,
            signatures=tuple(str(signatures or "").split()),
        )
    except FormatError:
        return None
