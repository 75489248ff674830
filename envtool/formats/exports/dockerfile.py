"""The lock as a Dockerfile that needs neither envtool nor a file beside it."""

import json
from collections.abc import Mapping

from envtool.formats.exports import requirements_txt
from envtool.formats.locked import Lock

__all__ = ["render"]


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
    lines = [
        "# syntax=docker/dockerfile:1",
        f"# {name}",
        f"FROM python:{lock.python.version}-slim",
        *(f"ENV {key}={_quoted(word)}" for key, word in variables.items()),
        "WORKDIR /app",
        *(f"COPY {json.dumps([path, f'./{path}'])}" for path in folders),
        "COPY <<'REQUIREMENTS' /app/requirements.txt",
        listed.rstrip("\n"),
        "REQUIREMENTS",
        f"RUN python -m pip install {options} -r /app/requirements.txt",
    ]
    return "\n".join(lines) + "\n"


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
