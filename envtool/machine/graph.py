"""Order in the graph of references."""

from collections.abc import Mapping

from envtool.errors import StoreError
from envtool.formats.nix.storepath import StorePath

Graph = Mapping[StorePath, frozenset[StorePath]]
"""Each path with what it refers to."""


def references_first(graph: Graph) -> list[StorePath]:
    """Return the paths so that each comes after those it refers to, else in order of name.

    References outside of the graph, and of a path to itself, do not count.

    :raises StoreError: there is a cycle.
    """
    order: list[StorePath] = []
    done: set[StorePath] = set()
    open_now: set[StorePath] = set()
    for start in sorted(graph):
        stack = [(start, False)]
        while stack:
            path, entered = stack.pop()
            if entered:
                open_now.discard(path)
                done.add(path)
                order.append(path)
            elif path not in done:
                if path in open_now:
                    continue
                open_now.add(path)
                stack.append((path, True))
                below = sorted((graph[path] & graph.keys()) - done - {path}, reverse=True)
                if cycle := open_now.intersection(below):
                    raise StoreError(f"{path} and {min(cycle)} refer to each other in a cycle")
                stack += [(reference, False) for reference in below]
    return order
