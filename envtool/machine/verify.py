"""Checking the store against its database: what is missing, changed, or nobody's."""

import os
from collections.abc import Callable, Iterator
from typing import Literal

from envtool.errors import FormatError
from envtool.formats.nix import nar
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.disk import disk_errors
from envtool.machine.locks import is_locked
from envtool.machine.store import TEMPORARY, Store
from envtool.values import value

_LOCK = ".lock"
_LINKS = ".links"
"""A real Nix keeps its hard links here (`nix-store --optimise`)."""


@value
class Problem:
    """One difference between the store and its database."""

    kind: Literal["missing", "changed", "unreadable", "unknown"]
    name: str
    """The name in the store directory; a store path, but for what is unknown."""
    message: str


def verify(
    store: Store, *, contents: bool, on_checked: Callable[[PathInfo], object] | None = None
) -> list[Problem]:
    """Return all problems; with `contents` every object is read and hashed.

    Unknown files do no harm: the collector removes them. `on_checked` is called after each
    valid path.
    """
    problems: list[Problem] = []
    with store.shared():
        infos = store.database.infos()
        for path in sorted(infos):
            problems += _check(store, infos[path], contents=contents)
            if on_checked is not None:
                on_checked(infos[path])
        problems += [
            Problem("unknown", name, f"{name} is not registered; the collector removes it")
            for name in strangers(store, set(infos))
        ]
    return problems


def _check(store: Store, info: PathInfo, *, contents: bool) -> Iterator[Problem]:
    place = store.physical(info.path)
    if not os.path.lexists(place):
        yield Problem("missing", info.path, f"{place} is registered but not there")
        return
    if not contents:
        return
    try:
        found, _ = nar.hash_path(place)
    except (OSError, FormatError) as error:
        yield Problem("unreadable", info.path, f"{place} cannot be read: {error}")
        return
    if found != info.nar_hash:
        message = f"{place} was modified: expected {info.nar_hash}, found {found}"
        yield Problem("changed", info.path, message)


def strangers(store: Store, valid: set[StorePath]) -> list[str]:
    """Return the names in the store directory that belong to no valid path and to no work.

    Under `Store.exclusive` nobody works there, so that all of them may be deleted.
    """
    folder = store.settings.store
    with disk_errors("list the store directory"):
        names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name for name in names if name not in valid and not _in_work(store, name))


def _in_work(store: Store, name: str) -> bool:
    place = f"{store.settings.store}/{name}"
    if name.startswith(TEMPORARY):
        pid = name[len(TEMPORARY) :].partition("-")[0]
        return pid.isdigit() and os.path.exists(f"/proc/{pid}")
    if name.endswith(_LOCK):
        return is_locked(place)
    return name == _LINKS or is_locked(f"{place}{_LOCK}")
