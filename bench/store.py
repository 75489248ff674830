"""The store's plumbing beside a real Nix: whole processes, the same bytes on both sides.

Where hashing rules, or what the kernel does, ours is to be as fast as Nix; where Python's own
work per start, per small file or per path rules, it may take half as long again. Each row says
which. What is flushed to the disk is what either flushes by default: Nix its database's log,
envtool that and, once per addition, the file system; both are free on a tmpfs.

Then a file of 4 GB is dumped and restored, in at most 100 MB of memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stage import arguments, perform
from storeroom import Room, make_copies, make_tree, require_nix, room
from timing import Command, interleave, once, report

SAME, HALF_AGAIN = 1.0, 1.5
MEMORY = 100e6
"""Bytes."""
HUGE = 4 << 30


@dataclass(frozen=True, slots=True)
class Row:
    """What is done on both sides; each gets a name that is new in every round."""

    name: str
    goal: float
    rules: str
    """What the time goes into."""
    ours: Callable[[str], Command]
    theirs: Callable[[str], Command]


def tree_rows(here: Room) -> Iterator[Row]:
    """Yield what is done with one tree of 10,000 files, 41 MB."""
    tree = make_tree(here.folder / "tree", 10_000)
    archive = here.folder / "tree.nar"
    perform(here.ours("tree", "store", "dump", "--output", archive, tree))
    perform(here.ours("tree", "store", "add", tree))
    perform(here.theirs("tree", "nix-store", "--add", tree))
    yield Row(
        "add",
        SAME,
        "reading twice, hashing twice, writing",
        lambda name: here.ours(name, "store", "add", tree),
        lambda name: here.theirs(name, "nix-store", "--add", tree),
    )
    yield Row(
        "add again",
        SAME,
        "reading and hashing",
        lambda _: here.ours("tree", "store", "add", tree),
        lambda _: here.theirs("tree", "nix-store", "--add", tree),
    )
    yield Row(
        "dump",
        HALF_AGAIN,
        "Python's work per file of 4 kB",
        lambda _: here.ours("tree", "store", "dump", tree),
        lambda _: here.theirs("tree", "nix-store", "--dump", tree),
    )
    yield Row(
        "restore",
        HALF_AGAIN,
        "Python's work per file of 4 kB",
        lambda name: here.ours("tree", "store", "restore", f"ours-{name}", stdin=archive),
        lambda name: here.theirs("tree", "nix-store", "--restore", name, stdin=archive),
    )
    yield Row(
        "hash",
        HALF_AGAIN,
        "Python's work per file of 4 kB",
        lambda _: here.ours("tree", "store", "hash", tree),
        lambda _: here.theirs("tree", "nix-hash", "--type", "sha256", tree),
    )
    yield Row(
        "verify contents",
        HALF_AGAIN,
        "Python's work per file of 4 kB",
        lambda _: here.ours("tree", "store", "verify", "--contents"),
        lambda _: here.theirs("tree", "nix-store", "--verify", "--check-contents"),
    )


def large_rows(here: Room) -> Iterator[Row]:
    """Yield what is done with one file of 1 GB: nothing of it is Python's."""
    large = here.folder / "large"
    with large.open("wb") as file:
        for number in range(1000):
            file.write(number.to_bytes(4, "big") * 250_000)
    yield Row(
        "dump a large file",
        SAME,
        "reading",
        lambda _: here.ours("tree", "store", "dump", large),
        lambda _: here.theirs("tree", "nix-store", "--dump", large),
    )
    yield Row(
        "hash a large file",
        SAME,
        "hashing",
        lambda _: here.ours("tree", "store", "hash", large),
        lambda _: here.theirs("tree", "nix-hash", "--type", "sha256", large),
    )


def path_rows(here: Room) -> Iterator[Row]:
    """Yield what is done with many small paths."""
    ours = here.fill_ours("closure", 2000, cluster=2000)
    theirs = here.fill_theirs("closure", 2000, linked=True)
    yield Row(
        "closure of 2,000 paths",
        HALF_AGAIN,
        "Python's start and its work per path",
        lambda _: here.ours("closure", "store", "closure", ours),
        lambda _: here.theirs("closure", "nix-store", "--query", "--requisites", theirs),
    )
    yield Row(
        "gc of 5,000 dead paths",
        SAME,
        "deleting",
        lambda name: our_dead(here, name),
        lambda name: their_dead(here, name),
    )
    copies = make_copies(here.folder / "copies", 4000, 1000)
    yield Row(
        "optimise 4,000 files, 1,000 distinct",
        HALF_AGAIN,
        "Python's work per file of 10 kB",
        lambda name: our_copies(here, name, copies),
        lambda name: their_copies(here, name, copies),
    )


def our_dead(here: Room, name: str) -> Command:
    """Fill a store of ours and return its collection."""
    here.fill_ours(name, 5000, cluster=0)
    return here.ours(name, "store", "gc")


def their_dead(here: Room, name: str) -> Command:
    """Fill a store of Nix's and return its collection."""
    here.fill_theirs(name, 5000, linked=False)
    return here.theirs(name, "nix-store", "--gc")


def our_copies(here: Room, name: str, copies: Path) -> Command:
    """Add the tree of copies to a new store of ours and return its optimisation."""
    perform(here.ours(name, "store", "add", copies))
    return here.ours(name, "store", "optimise")


def their_copies(here: Room, name: str, copies: Path) -> Command:
    """Add the tree of copies to a new store of Nix's and return its optimisation."""
    perform(here.theirs(name, "nix-store", "--add", copies))
    return here.theirs(name, "nix-store", "--optimise")


def measure(row: Row, *, rounds: int, wait: float) -> None:
    """Measure a row and print it."""
    slug = row.name.replace(" ", "-").replace(",", "")
    sides = {
        "envtool": lambda number: row.ours(f"{slug}-{number}"),
        "nix": lambda number: row.theirs(f"{slug}-{number}"),
    }
    runs = interleave(sides, rounds=rounds, wait=wait)
    print(f"{row.name}: {row.rules}")
    report(f"store {slug}", runs, goal=row.goal)


def measure_memory(here: Room) -> None:
    """Dump a file with a hole of 4 GB, and restore it from there."""
    source = here.folder / "huge"
    with source.open("wb") as file:
        file.truncate(HUGE)
    dump = here.ours("tree", "store", "dump", source)
    pipe = f"{dump.argv[0]} store dump {source} | {dump.argv[0]} store restore huge-again"
    both = Command(("sh", "-c", pipe), dump.environment, dump.folder)
    for name, command in {"dump 4 GB": dump, "dump and restore 4 GB": both}.items():
        run = once(command)
        print(
            f"{name}: {run.memory / 1e6:.0f} MB of memory (at most {MEMORY / 1e6:.0f} MB wanted), "
            f"{run.wall:.1f} s"
        )


def main() -> None:
    """Measure all rows, or those whose names begin with one of the words."""
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("rows", nargs="*", help="how the names of the wanted rows begin")
    chosen = parser.parse_args()
    wanted = tuple(chosen.rows) or ("",)
    require_nix()
    with room(chosen.folder) as here:
        for rows in (tree_rows, large_rows, path_rows):
            for row in rows(here):
                if row.name.startswith(wanted):
                    measure(row, rounds=chosen.rounds, wait=chosen.wait)
        if "memory".startswith(wanted):
            measure_memory(here)


if __name__ == "__main__":
    main()
