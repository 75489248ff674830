"""Questions about the whole graph of valid paths, answered by SQLite where they are recursive.

A store may hold 100,000 paths, so nothing here loads all of them; what is returned is as large as
the answer. Without a database every answer is empty.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import getitem
from typing import Any

from envtool.formats.nix.storepath import STORE_DIR, StorePath
from envtool.machine.database import Database
from envtool.machine.graph import Graph, references_first

__all__ = [
    "between",
    "called",
    "chains",
    "closure",
    "closure_size",
    "closure_sizes",
    "keepers",
    "references",
    "referrers_closure",
    "shortest",
    "starting_with",
]

_DOWN = """
    select id from ValidPaths where path in (select value from json_each(?))
    union
    select reference from Refs join down on referrer = down.id"""
_UP = """
    select id from ValidPaths where path in (select value from json_each(?))
    union
    select referrer from Refs join up on reference = up.id"""
_KEEPERS = f"""
with recursive
derived(drv, made) as materialized (
    -- The collector's `keep_derivations`. There is no index on `deriver` to look it up by.
    select d.id, o.id from ValidPaths o cross join ValidPaths d on d.path = o.deriver),
up(id) as ({_UP}
    union
    select made from up join derived on drv = up.id)
select path from up join ValidPaths using (id)
"""  # noqa: S608 - constants only
_BETWEEN = f"""
with recursive down(id) as ({_DOWN}), up(id) as ({_UP})
select v.path, r.path from down cross join Refs on Refs.referrer = down.id
    join ValidPaths v on v.id = Refs.referrer
    join ValidPaths r on r.id = Refs.reference
    -- The plus keeps SQLite from trying all of them for each referrer.
    where +Refs.reference in (select id from up) and Refs.reference <> Refs.referrer
"""  # noqa: S608 - constants only
_BLOCK = 2048
"""Paths whose sizes are added up in one pass: a mask has a bit for each."""


def starting_with(database: Database, prefix: str, *, most: int) -> list[StorePath]:
    """Return up to `most` valid paths whose base name begins so, in order."""
    start = f"{STORE_DIR}/{prefix}"
    # No store path has a character above "z" in it.
    query = "select path from ValidPaths where path >= ? and path < ? order by path limit ?"
    return _paths(database, query, start, f"{start}{{", most)


def called(database: Database, text: str, *, most: int) -> list[StorePath]:
    """Return up to `most` valid paths in whose name the text occurs, whatever its case."""
    query = (
        "select path from ValidPaths where instr(lower(substr(path, ?)), ?) "
        "order by substr(path, ?), path limit ?"
    )
    name = len(STORE_DIR) + 35
    return _paths(database, query, name, text.lower(), name, most)


def closure(database: Database, paths: Iterable[StorePath]) -> dict[StorePath, int]:
    """Return the closure of the valid ones of `paths`, sorted, each with its NAR's bytes."""
    query = (
        f"with recursive down(id) as ({_DOWN}) "  # noqa: S608 - constants only
        "select path, narSize from down join ValidPaths using (id) order by path"
    )
    rows = _rows(database, query, _given(paths))
    return {StorePath.parse_full(path): size or 0 for path, size in rows}


def closure_size(database: Database, path: StorePath) -> int:
    """Return the bytes of the NARs of the path's closure; 0 if it is not valid."""
    query = (
        f"with recursive down(id) as ({_DOWN}) "  # noqa: S608 - constants only
        "select coalesce(sum(narSize), 0) from down join ValidPaths using (id)"
    )
    return sum(size for (size,) in _rows(database, query, _given([path])))


def references(database: Database, paths: Iterable[StorePath]) -> dict[StorePath, list[StorePath]]:
    """Return what each of the valid ones of `paths` refers to, sorted, itself included."""
    query = (
        "select v.path, r.path from ValidPaths v left join Refs on Refs.referrer = v.id "
        "left join ValidPaths r on r.id = Refs.reference "
        "where v.path in (select value from json_each(?)) order by v.path, r.path"
    )
    found: dict[StorePath, list[StorePath]] = {}
    for path, reference in _rows(database, query, _given(paths)):
        below = found.setdefault(StorePath.parse_full(path), [])
        if reference is not None:
            below.append(StorePath.parse_full(reference))
    return found


def referrers_closure(database: Database, paths: Iterable[StorePath]) -> list[StorePath]:
    """Return the valid ones of `paths` and all that needs one of them, sorted."""
    query = (
        f"with recursive up(id) as ({_UP}) "  # noqa: S608 - constants only
        "select path from up join ValidPaths using (id) order by path"
    )
    return _paths(database, query, _given(paths))


