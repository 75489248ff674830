"""Add text objects to our store: fill.py ROOT COUNT CLUSTER (0: none refers to another)."""

import sys

from envtool.formats.nix.storepath import StorePath, make_text
from envtool.machine.settings import load
from envtool.machine.store import Store, Text


def texts(count: int, cluster: int) -> list[Text]:
    """Return so many, each referring to up to three before it in its cluster.

    With a cluster of all of them, or of none, they are what `storeroom.TEXTS` has Nix make.
    """
    made: list[StorePath] = []
    found = []
    for number in range(count):
        at = number % cluster if cluster else 0
        first = number - at
        below = [made[first + other] for other in (at - 1, at // 2, at // 3)] if at else []
        data = "\n".join([str(number), *(path.full() for path in below)]).encode()
        found.append(Text(f"text-{number}", data, frozenset(below)))
        made.append(make_text(f"text-{number}", data, frozenset(below)))
    return found


def main() -> None:
    """Add them and print where the last one lies."""
    root, count, cluster = sys.argv[1:]
    with Store(load({"ENVTOOL_ROOT": root})) as store:
        paths = store.add_texts(texts(int(count), int(cluster)))
        print(store.physical(paths[-1]))


if __name__ == "__main__":
    main()
