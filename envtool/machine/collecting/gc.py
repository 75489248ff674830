"""Collecting garbage: what nothing needs is made invalid, moved out of the way, then deleted.

Live is what a root needs: its closure, and with `keep_derivations` the `.drv` of each live
output, whose closure is that of its inputs' `.drv` files.

The exclusive lock is held while roots are found, the live are marked, the dead are made invalid in
one transaction and renamed. Whoever begins to use a path waits for that (`temproots`); nobody waits
for the deletion of the files, which comes after. Killed in between, a collector leaves names that
belong to nothing valid: the next one takes them. Two collectors delete different names.

Roots are looked for in this order: temporary ones, links, processes. A path whose temporary root
becomes a lasting one is seen in one of the two. A process that finds an environment by a link,
opens it, and then finds the link still there (as `Workspace.activation` does) is seen among the
processes if the link was not.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress

from envtool.errors import FormatError
from envtool.formats.nix.storepath import StorePath
from envtool.machine.collecting.marking import Dead, read_graph, unreachable
from envtool.machine.collecting.removal import remove, would_free
from envtool.machine.collecting.reserve import release, reserve
from envtool.machine.collecting.roots import (
    Root,
    drop_stale,
    find_roots,
    let_nix_wait,
    mirror_for_nix,
)
from envtool.machine.collecting.strangers import strangers
from envtool.machine.collecting.temproots import drop_dead, read_temporary
from envtool.machine.disk import disk_errors
from envtool.machine.locks import OnWait
from envtool.machine.sharing.links import drop_unused_links
from envtool.machine.store import Store
from envtool.values import value

__all__ = ["Collected", "GcPlan", "collect", "plan"]

OnDeleted = Callable[[str, int], object]
"""Called after each deletion with the name in the store and the bytes freed."""
OnFound = Callable[[int, int | None], object]
"""Called when it is known how many names go, and about how many bytes; None: who knows of junk."""

_BYTECODE = ("objects", "environments")
_ASIDE = ".del-"


@value
class GcPlan:
    """What a collection would delete."""

    dead: tuple[tuple[StorePath, int], ...]
    """Valid paths that nothing needs, with their NAR's bytes; referrers before references."""
    junk: tuple[str, ...]
    """Names in the store directory that were never registered, such as leftovers of a kill."""
    live_count: int
    """How many valid paths stay."""
    freed: int
    """Bytes of the disk that go: of files that nothing else shares, bytecode included."""


@value
class Collected:
    """What a collection has deleted."""

    dead: tuple[tuple[StorePath, int], ...]
    """With their NAR's bytes."""
    junk: tuple[str, ...]
    live_count: int
    freed: int
    """Bytes of the disk; a file that other objects share frees nothing."""


@value
class _Found:
    """What one look at the whole store finds."""

    names: frozenset[str]
    """All valid paths."""
    dead: tuple[Dead, ...]
    """Of these, what nothing needs; referrers before references."""
    junk: tuple[str, ...]
    held: frozenset[StorePath]
    """What has a temporary root; it need not be valid."""


def plan(
    store: Store,
    roots: Sequence[Root],
    *,
    max_freed: int | None = None,
    keep_derivations: bool = True,
    keep_outputs: bool = False,
) -> GcPlan:
    """Return what nothing needs that `roots` point to; nothing is locked or changed.

    `keep_derivations` keeps the `.drv` files of live outputs, `keep_outputs` the outputs of
    live `.drv` files (Nix's options of these names). With `max_freed` it stops at so many bytes.
    """
    held = frozenset(path for _, path in read_temporary(store.settings.temproots))
    found = _look(store, roots, held, derivations=keep_derivations, outputs=keep_outputs)
    dead = found.dead if max_freed is None else _within(found.dead, max_freed)
    places = [f"{store.settings.store}/{name}" for name in (*_paths(dead), *found.junk)]
    with disk_errors("measure what can be deleted"):
        places += _unused_bytecode(store, found, dead)
        freed = would_free(store.settings.store, places)
    return GcPlan(_sized(dead), found.junk, len(found.names) - len(dead), freed)


def collect(
    store: Store,
    *,
    only: Collection[StorePath] | None = None,
    max_freed: int | None = None,
    keep_derivations: bool = True,
    keep_outputs: bool = False,
    on_found: OnFound | None = None,
    on_deleted: OnDeleted | None = None,
    on_wait: OnWait | None = None,
) -> Collected:
    """Delete what nothing needs, and return what went.

    With `only` nothing but these paths goes, as far as they are dead and all that refers to them
    is among them. With `max_freed` it stops as soon as so many bytes are free; what was registered
    first goes first.

    :raises StoreError: the root cannot be written to; this process holds `Store.shared`; a root
        cannot be read.
    """
    release(store.settings)
    with disk_errors("collect garbage"):
        let_nix_wait(store.settings)
    dead: list[Dead] = []
    junk: list[str] = []
    freed = live = 0
    more = True
    while more and (max_freed is None or freed < max_freed):
        with store.exclusive(on_wait):
            found = _look_alone(store, derivations=keep_derivations, outputs=keep_outputs)
            # What junk frees is known only when it is gone, so it goes in a round of its own.
            limit = max_freed and (0 if found.junk else max_freed - freed)
            chosen = _chosen(found, only, limit)
            names = () if only is not None else found.junk
            aside = _move_away(store, found, chosen, names)
        if on_found is not None:
            size = None if names else sum(each.size for each in chosen)
            on_found(len(chosen) + len(names), size)
        freed += _delete(store, aside, on_deleted)
        dead += chosen
        junk += names
        live = len(found.names) - len(chosen)
        more = max_freed is not None and bool(chosen or names)
    reserve(store.settings)
    return Collected(_sized(dead), tuple(junk), live, freed)


