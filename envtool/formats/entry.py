"""The variables of an entered environment: the one list that every way of entering follows.

Imported by the fast lane of `envtool run`, so it imports nothing.
"""

REMOVED = ("PYTHON*", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "CONDA_PREFIX", "__PYVENV_LAUNCHER__")
"""Variables of the host that would lead a Python astray; `*` stands for any ending."""


def assigned(
    environment: str, generation: str, project: str, declared: dict[str, str]
) -> dict[str, str]:
    """Return what is set: the declaration's own variables, PYTHONPATH, and who we are.

    `environment` is the physical folder of the environment, `generation` the number in decimal,
    `project` the declaration's folder.
    """
    return {
        **declared,
        # A folder of the environment, so that neither the host nor a start-up file fills it.
        "PYTHONPATH": f"{environment}/lib/envtool",
        "ENVTOOL_ENVIRONMENT": environment,
        "ENVTOOL_GENERATION": generation,
        "ENVTOOL_PROJECT": project,
    }


SYSTEM_PROGRAMS = ("/.envtool/bin", "/usr/bin", "/bin")
"""What follows the environment's programs on PATH where system packages are declared: envtool
itself, and theirs."""


def programs(environment: str) -> str:
    """Return the folder that leads PATH."""
    return f"{environment}/bin"
