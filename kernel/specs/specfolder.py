"""Where Jupyter looks for kernelspecs of this user, and how one of ours is told from others."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from envtool.values import value

__all__ = [
    "NAME",
    "SPEC",
    "KernelSpecInfo",
    "entries",
    "jupyter_folder",
    "owner",
    "read_spec",
    "search_path",
]

SPEC = "kernel.json"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""What Jupyter takes for a name."""


@value
class KernelSpecInfo:
    """One kernelspec of ours."""

    name: str
    display_name: str
    directory: str
    """Absolute folder that holds its `kernel.json`."""
    project: str | None
    """Absolute path of the declaration; None: it is found out at each start."""
    environment: str
    generation: int | None
    """Number of the generation that a kernel started now would run in; None: it makes the first."""
    drifted: bool
    """Whether the declaration or its lock has changed since that generation."""
    stale: str | None
    """Why it cannot work any more; None when it can."""


def jupyter_folder(prefix: str | None) -> str:
    """Return the data folder below a prefix; None stands for the user's own."""
    return _data_folder(os.environ) if prefix is None else f"{_absolute(prefix)}/share/jupyter"


def read_spec(directory: str) -> dict[str, Any] | None:
    """Return the spec in a folder; None when there is none that can be read."""
    try:
        with open(f"{directory}/{SPEC}", "rb") as file:
            spec = json.load(file)
    except (OSError, ValueError):
        return None
    return spec if isinstance(spec, dict) else None


def owner(spec: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """Return declaration (None: any) and environment of a spec of ours; None for another's."""
    metadata = spec.get("metadata")
    own = metadata.get("envtool") if isinstance(metadata, dict) else None
    if not isinstance(own, dict):
        return None
    if own.get("generic") is True:
        return None, "default"
    declaration, environment = own.get("declaration"), own.get("environment")
    if not isinstance(declaration, str) or not isinstance(environment, str):
        return None
    return declaration, environment


def entries(folder: str) -> list[str]:
    """Return the sorted names in a folder, which need not exist."""
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def search_path(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield Jupyter's data folders that are the user's to change."""
    yield from (part for part in environ.get("JUPYTER_PATH", "").split(":") if part)
    yield _data_folder(environ)


def _data_folder(environ: Mapping[str, str]) -> str:
    """Return what `jupyter_core.paths.jupyter_data_dir()` does, whose package we may lack."""
    if own := environ.get("JUPYTER_DATA_DIR"):
        return _absolute(own)
    data = environ.get("XDG_DATA_HOME") or f"{os.path.expanduser('~')}/.local/share"
    return _absolute(f"{data}/jupyter")


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