def keepers(database: Database, path: StorePath) -> set[StorePath]:
    """Return the paths that keep this one from the collector if a root leads to them.

    They are its referrers' closure, and what was realised from the derivations met on the way.
    """
    return set(_paths(database, _KEEPERS, _given([path])))


def between(database: Database, top: StorePath, bottom: StorePath) -> Graph:
    """Return the references by which `top` needs `bottom`; empty when it does not.

    Whatever lies on a way from one to the other is in it, and nothing else.
    """
    known = _Known()
    graph: dict[StorePath, set[StorePath]] = {}
    for referrer, reference in _rows(database, _BETWEEN, _given([top]), _given([bottom])):
        graph.setdefault(known[referrer], set()).add(known[reference])
    return {path: frozenset(below) for path, below in graph.items()}


def shortest(graph: Graph, top: StorePath, bottom: StorePath) -> list[StorePath]:
    """Return the shortest chain from `top` to `bottom`, both included; empty without one.

    Of several the first in the order of their names.
    """
    came_from: dict[StorePath, StorePath | None] = {top: None}
    queue = deque([top])
    while queue:
        path = queue.popleft()
        if path == bottom:
            return _back(came_from, bottom)
        for reference in sorted(graph.get(path, ()), key=_by_name):
            if reference not in came_from:
                came_from[reference] = path
                queue.append(reference)
    return []


def chains(graph: Graph, top: StorePath) -> Iterator[tuple[StorePath, int, bool]]:
    """Walk the graph from `top`, what a path refers to behind it: path, depth, met before.

    What was met before is not entered again, so that the walk is as long as there are references.
    """
    seen: set[StorePath] = set()
    stack = [(top, 0)]
    while stack:
        path, depth = stack.pop()
        again = path in seen
        yield path, depth, again
        if not again:
            seen.add(path)
            below = sorted(graph.get(path, ()), key=_by_name, reverse=True)
            stack += [(reference, depth + 1) for reference in below]


def closure_sizes(graph: Graph, sizes: Mapping[StorePath, int]) -> dict[StorePath, int]:
    """Return for each path of a closure the bytes of its own closure.

    `graph` and `sizes` are of a whole closure. Shared references count once, so this is no sum
    along the edges: each path gets a mask of what it reaches, a block of paths at a time.

    :raises StoreError: there is a cycle.
    """
    order = references_first(graph)
    places = {path: at for at, path in enumerate(order)}
    below = [[places[reference] for reference in graph[path]] for path in order]
    totals = [0] * len(order)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        weights = _Weights([sizes[path] for path in block])
        masks = [0] * len(order)
        for at in range(start, len(order)):
            mask = 1 << at - start if at - start < len(block) else 0
            for reference in below[at]:
                mask |= masks[reference]
            if mask:
                masks[at] = mask
                totals[at] += weights[mask]
    return dict(zip(order, totals, strict=True))


class _Known(dict[str, StorePath]):
    """Paths by their text, each validated once however many edges lead to it."""

    def __missing__(self, text: str) -> StorePath:
        self[text] = path = StorePath.parse_full(text)
        return path


class _Weights(dict[int, int]):
    """The sum of the sizes whose bits are set in a mask."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._tables = [_table(sizes[at : at + 8]) for at in range(0, len(sizes), 8)]

    def __missing__(self, mask: int) -> int:
        octets = mask.to_bytes(len(self._tables), "little")
        self[mask] = found = sum(map(getitem, self._tables, octets))
        return found


def _table(sizes: Sequence[int]) -> list[int]:
    """Return the sums for each value of a byte."""
    sums = [0]
    for size in sizes:
        sums += [each + size for each in sums]
    return sums


def _back(came_from: Mapping[StorePath, StorePath | None], end: StorePath) -> list[StorePath]:
    chain, at = [], came_from[end]
    while at is not None:
        chain.append(at)
        at = came_from[at]
    return [*reversed(chain), end]


def _by_name(path: StorePath) -> tuple[str, str]:
    return path.name, path


def _given(paths: Iterable[StorePath]) -> str:
    import json

    return json.dumps([path.full() for path in paths])


def _paths(database: Database, query: str, *given: object) -> list[StorePath]:
    return [StorePath.parse_full(path) for (path,) in _rows(database, query, *given)]


def _rows(database: Database, query: str, *given: object) -> list[tuple[Any, ...]]:
    with database.reading() as connection:
        return [] if connection is None else connection.execute(query, given).fetchall()
