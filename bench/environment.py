"""An environment of the whole set: warm (all wheels at hand) and cold (nothing at hand).

envtool realises its lock with `build`; uv fills an empty virtual environment with `pip sync`.
Making that empty environment is not timed. Warm is a fresh environment each time, under a fresh
name; cold is a fresh store or cache each time, and the same index on loopback for both.
"""

from stage import Stage, options, perform, stage
from timing import Command, interleave, report

WARM_GOAL = 0.5
COLD_GOAL = 1.5


def warm_envtool(here: Stage, number: int) -> Command:
    """Build an environment whose wheels are all in the store."""
    return here.envtool(here.project(f"warm-{number}"), "build")


def warm_uv(here: Stage, number: int) -> Command:
    """Fill a virtual environment whose wheels are all in the cache."""
    return here.uv_sync(here.venv(f"warm-{number}"))


def cold_envtool(here: Stage, number: int) -> Command:
    """Build an environment into an empty root."""
    project = here.project(f"cold-{number}")
    return here.envtool(project, "build", ENVTOOL_ROOT=here.folder / f"cold-root-{number}")


def cold_uv(here: Stage, number: int) -> Command:
    """Fill a virtual environment through an empty cache."""
    venv = here.venv(f"cold-{number}")
    return here.uv_sync(venv, UV_CACHE_DIR=here.folder / f"cold-cache-{number}")


def main() -> None:
    """Measure warm, then cold."""
    chosen = options(__doc__)
    with stage(chosen) as here:
        perform(here.uv_sync(here.venv("first")))
        perform(here.envtool(here.project("first"), "build"))
        warm = interleave(
            {"envtool": lambda n: warm_envtool(here, n), "uv": lambda n: warm_uv(here, n)},
            rounds=chosen.rounds or 7,
            wait=chosen.wait,
        )
        report("environment warm", warm, goal=WARM_GOAL)
        cold = interleave(
            {"envtool": lambda n: cold_envtool(here, n), "uv": lambda n: cold_uv(here, n)},
            rounds=chosen.rounds or 3,
            wait=chosen.wait,
        )
        report("environment cold", cold, goal=COLD_GOAL)


if __name__ == "__main__":
    main()
