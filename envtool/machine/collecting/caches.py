"""What of the cache is of no use any more: what is about store paths that are gone, what lies idle.

    cache/evaluations/…     what locks evaluate to             paths gone, or idle
    cache/entries/…         what is known of wheels            paths gone, or idle
    cache/commits/…         where the sources of commits lie   path gone, or idle
    cache/adhoc/…           declarations without a file        idle, and no generation is left
    cache/prompt/…          stamps of a shell's prompt         idle
    cache/projects/…        what an index said                 idle; stays offline
    cache/debian/…          indices of Debian's suites         idle; stays offline

Idle is what was neither written nor read for `IDLE` seconds, as far as the file system notes reads.
Bytecode goes with its store paths (`envtool.machine.collecting.gc`). Whoever looks for something
here makes it again when it is gone, so that nothing is locked; what others need the network for is
left to those who have it.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from envtool.errors import FormatError
from envtool.formats.nix.storepath import StorePath
from envtool.machine.collecting.removal import remove, would_free
from envtool.machine.disk import disk_errors
from envtool.machine.settings import Settings
from envtool.machine.store import Store
from envtool.values import value

__all__ = ["IDLE", "Idle", "drop", "find"]

IDLE = 30 * 86400
"""Seconds."""
_ASIDE = ".del-"
_PATHS = frozenset({"derivation", "output"})
"""Members of the cache's JSON that hold store paths."""


@value
class Idle:
    """What may go."""

    path: str
    """A file, or a folder with all that is in it."""
    size: int
    """Bytes of the disk."""


def find(store: Store, gone: Iterable[StorePath], now: float) -> tuple[Idle, ...]:
    """Return what is of no use, once these store paths are `gone`; nothing is changed."""
    with disk_errors("look through the cache"):
        absent = frozenset(gone)
        found = sorted({*_of_gone(store, absent), *_idle(store.settings, absent, now)})
    return tuple(Idle(path, would_free(store.settings.store, [path])) for path in found)


def drop(store: Store, now: float) -> tuple[Idle, ...]:
    """Delete what is of no use, and return it."""
    dropped = []
    for each in find(store, (), now):
        with disk_errors(f"delete {each.path}"):
            if os.path.isdir(each.path):
                dropped.append(Idle(each.path, _drop_folder(each.path)))
            else:
                dropped.append(Idle(each.path, remove(each.path)))
    for folder in _entries(f"{store.settings.cache}/entries"):
        with suppress(OSError):  # it has some left
            os.rmdir(folder)
    return tuple(dropped)


def _drop_folder(path: str) -> int:
    """Delete a folder at once, as far as others see; return the bytes freed."""
    folder, name = os.path.split(path)
    aside = path if name.startswith(_ASIDE) else f"{folder}/{_ASIDE}{name}"
    with suppress(FileNotFoundError):
        os.rename(path, aside)
    return remove(aside)


def _of_gone(store: Store, gone: frozenset[StorePath]) -> Iterator[str]:
    named = {}
    for path in _about(store.settings.cache):
        with suppress(OSError, ValueError, TypeError, FormatError):  # gone, half-written, damaged
            named[path] = frozenset(map(StorePath.parse, _named(path)))
    valid = store.valid(each for paths in named.values() for each in paths) - gone
    yield from (path for path, paths in named.items() if not paths <= valid)


def _about(cache: str) -> Iterator[str]:
    """Yield the files that are about store paths."""
    yield from _entries(f"{cache}/evaluations")
    yield from _entries(f"{cache}/commits")
    for folder in _entries(f"{cache}/entries"):
        yield from _entries(folder)


def _named(path: str) -> Iterator[str]:
    """Yield the store paths that such a file is about."""
    text = _read(path)
    if os.path.basename(os.path.dirname(path)) == "commits":
        yield text.decode()
    else:
        yield from _members(json.loads(text))


def _read(path: str) -> bytes:
    """Return what a file holds, without that being noted as its use."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOATIME)
    except PermissionError:  # somebody else's
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        return file.read()


def _members(document: Any) -> Iterator[str]:
    if isinstance(document, list):
        for each in document:
            yield from _members(each)
    elif isinstance(document, dict):
        for key, member in document.items():
            if key in _PATHS and isinstance(member, str):
                yield member
            else:
                yield from _members(member)


def _idle(settings: Settings, gone: frozenset[StorePath], now: float) -> Iterator[str]:
    cache, before = settings.cache, now - IDLE
    yield from (path for path in _about(cache) if _used(path) < before)
    # A stamp has the time of another file; when it was made is told by its inode's change.
    yield from (path for path in _entries(f"{cache}/prompt") if _changed(path) < before)
    for folder in _entries(f"{cache}/adhoc"):
        if _is_aside(folder) or (_used(folder) < before and not _has_generation(folder, gone)):
            yield folder
    if not settings.offline:
        yield from (path for path in _entries(f"{cache}/projects") if _used(path) < before)
        for archive in _entries(f"{cache}/debian"):
            for suite in _entries(archive):
                if _is_aside(suite) or max(map(_used, _below(suite)), default=0) < before:
                    yield suite


def _is_aside(path: str) -> bool:
    return os.path.basename(path).startswith(_ASIDE)


def _has_generation(folder: str, gone: frozenset[StorePath]) -> bool:
    """Say whether a declaration's profile leads to anything that stays."""
    links = [link for link in _entries(f"{folder}/profile") if os.path.islink(link)]
    targets = map(os.path.realpath, links)
    return any(os.path.exists(each) and os.path.basename(each) not in gone for each in targets)


def _below(folder: str) -> Iterator[str]:
    for entry in _entries(folder):
        yield entry
        if os.path.isdir(entry):
            yield from _below(entry)


def _used(path: str) -> float:
    """Return when something was last read or written, in seconds since 1970."""
    try:
        status = os.stat(path)
    except OSError:
        return float("inf")  # somebody else's to delete
    # To list a folder is no use of it.
    return status.st_mtime if os.path.isdir(path) else max(status.st_mtime, status.st_atime)


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_ctime
    except OSError:
        return float("inf")


def _entries(folder: str) -> list[str]:
    try:
        return [f"{folder}/{name}" for name in sorted(os.listdir(folder))]
    except (FileNotFoundError, NotADirectoryError):
        return []
