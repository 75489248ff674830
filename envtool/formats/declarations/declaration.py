"""What the user asks for, as a value: one environment, wherever it is written.

`envtool.formats.declarations.reading` makes it of a file's text.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from envtool.values import asdict, value

__all__ = [
    "MAIN",
    "Declaration",
    "KernelChoice",
    "Kind",
    "PathSource",
    "SystemChoice",
    "lock_digest",
    "lock_word",
]

Kind = Literal["envtool.toml", "pyproject.toml", "script", "notebook-cell", "notebook-metadata"]


@value
class PathSource:
    """A requirement satisfied by a directory or archive beside the declaration."""

    path: str
    """Relative to the declaration's folder, or absolute."""
    editable: bool


@value
class KernelChoice:
    """How the environment shows itself to Jupyter; its presence adds ipykernel to the lock."""

    name: str | None
    """Kernelspec name; None means the environment's own name."""
    display_name: str | None


MAIN = ("main",)
"""The components of a suite that are meant where none are named."""


@value
class SystemChoice:
    """The packages of Debian that make the environment's /usr."""

    packages: tuple[str, ...]
    """Names, or such as `git (>= 1:2.39)`; sorted."""
    suite: str | None
    """None: Debian's stable."""
    allowed: tuple[str, ...]
    """Names of packages whose maintainer scripts may fail; sorted."""
    components: tuple[str, ...] = MAIN
    """Parts of the suite, such as `main` and `contrib`; sorted."""


@value
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
    collisions: str = "refuse"
    """`refuse` or `warn`: what happens when two packages claim one file."""
    interpreter: str | None = None
    """`host`, `debian`, `debian/SUITE`, `standalone` or `closed`; None is `host`, or `closed`
    beside system packages."""
    libraries: tuple[str, ...] = ()
    """Sonames of what is opened by name at run time, which no file says; sorted."""
    host_drivers: bool = False
    """An interpreter of our own loads the libraries of the host's GPU driver."""
    system: SystemChoice | None = None

    @property
    def closed(self) -> tuple[str, ...]:
        """Where an interpreter of our own is taken from, the best first; none for the host's."""
        usual = "host" if self.system is None else "closed"
        source = (self.interpreter or usual).partition("/")[0]
        return {"host": (), "closed": ("debian", "standalone")}.get(source, (source,))

    @property
    def suites(self) -> tuple[str, ...]:
        """The suites of Debian that are named, the best first."""
        suite = (self.interpreter or "").partition("/")[2]
        return (suite,) if suite else ()


def lock_word(name: str) -> str:
    """Return the word that stands for the name in `pylock.WORD.toml`: PEP 751 allows no dot."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def lock_digest(declaration: Declaration, projects: Mapping[str, Any] | None = None) -> str:
    """Return `sha256-` and the base64 digest (the SRI form) of what influences the lock.

    Another order or spelling of the same requirements, another variable, hook or kernel name
    gives the same digest. `projects` is what of the local projects' own metadata has a say in it
    (`envtool.machine.local`); None when there are none.
    """
    import json

    from envtool.formats.nix.hashing import Hash

    locked = _what_is_locked(declaration)
    if projects:
        locked = {**locked, "projects": projects}
    canonical = json.dumps(locked, sort_keys=True, separators=(",", ":"))
    return Hash.of(canonical.encode("ascii")).sri


def _named(system: SystemChoice) -> dict[str, Any]:
    found = asdict(system)
    if system.components == MAIN:  # locks from before there was the key hold
        del found["components"]
    return found


def _what_is_locked(declaration: Declaration) -> Mapping[str, Any]:
    from envtool.formats.declarations.requirement import canonical

    closed: dict[str, Any] = {}
    if declaration.closed:
        closed["interpreter"] = declaration.interpreter
        if declaration.libraries:
            closed["libraries"] = declaration.libraries
        if declaration.host_drivers:
            # Not of the lock, but of the environment, whose generation is then another one.
            closed["host-drivers"] = True
    if declaration.system is not None:
        closed["system"] = _named(declaration.system)
    return {
        **closed,
        "python": declaration.python,
        "requirements": sorted({canonical(each) for each in declaration.requirements}),
        "sources": {
            name: {"path": source.path, "editable": source.editable}
            for name, source in declaration.sources
        },
        "index": declaration.index,
        "exclude-newer": declaration.exclude_newer,
        "sdists": declaration.sdists,
        "kernel": declaration.kernel is not None,
    }
