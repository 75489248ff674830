"""What a command costs more when it runs in an environment that is up to date.

Both tools have the whole set in their project, and are started in its folder. A bare Python is in
the table as the floor under any tool that is written in Python.
"""

import sys
from dataclasses import replace

from stage import DIRECT, Stage, envtool, options, perform, stage
from timing import Command, interleave, report

GOAL = 1.3


def uv_project(here: Stage) -> Command:
    """Make a synchronised project of uv's and return the command to time in it."""
    folder = here.folder / "uv-project"
    folder.mkdir()
    wanted = "".join(f'    "{requirement}",\n' for requirement in DIRECT)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "bench"\nversion = "0"\n'
        f'requires-python = "=={here.python}.*"\ndependencies = [\n{wanted}]\n'
        "[tool.uv]\nenvironments = [\"sys_platform == 'linux'\"]\n"
    )
    perform(here.uv("sync", "-q", "--python", here.python, "--project", folder))
    return replace(here.uv("run", "true"), folder=str(folder))


def envtool_project(here: Stage) -> Command:
    """Make a project of envtool's, switch to it and return the command to time in it."""
    project = here.project("bench")
    perform(here.envtool(project, "switch"))
    return replace(here.command([envtool(), "run", "true"]), folder=str(project))


def main() -> None:
    """Measure."""
    chosen = options(__doc__)
    with stage(chosen) as here:
        ours, theirs = envtool_project(here), uv_project(here)
        bare = here.command([sys.executable, "-I", "-S", "-c", "1"])
        runs = interleave(
            {"envtool": lambda _: ours, "uv": lambda _: theirs, "bare python": lambda _: bare},
            rounds=chosen.rounds or 21,
            wait=chosen.wait,
        )
        report("run true", runs, goal=GOAL)


if __name__ == "__main__":
    main()
