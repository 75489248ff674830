"""The lock as a Dockerfile that needs neither envtool nor a file beside it."""

import json
from collections.abc import Mapping, Sequence

from envtool.formats.exports import requirements_txt
from envtool.formats.locked import Lock

__all__ = ["render", "system_names"]


def render(lock: Lock, name: str, variables: Mapping[str, str]) -> str:
    """Return a Dockerfile; local projects are copied from the folder that is built.

    :raises ValueError: a local project lies outside that folder, where Docker cannot reach.
    """
    folders = [each.directory.path for each in lock.packages if each.directory]
    outside = [path for path in folders if path.startswith(("/", ".."))]
    if outside:
        raise ValueError(f"{', '.join(outside)} lies outside the folder that Docker builds from")
    listed = requirements_txt.render(lock)
    options = "--no-cache-dir --no-deps" + (" --require-hashes" * ("--hash=" in listed))
    debs = system_names(lock)
    suite = f"-{lock.system.packages[0].suite}" if lock.system and lock.system.packages else ""
    lines = [
        "# syntax=docker/dockerfile:1",
        f"# {name}",
        f"FROM python:{lock.python.version}-slim{suite}",
        *(f"ENV {key}={_quoted(word)}" for key, word in variables.items()),
        *([_apt(debs)] if debs else ()),
        "WORKDIR /app",
        *(f"COPY {json.dumps([path, f'./{path}'])}" for path in folders),
        "COPY <<'REQUIREMENTS' /app/requirements.txt",
        listed.rstrip("\n"),
        "REQUIREMENTS",
        f"RUN python -m pip install {options} -r /app/requirements.txt",
    ]
    return "\n".join(lines) + "\n"


def system_names(lock: Lock) -> list[str]:
    """Return the packages of Debian that the packages of Python need, or that are declared."""
    asked = lock.system.requested if lock.system else ()
    libraries = [each.package.name for each in lock.python.pins.libraries]
    return sorted({*(each.partition(" ")[0] for each in asked), *libraries})


def _apt(names: Sequence[str]) -> str:
    return (
        "RUN apt-get update && apt-get install -y --no-install-recommends "
        f"{' '.join(names)} && rm -rf /var/lib/apt/lists/*"
    )


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