def _look_alone(store: Store, *, derivations: bool, outputs: bool) -> _Found:
    """Look at roots and store under the exclusive lock, and bring what notes roots up to date."""
    settings = store.settings
    drop_dead(settings.temproots)
    drop_stale(settings)
    roots = find_roots(settings)
    mirror_for_nix(settings, roots)
    held = frozenset(root.path for root in roots if root.kind == "temporary")
    return _look(store, roots, held, derivations=derivations, outputs=outputs)


def _look(
    store: Store,
    roots: Sequence[Root],
    held: frozenset[StorePath],
    *,
    derivations: bool,
    outputs: bool,
) -> _Found:
    """Look which paths are valid after it is known what is `held`, and what lies there after both.

    Somebody may register what was held, and let go of it, at any moment.
    """
    graph = read_graph(store.database, derivations=derivations, outputs=outputs)
    dead = unreachable(graph, {root.path for root in roots})
    names = frozenset(node.name for node in graph.nodes.values())
    return _Found(names, tuple(dead), tuple(strangers(store.settings, names, held)), held)


def _chosen(
    found: _Found, only: Collection[StorePath] | None, limit: int | None
) -> tuple[Dead, ...]:
    """Return what goes, referrers first; what a path that stays refers to stays."""
    if limit is not None:
        return _within(found.dead, limit)
    if only is None:
        return found.dead
    kept: set[StorePath] = set()
    chosen = []
    for each in found.dead:
        if each.path in kept or each.path not in only:
            kept |= each.references
        else:
            chosen.append(each)
    return tuple(chosen)


def _within(dead: Iterable[Dead], limit: int) -> tuple[Dead, ...]:
    """Return so many of the first as have `limit` bytes together."""
    chosen: list[Dead] = []
    for each in dead:
        if limit <= 0:
            break
        chosen.append(each)
        limit -= each.size
    return tuple(chosen)


def _paths(dead: Iterable[Dead]) -> list[StorePath]:
    return [each.path for each in dead]


def _sized(dead: Iterable[Dead]) -> tuple[tuple[StorePath, int], ...]:
    return tuple((each.path, each.size) for each in dead)


def _move_away(
    store: Store, found: _Found, dead: Sequence[Dead], junk: Iterable[str]
) -> list[tuple[str, str]]:
    """Make the dead invalid, then give what goes another name; return old names and new places."""
    store.database.delete(_paths(dead))
    aside = []
    with disk_errors("move garbage away"):
        for name in (*_paths(dead), *junk):
            place = store.scratch(name)
            with suppress(FileNotFoundError):  # it was deleted by hand
                os.rename(f"{store.settings.store}/{name}", place)
            aside.append((name, place))
        for place in _unused_bytecode(store, found, dead):
            folder, name = os.path.split(place)
            renamed = f"{folder}/{_ASIDE}{name.removeprefix(_ASIDE)}"
            with suppress(FileNotFoundError):
                os.rename(place, renamed)
            aside.append(("", renamed))
    return aside


def _delete(store: Store, aside: Iterable[tuple[str, str]], on_deleted: OnDeleted | None) -> int:
    """Delete what was moved away, and the links that it leaves unused; return the bytes freed."""
    freed = 0
    for name, place in aside:
        with disk_errors(f"delete {name or place}"):
            size = remove(place)
        freed += size
        if on_deleted is not None and name:
            on_deleted(name, size)
    with disk_errors("delete links that nothing uses"):
        return freed + drop_unused_links(store.settings.store)[1]


def _unused_bytecode(store: Store, found: _Found, dead: Iterable[Dead]) -> Iterator[str]:
    """Yield what is in the cache of bytecode for paths that are not valid, or about to go."""
    gone = set(_paths(dead))
    for kind in _BYTECODE:
        folder = f"{store.settings.cache}/bytecode/{kind}"
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            kept = name in found.names and name not in gone
            if name.startswith(_ASIDE) or (_is_path(name) and not kept and name not in found.held):
                yield f"{folder}/{name}"


def _is_path(name: str) -> bool:
    try:
        StorePath.parse(name)
    except FormatError:
        return False
    return True
