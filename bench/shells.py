"""What entering and going back cost: shells, the prompt, scripts, rollback, switching one package.

Where uv has the same, it is timed beside; a shell that does nothing is the floor under the rest.
`nix-shell` needs nixpkgs to start at all, so it is not among the peers.
"""

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from run import envtool_project, uv_project
from stage import DIRECT, Stage, envtool, options, perform, stage
from timing import Command, Prepare, interleave, keep, median, report

from envtool.build.generation import add_generation
from envtool.formats.generation import Package, Record
from envtool.machine.settings import Settings
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

ROUNDS = 21
SWITCHES = 8
RUN_GOAL = 1.0
PROMPTS = 500
"""Prompts that one shell shows itself, so that its own start does not count."""
MANY = 300
"""Packages of the environment that is rolled back."""
DROPPED = "scikit-learn"
HOOK = {
    "bash": "{hook}\n__envtool_hook\na=$EPOCHREALTIME\n"
    "for ((i = 0; i < {prompts}; i++)); do __envtool_hook; done\n"
    'echo "$a $EPOCHREALTIME"\n',
    "zsh": "zmodload zsh/datetime\n{hook}\n__envtool_hook\na=$EPOCHREALTIME\n"
    "for ((i = 0; i < {prompts}; i++)); do __envtool_hook; done\n"
    'echo "$a $EPOCHREALTIME"\n',
    "fish": "{hook}\n__envtool_hook\nset a (date +%s.%N)\n"
    "for i in (seq {prompts}); __envtool_hook; end\n"
    "echo $a (date +%s.%N)\n",
}
Sides = dict[str, Prepare]
PLAIN = {
    "bash": ["--noprofile", "--norc", "-c"],
    "zsh": ["-f", "-c"],
    "fish": ["--no-config", "-c"],
}


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often, and how patiently."""

    count: int
    wait: float


def prompts(project: Command) -> None:
    """Print what a prompt costs where nothing has changed, in an entered project."""
    perform(replace(project, argv=(envtool(), "allow")))
    for shell, text in HOOK.items():
        program = shutil.which(shell)
        if program is None:
            continue
        hook = perform(replace(project, argv=(envtool(), "hook", shell)))
        script = text.replace("{hook}", hook).replace("{prompts}", str(PROMPTS))
        command = replace(project, argv=(program, *PLAIN[shell], script))
        start, end = perform(command).split()[-2:]
        each = (float(end) - float(start)) / PROMPTS
        print(f"prompt of {shell}, nothing changed: {each * 1e3:.2f} ms (at most 15 ms wanted)")
        keep(f"prompt {shell}", {}, {"seconds": each, "goal": 0.015})
    print(flush=True)


def limited(name: str, command: Prepare, rounds: Rounds, *, limit: float) -> None:
    """Time a command for which there is no peer, and hold it to a limit in seconds."""
    runs = interleave({name: command}, rounds=rounds.count, wait=rounds.wait)
    found = median(runs[name])
    print(f"{name}: {found * 1e3:.1f} ms (at most {limit * 1e3:.0f} ms wanted)\n", flush=True)
    keep(name, runs, {"seconds": found, "goal": limit})


def many_packages(here: Stage) -> Command:
    """Make two generations of an environment of many packages; return a command to time there."""
    folder = here.folder / "many"
    folder.mkdir()
    (folder / "envtool.toml").write_text('name = "many"\ndependencies = []\n')
    command = replace(here.command([envtool(), "switch"]), folder=str(folder))
    perform(command)
    workspace = Workspace(Settings(str(here.folder / "root")))
    project = open_project(str(folder))
    current = workspace.current(project)
    assert current is not None
    record = current[1]
    for version in ("1", "2"):
        packages = [
            Package(
                name=f"package-{number}",
                version=version,
                path=None,
                size=1000,
                direct=True,
                requires=[],
            )
            for number in range(MANY)
        ]
        fields = {name: getattr(record, name) for name in Record.__slots__}
        more = Record(**{**fields, "packages": packages})
        text = (folder / "envtool.toml").read_text()
        workspace.profile(project).set(add_generation(workspace.store, more, text, "lock"))
    return command


def script(here: Stage, rounds: Rounds) -> None:
    """Print how much longer the second start of a script takes than that of a bare Python."""
    path = here.folder / "script"
    block = "# /// script\n# dependencies = []\n# ///\n"
    path.write_text(f"#!/usr/bin/env -S envtool run\n{block}pass\n")
    path.chmod(0o755)
    folders = f"{os.path.dirname(envtool())}:{os.environ['PATH']}"
    command, bare = here.command([path], PATH=folders), here.command([sys.executable, "-c", "pass"])
    perform(command)
    sides = {"script": lambda _: command, "bare python": lambda _: bare}
    runs = interleave(sides, rounds=rounds.count, wait=rounds.wait)
    more = median(runs["script"]) - median(runs["bare python"])
    print(f"second start of a script: Python and {more * 1e3:.1f} ms (at most 60 ms wanted)\n")
    keep("script", runs, {"seconds": more, "goal": 0.06})


def declare(path: Path, *, dropped: bool) -> None:
    """Change one requirement of a project, and the comment that makes the text a new one."""
    lines = path.read_text().splitlines()
    kept = [line for line in lines if DROPPED not in line]
    if not dropped:
        at = next(number for number, line in enumerate(kept) if DIRECT[0] in line)
        kept.insert(at, f'    "{DROPPED}",')
    path.write_text("\n".join(kept) + "\n")


def switching(here: Stage, ours: Command, theirs: Command) -> Sides:
    """Return both tools' ways from a changed requirement to an environment that answers it."""

    def envtools(number: int) -> Command:
        path = Path(ours.folder) / "envtool.toml"
        declare(path, dropped=number % 2 == 0)
        # Under a new name, or every second round would find the environment made already.
        lines = path.read_text().splitlines()
        lines = [f'name = "bench-{number}"' if line.startswith("name") else line for line in lines]
        path.write_text("\n".join(lines) + "\n")
        return replace(ours, argv=(envtool(), "switch"))

    def uvs(number: int) -> Command:
        declare(Path(theirs.folder) / "pyproject.toml", dropped=number % 2 == 0)
        return replace(here.uv("sync", "-q"), folder=theirs.folder)

    return {"envtool": envtools, "uv": uvs}


def main() -> None:
    """Measure."""
    chosen = options(__doc__)
    rounds = Rounds(chosen.rounds or ROUNDS, chosen.wait)
    with stage(chosen) as here:
        ours, theirs = envtool_project(here), uv_project(here)
        sides: Sides = {"envtool": lambda _: ours, "uv": lambda _: theirs}
        report("run true", interleave(sides, rounds=rounds.count, wait=rounds.wait), goal=RUN_GOAL)
        shell = replace(ours, argv=(envtool(), "shell", "--shell", "bash", "--run", "true"))
        limited("shell --run true", lambda _: shell, rounds, limit=0.1)
        prompts(ours)
        script(here, rounds)
        many = many_packages(here)
        there_and_back = [
            replace(many, argv=(envtool(), "rollback", number)) for number in ("2", "3")
        ]
        limited("rollback", lambda number: there_and_back[number % 2], rounds, limit=0.06)
        runs = interleave(switching(here, ours, theirs), rounds=SWITCHES, wait=rounds.wait)
        report("switch one of 105", runs, goal=0.5)


if __name__ == "__main__":
    main()
