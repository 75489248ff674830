"""What entering and going back cost: shells, the prompt, scripts, rollback.

Where uv has the same, it is timed beside, and `nix-shell` where it is to be had: with a derivation
of nothing, since it takes the rest from nixpkgs, which would take longer.
"""

import os
import shutil
import sys
from dataclasses import dataclass, replace

from run import envtool_project, uv_project
from stage import Stage, envtool, options, perform, stage
from storeroom import Room
from timing import Command, Prepare, interleave, keep, median, report

from envtool.build.generation import add_generation
from envtool.formats.generation import Package, Record
from envtool.machine.settings import Settings
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

ROUNDS = 21
RUN_GOAL = 1.0
PROMPTS = 500
"""Prompts that one shell shows itself, so that its own start does not count."""
MANY = 300
"""Packages of the environment that is rolled back."""
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


def limited(
    name: str, command: Prepare, rounds: Rounds, *, limit: float, others: Sides | None = None
) -> None:
    """Time a command, and hold it to a limit in seconds; others are shown beside."""
    runs = interleave({name: command, **(others or {})}, rounds=rounds.count, wait=rounds.wait)
    found = median(runs[name])
    print(f"{name}: {found * 1e3:.1f} ms (at most {limit * 1e3:.0f} ms wanted)", flush=True)
    for other in others or {}:
        print(f"  {other}: {median(runs[other]) * 1e3:.1f} ms")
    print(flush=True)
    keep(name, runs, {"seconds": found, "goal": limit})


def nix_shell(here: Stage) -> Sides:
    """Return the peer of `shell --run true`; nothing where there is no `nix-shell`."""
    if shutil.which("nix-shell") is None:
        return {}
    text = 'derivation { name = "shell"; system = builtins.currentSystem; builder = "/bin/sh"; }'
    command = Room(here.folder).theirs("shell", "nix-shell", "-E", text, "--run", "true")
    # Or it would look for bash in nixpkgs.
    shell = {"NIX_BUILD_SHELL": shutil.which("bash") or "bash"}
    command = replace(command, environment={**command.environment, **shell})
    perform(command)
    return {"nix-shell": lambda _: command}


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


def main() -> None:
    """Measure."""
    chosen = options(__doc__)
    rounds = Rounds(chosen.rounds or ROUNDS, chosen.wait)
    with stage(chosen) as here:
        ours, theirs = envtool_project(here), uv_project(here)
        sides: Sides = {"envtool": lambda _: ours, "uv": lambda _: theirs}
        report("run true", interleave(sides, rounds=rounds.count, wait=rounds.wait), goal=RUN_GOAL)
        shell = replace(ours, argv=(envtool(), "shell", "--shell", "bash", "--run", "true"))
        nix = nix_shell(here)
        limited("shell --run true", lambda _: shell, rounds, limit=0.1, others=nix)
        prompts(ours)
        script(here, rounds)
        many = many_packages(here)
        there_and_back = [
            replace(many, argv=(envtool(), "rollback", number)) for number in ("2", "3")
        ]
        limited("rollback", lambda number: there_and_back[number % 2], rounds, limit=0.06)


if __name__ == "__main__":
    main()
