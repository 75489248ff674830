"""Checking the store against its database: what is missing, changed, or nobody's."""

import os
from collections.abc import Callable, Iterator
from typing import Literal

from envtool.errors import FormatError
from envtool.formats.nix import nar
from envtool.machine.database import PathInfo
from envtool.machine.store import Store
from envtool.machine.strangers import strangers
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
            for name in strangers(store.settings, infos)
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
