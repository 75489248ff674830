"""Add text objects to our store: fill.py ROOT COUNT LINKED (1: each refers to up to three)."""

import sys

from envtool.formats.nix.storepath import StorePath, make_text
from envtool.machine.settings import load
from envtool.machine.store import Store, Text


def texts(count: int, *, linked: bool) -> list[Text]:
    """Return so many; they are what `storeroom.TEXTS` has Nix make."""
    made: list[StorePath] = []
    found = []
    for number in range(count):
        below = [made[at] for at in (number - 1, number // 2, number // 3)] if number else []
        below = below if linked else []
        data = "\n".join([str(number), *(path.full() for path in below)]).encode()
        found.append(Text(f"text-{number}", data, frozenset(below)))
        made.append(make_text(f"text-{number}", data, frozenset(below)))
    return found


def main() -> None:
    """Add them and print where the last one lies."""
    root, count, linked = sys.argv[1:]
    with Store(load({"ENVTOOL_ROOT": root})) as store:
        paths = store.add_texts(texts(int(count), linked=linked == "1"))
        print(store.physical(paths[-1]))


if __name__ == "__main__":
    main()
