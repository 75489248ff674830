"""The second import of pandas, matplotlib and scikit-learn, with bytecode on both sides.

envtool compiles on the first import into a cache that all environments share; the virtual
environment is compiled as a whole beforehand. Both use the same interpreter.
"""

from stage import Stage, options, perform, stage
from timing import Command, interleave, report

GOAL = 1.05
IMPORTS = "import pandas, matplotlib.pyplot, sklearn.linear_model"
INTERPRETER = 'import sys; print(f"{sys.base_prefix}/bin/python3.{sys.version_info[1]}")'


def envtool_import(here: Stage) -> Command:
    """Realise the set and return the command that imports from it."""
    project = here.project("bench")
    perform(here.envtool(project, "switch"))
    return here.envtool(project, "run", "python", "-c", IMPORTS)


def uv_import(here: Stage, interpreter: str) -> Command:
    """Fill and compile a virtual environment and return the command that imports from it."""
    venv = here.folder / "compiled"
    perform(here.uv("venv", "-q", "--python", interpreter, venv))
    perform(here.uv_sync(venv, "--compile-bytecode"))
    return here.command([venv / "bin/python", "-c", IMPORTS])


def main() -> None:
    """Measure, after one import each that fills caches (also matplotlib's of fonts)."""
    chosen = options(__doc__)
    with stage(chosen) as here:
        ours = envtool_import(here)
        interpreter = perform(
            here.envtool(here.folder / "projects/bench", "run", "python", "-c", INTERPRETER)
        )
        theirs = uv_import(here, interpreter)
        perform(ours)
        perform(theirs)
        runs = interleave(
            {"envtool": lambda _: ours, "venv": lambda _: theirs},
            rounds=chosen.rounds or 11,
            wait=chosen.wait,
        )
        report("second import", runs, goal=GOAL)


if __name__ == "__main__":
    main()
