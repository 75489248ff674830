"""Switching to another version of one of 105 packages, beside uv's sync: what an edit costs.

Like is timed with like: one pin of the declaration names another version, whose wheel both tools
have at hand, then `envtool switch` and `uv sync` lock and make the environment that it asks for.
That is what a person types. Below it is the same with the lock made beforehand: `envtool switch`
and `uv sync --frozen`.

Each round changes another package, so that its environment was never made before: first the seven
that the set is made of, which is what people pin, then small ones that came along. What uv's part
takes depends on how many files the package has and on the file system (`--folder`).
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from index import OLDER, REQUIREMENTS
from stage import DIRECT, Stage, envtool, options, perform, stage
from timing import Command, Prepare, interleave, median, report

GOAL = 0.5
LEAST = """
import os, sqlite3, sys, tomllib
with open(sys.argv[1], "rb") as file:
    tomllib.load(file)
os.mkdir(sys.argv[2])
for number in range(242):
    os.symlink(f"../../object/{number}", f"{sys.argv[2]}/{number}")
database = sqlite3.connect(f"{sys.argv[2]}/db")
database.execute("create table paths (path)")
database.execute("insert into paths values ('path')")
database.commit()
"""
"""What no program in Python can leave out: reading a declaration, linking, and one commit."""
Sides = dict[str, Prepare]


def pins(path: Path) -> dict[str, str]:
    """Return the requirements of a list by name."""
    return {line.split("==")[0]: line for line in path.read_text().split()}


class Projects:
    """A project of each tool, with the same requirements."""

    def __init__(self, here: Stage, name: str) -> None:
        self.here = here
        self.older = pins(OLDER)
        newest = pins(REQUIREMENTS)
        self.pins = [newest[name] for name in self.older]
        """What is asked for beside the set, one version each."""
        self.ours = here.folder / f"{name}-envtool"
        self.theirs = here.folder / f"{name}-uv"
        self.ours.mkdir()
        self.theirs.mkdir()

    def age(self, number: int) -> None:
        """Ask for the older version of one package, the older ones of former rounds remain."""
        self.pins[number] = list(self.older.values())[number]

    def declare(self) -> None:
        """Write both declarations."""
        python = self.here.python
        rest = [name for name in DIRECT if name not in self.older]
        lines = "".join(f'    "{requirement}",\n' for requirement in [*rest, *self.pins])
        (self.ours / "envtool.toml").write_text(
            f'name = "bench"\npython = "{python}"\ndependencies = [\n{lines}]\n'
        )
        (self.theirs / "pyproject.toml").write_text(
            f'[project]\nname = "bench"\nversion = "0"\nrequires-python = "=={python}.*"\n'
            f"dependencies = [\n{lines}]\n"
            "[tool.uv]\nenvironments = [\"sys_platform == 'linux'\"]\n"
        )

    def switch(self) -> Command:
        """Return envtool's command."""
        return replace(self.here.command([envtool(), "switch"]), folder=str(self.ours))

    def sync(self, *options: str) -> Command:
        """Return uv's command."""
        command = self.here.uv("sync", "-q", "--python", self.here.python, *options)
        return replace(command, folder=str(self.theirs))


def sides(here: Stage, name: str, numbers: Sequence[int], *, locked: bool) -> Sides:
    """Make both projects; return their ways to the other version of each of the packages."""
    projects = Projects(here, name)
    projects.declare()
    perform(projects.switch())
    perform(projects.sync())

    def envtools(number: int) -> Command:
        prepare(projects, numbers[number])
        if locked:
            perform(replace(projects.switch(), argv=(envtool(), "lock")))
        return projects.switch()

    def uvs(number: int) -> Command:
        prepare(projects, numbers[number])
        if locked:
            perform(replace(here.uv("lock", "-q"), folder=str(projects.theirs)))
        return projects.sync(*(("--frozen",) if locked else ()))

    return {"envtool": envtools, "uv": uvs}


def prepare(projects: Projects, number: int) -> None:
    """Ask both tools for the older version of the round's package."""
    projects.age(number)
    projects.declare()


def warm(here: Stage) -> None:
    """Have the older versions in both tools' stores and caches."""
    projects = Projects(here, "older")
    for number in range(len(projects.pins)):
        projects.age(number)
    projects.declare()
    perform(projects.switch())
    perform(projects.sync())


def least(here: Stage, chosen: Namespace) -> None:
    """Print what an empty Python takes, and one that does nothing but what has to be done."""
    declaration = here.folder / "older-envtool/envtool.toml"
    sides: Sides = {
        "empty": lambda _: here.command([sys.executable, "-c", "pass"]),
        "least": lambda number: here.command(
            [sys.executable, "-c", LEAST, declaration, here.folder / f"least-{number}"]
        ),
    }
    for name, runs in interleave(sides, rounds=chosen.rounds or 11, wait=chosen.wait).items():
        print(f"Python, {name}: {median(runs) * 1e3:.1f} ms", flush=True)


def main() -> None:
    """Measure."""
    chosen = options(__doc__)
    with stage(chosen) as here:
        warm(here)
        least(here, chosen)
        for kind, wanted in (("asked for", True), ("small", False)):
            numbers = [at for at, name in enumerate(pins(OLDER)) if (name in DIRECT) is wanted]
            for locked in (False, True):
                name = f"switch one of 105, {kind}{', locked before' if locked else ''}"
                both = sides(here, name.replace(" ", "-"), numbers, locked=locked)
                rounds = min(chosen.rounds or len(numbers), len(numbers))
                report(name, interleave(both, rounds=rounds, wait=chosen.wait), goal=GOAL)


if __name__ == "__main__":
    main()
