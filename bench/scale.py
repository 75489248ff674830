"""What the size of the store costs: the same questions to stores of 1,000 to 100,000 paths.

Every store holds clusters of 100 text objects that refer to each other, half of them kept by a
root, and a small project's environment. What asks about a path, a closure, or nothing at all of
the store is to take the same time in all of them; what looks at every path may take so many
microseconds for each.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stage import arguments, perform
from storeroom import Room, room
from timing import Command, Prepare, Run, counted, interleave, keep

SIZES = (1_000, 10_000, 100_000)
CLUSTER = 100
FLAT = 1.3
"""How many times as long as in the smallest store it may take in the largest."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A store that is asked."""

    here: Room
    name: str
    project: Path
    path: str
    """The last of the objects: its closure is its cluster."""

    def command(self, *argv: str | Path) -> Command:
        """Return a command of envtool's on it."""
        return self.here.ours(self.name, *argv)


@dataclass(frozen=True, slots=True)
class Row:
    """A question."""

    name: str
    each: float | None
    """Microseconds allowed for each path of the store; None: it is to be flat."""
    command: Callable[[Filled, int], Command]


def added(store: Filled, number: int) -> Command:
    """Return the addition of a file that is not there yet."""
    file = store.here.folder / f"new-{store.name}-{number}"
    file.write_text(f"{store.name} {number}")
    return store.command("store", "add", file)


ROWS = (
    Row("run true", None, lambda store, _: store.command("-C", store.project, "run", "true")),
    Row("path-info", None, lambda store, _: store.command("store", "path-info", store.path)),
    Row(
        "path-info of eight digits",
        None,
        lambda store, _: store.command("store", "path-info", Path(store.path).name[:8]),
    ),
    Row("closure of 100", None, lambda store, _: store.command("store", "closure", store.path)),
    Row("referrers", None, lambda store, _: store.command("store", "referrers", store.path)),
    Row("add a file", None, added),
    Row(
        "build, nothing to do",
        None,
        lambda store, _: store.command("-C", store.project, "build"),
    ),
    Row("mark", 20.0, lambda store, _: store.command("store", "gc", "--dry-run")),
    Row("verify", 40.0, lambda store, _: store.command("store", "verify")),
    # It marks again until so much is really free, which sizes of NARs only promise.
    Row("collect 10 kB", 50.0, lambda store, _: store.command("store", "gc", "--max", "10K")),
)


def fill(here: Room, size: int) -> Filled:
    """Make a store of so many paths and a project in it."""
    name = f"{size}"
    project = here.folder / f"project-{size}"
    project.mkdir()
    (project / "envtool.toml").write_text(
        f'name = "scale-{size}"\npython = "{here.python}"\ndependencies = []\n'
    )
    path = here.fill_ours(name, size, cluster=CLUSTER)
    perform(here.ours(name, "-C", project, "switch"))
    roots = here.root(name) / "var/gcroots/bench"
    roots.mkdir(parents=True)
    store = here.root(name) / "store"
    heads = [each for each in store.iterdir() if each.name.endswith(f"{CLUSTER - 1}")]
    for head in heads[::2]:
        (roots / head.name).symlink_to(head)
    return Filled(here, name, project, path)


def judge(row: Row, runs: dict[str, list[Run]]) -> None:
    """Print a row: the median in each store, and what the largest costs more."""
    medians = {name: statistics.median(run.wall for run in counted(runs[name])) for name in runs}
    small, *_, large = (str(size) for size in SIZES)
    told = "".join(f"{medians[name] * 1e3:10.1f}" for name in medians)
    if row.each is None:
        found = f"{medians[large] / medians[small]:.2f} times (at most {FLAT} wanted)"
    else:
        more = (medians[large] - medians[small]) / (SIZES[-1] - SIZES[0]) * 1e6
        found = f"{more:.1f} µs for each path (at most {row.each:.0f} wanted)"
    print(f"{row.name:28}{told}   {found}", flush=True)
    keep(f"scale {row.name}", runs, {"medians": medians, "found": found})


def main() -> None:
    """Measure all rows, or those whose names begin with one of the words."""
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("rows", nargs="*", help="how the names of the wanted rows begin")
    chosen = parser.parse_args()
    with room(chosen.folder) as here:
        stores = [fill(here, size) for size in SIZES]
        print(f"{'ms in a store of':28}" + "".join(f"{size:10,}" for size in SIZES))
        for row in ROWS:
            if row.name.startswith(tuple(chosen.rows) or ("",)):
                sides: dict[str, Prepare] = {
                    store.name: partial(row.command, store) for store in stores
                }
                judge(row, interleave(sides, rounds=chosen.rounds, wait=chosen.wait))


if __name__ == "__main__":
    main()
