"""What the user asks for, from any of the places it may be written."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["envtool.toml", "pyproject.toml", "script", "notebook-cell", "notebook-metadata"]


@dataclass(frozen=True, slots=True)
class PathSource:
    """A requirement satisfied by a directory or archive beside the declaration."""

    path: str
    """Relative to the declaration's folder, or absolute."""
    editable: bool


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """How the environment shows itself to Jupyter; its presence adds ipykernel to the lock."""

    name: str | None
    """Kernelspec name; None means the environment's own name."""
    display_name: str | None


@dataclass(frozen=True, slots=True)
class Declaration:
    """One environment as the user asks for it, groups and named environments already joined in."""

    path: str
    """Absolute path of the file it was read from."""
    kind: Kind
    name: str
    """The project's name: [a-z0-9._-]; by default the folder's or the file's."""
    environment: str
    """`default` or the name of an `[env.NAME]` table."""
    python: str | None
    """PEP 440 specifier such as `==3.11.*` or `>=3.11`; None means any."""
    requirements: tuple[str, ...]
    """PEP 508 strings in the order of the declaration; `name @ url` for VCS and URLs."""
    sources: tuple[tuple[str, PathSource], ...]
    """Normalised package name to path, sorted; each name is among the requirements."""
    index: str | None
    exclude_newer: str | None
    """RFC 3339 date or timestamp; None means now."""
    sdists: tuple[str, ...]
    """Normalised names the user allows to be built from an sdist; sorted."""
    variables: tuple[tuple[str, str], ...]
    hook: str | None
    kernel: KernelChoice | None
