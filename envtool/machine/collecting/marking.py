"""Marking: which valid paths cannot be reached from the roots, and in which order they may go."""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from envtool.formats.nix.storepath import STORE_DIR, StorePath
from envtool.machine.database import Database
from envtool.values import value

__all__ = ["Dead", "Graph", "Node", "read_graph", "unreachable"]

_NODES = "select id, path, coalesce(narSize, 0), registrationTime, deriver from ValidPaths"
_REFERENCES = "select referrer, reference from Refs"
_OUTPUTS = "select drv, path from DerivationOutputs"


@value
class Node:
    """What has to be known of a valid path. Thousands are made, so nothing is parsed."""

    name: str
    """The base name."""
    size: int
    """Bytes of its NAR."""
    registered: int
    """Seconds since the epoch."""


@value
class Graph:
    """All valid paths, by the numbers that they have in the database."""

    nodes: Mapping[int, Node]
    references: Mapping[int, Sequence[int]]
    """A path itself may be among them."""
    kept_along: Mapping[int, Sequence[int]]
    """What stays with a path although it is not a reference of it."""


@value
class Dead:
    """One valid path that nothing needs."""

    path: StorePath
    size: int
    references: frozenset[StorePath]
    """Those that are dead, too."""


def read_graph(database: Database, *, derivations: bool, outputs: bool) -> Graph:
    """Return the graph of all valid paths, read at one moment.

    With `derivations` a deriver stays along with its output, with `outputs` the reverse.
    """
    with database.reading() as connection:
        if connection is None:
            return Graph({}, {}, {})
        connection.execute("begin")
        try:
            rows = connection.execute(_NODES).fetchall()
            references = _adjacent(connection.execute(_REFERENCES))
            drvs = connection.execute(_OUTPUTS).fetchall() if outputs else []
        finally:
            connection.execute("rollback")
    numbers = {path: number for number, path, *_ in rows}
    pairs = [(drv, path) for drv, path in drvs if path in numbers]
    if derivations:
        pairs += [(row[0], row[4]) for row in rows if row[4] in numbers]
    start = len(STORE_DIR) + 1
    return Graph(
        {number: Node(path[start:], size, time) for number, path, size, time, _ in rows},
        references,
        _adjacent((number, numbers[path]) for number, path in pairs),
    )


def _adjacent(edges: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for start, end in edges:
        found.setdefault(start, []).append(end)
    return found


def unreachable(graph: Graph, roots: Collection[str]) -> list[Dead]:
    """Return what no path named in `roots` leads to, referrers before references.

    Where that leaves a choice, the first registered come first.
    """
    live = _live(graph, roots)
    left = [number for number in graph.nodes if number not in live]
    order = list(_referrers_first(graph, left))
    paths = {number: StorePath(graph.nodes[number].name) for number in order}
    return [
        Dead(
            paths[number],
            graph.nodes[number].size,
            frozenset(paths[each] for each in graph.references.get(number, ()) if each in paths),
        )
        for number in order
    ]


def _live(graph: Graph, roots: Collection[str]) -> set[int]:
    live: set[int] = set()
    todo = [number for number, node in graph.nodes.items() if node.name in roots]
    references, along = graph.references, graph.kept_along
    while todo:
        number = todo.pop()
        if number not in live:
            live.add(number)
            todo += references.get(number, ())
            todo += along.get(number, ())
    return live


def _referrers_first(graph: Graph, numbers: Sequence[int]) -> Iterator[int]:
    """Yield each of the numbers after all that refer to it, whatever is in a cycle at the end."""
    within = dict.fromkeys(numbers, 0)
    for number in numbers:
        for each in graph.references.get(number, ()):
            if each in within and each != number:
                within[each] += 1
    ready = [(graph.nodes[each].registered, each) for each, count in within.items() if not count]
    heapq.heapify(ready)
    while ready:
        _, number = heapq.heappop(ready)
        del within[number]
        yield number
        for each in graph.references.get(number, ()):
            if each in within:
                within[each] -= 1
                if not within[each]:
                    heapq.heappush(ready, (graph.nodes[each].registered, each))
    yield from within
