"""Collecting garbage: a plan as a value, then its deletion under the store's exclusive lock.

Live is what a root needs: its closure, and with `keep_derivations` the `.drv` of each live
output, whose closure is that of its inputs' `.drv` files. Rows go before files and referrers
before references, so that a killed collector leaves every valid path whole.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping

from envtool.errors import FormatError
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.disk import disk_errors
from envtool.machine.graph import references_first
from envtool.machine.locks import OnWait
from envtool.machine.metadata import delete_tree, tree_size
from envtool.machine.roots import Root, drop_stale, find_roots
from envtool.machine.store import Store
from envtool.machine.verify import strangers
from envtool.values import value

OnDeleted = Callable[[str, int], object]
"""Called after each deletion with the name in the store and the bytes freed."""

_BYTECODE = ("objects", "environments")


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
    """Bytes that go, `dead` and `junk` together."""
    keep_derivations: bool = True
    keep_outputs: bool = False


def plan(
    store: Store,
    roots: Iterable[Root],
    *,
    keep_derivations: bool = True,
    keep_outputs: bool = False,
) -> GcPlan:
    """Return what nothing needs that `roots` point to.

    `keep_derivations` keeps the `.drv` files of live outputs, `keep_outputs` the outputs of
    live `.drv` files (Nix's options of these names).
    """
    infos = store.database.infos()
    extra = _kept_along(store, infos, derivations=keep_derivations, outputs=keep_outputs)
    live = _reachable(infos, (root.path for root in roots), extra)
    graph = {path: info.references for path, info in infos.items() if path not in live}
    dead = tuple((path, infos[path].nar_size) for path in reversed(references_first(graph)))
    junk = tuple(strangers(store, set(infos)))
    freed = sum(size for _, size in dead) + sum(_size(store, name) for name in junk)
    return GcPlan(dead, junk, len(live), freed, keep_derivations, keep_outputs)


def _kept_along(
    store: Store, infos: Mapping[StorePath, PathInfo], *, derivations: bool, outputs: bool
) -> dict[StorePath, set[StorePath]]:
    """Return what stays with a path although it is not a reference of it."""
    extra: dict[StorePath, set[StorePath]] = {}
    if derivations:
        for info in infos.values():
            if info.deriver is not None:
                extra.setdefault(info.path, set()).add(info.deriver)
    if outputs:
        for drv, named in store.database.outputs().items():
            extra.setdefault(drv, set()).update(named.values())
    return extra


def _reachable(
    infos: Mapping[StorePath, PathInfo],
    roots: Iterable[StorePath],
    extra: Mapping[StorePath, set[StorePath]],
) -> set[StorePath]:
    live: set[StorePath] = set()
    todo = [path for path in roots if path in infos]
    while todo:
        path = todo.pop()
        if path not in live:
            live.add(path)
            more = infos[path].references | extra.get(path, set())
            todo += [reference for reference in more if reference in infos]
    return live


def _size(store: Store, name: str) -> int:
    return tree_size(f"{store.settings.store}/{name}")


def collect(
    store: Store,
    planned: GcPlan,
    *,
    max_freed: int | None = None,
    on_deleted: OnDeleted | None = None,
    on_wait: OnWait | None = None,
) -> int:
    """Delete what the plan says and is still garbage; return the bytes freed.

    Waits until nobody adds to the store, then looks at roots and references again: what got a
    root since the plan was made stays. `max_freed` stops once so many bytes are free.

    :raises StoreError: the root cannot be written to; this process is adding itself.
    """
    with store.exclusive(on_wait):
        drop_stale(store.settings)
        now = plan(
            store,
            find_roots(store.settings),
            keep_derivations=planned.keep_derivations,
            keep_outputs=planned.keep_outputs,
        )
        junk = sorted(set(planned.junk).intersection(now.junk))
        sizes = {name: _size(store, name) for name in junk}
        budget = None if max_freed is None else max_freed - sum(sizes.values())
        dead = _still_dead(store, planned, now, budget)
        store.database.delete(dead)
        for name, size in itertools.chain(dead.items(), sizes.items()):
            _delete(store, name)
            if on_deleted is not None:
                on_deleted(name, size)
        _drop_bytecode(store)
    return sum(dead.values()) + sum(sizes.values())


def _still_dead(
    store: Store, planned: GcPlan, now: GcPlan, budget: int | None
) -> dict[StorePath, int]:
    """Return what to delete, referrers first; what a path that stays refers to stays."""
    wanted = {path for path, _ in planned.dead}
    references = {path: info.references for path, info in store.database.infos().items()}
    kept: set[StorePath] = set()
    chosen: dict[StorePath, int] = {}
    freed = 0
    for path, size in now.dead:
        if path in kept or path not in wanted or (budget is not None and freed >= budget):
            kept |= references[path]
        else:
            chosen[path] = size
            freed += size
    return chosen


def _delete(store: Store, name: str) -> None:
    """Delete one object; its name is gone at once, however long the rest takes."""
    place = f"{store.settings.store}/{name}"
    aside = store.scratch(f"del-{name}")
    with disk_errors(f"delete {name}"):
        if os.path.lexists(place):
            os.rename(place, aside)
            delete_tree(aside)


def _drop_bytecode(store: Store) -> None:
    """Forget the compiled modules of objects that are no longer valid."""
    for kind in _BYTECODE:
        folder = f"{store.settings.cache}/bytecode/{kind}"
        entries = [path for path in map(_parsed, _listed(folder)) if path is not None]
        for path in sorted(set(entries) - store.valid(entries)):
            with disk_errors(f"delete the bytecode of {path}"):
                delete_tree(f"{folder}/{path}")


def _listed(folder: str) -> list[str]:
    with disk_errors("list the bytecode cache"):
        return os.listdir(folder) if os.path.isdir(folder) else []


def _parsed(name: str) -> StorePath | None:
    try:
        return StorePath.parse(name)
    except FormatError:
        return None
