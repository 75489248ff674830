"""What is known of each wheel that was ever joined, so that changing to it asks nobody again.

By name and version: the wheel's piece of the lock, the derivation that it leads to, and what its
metadata requires. Other indexes, cut-offs and interpreters have entries of their own.
"""

import json
import os
from typing import TYPE_CHECKING

from envtool.errors import FormatError
from envtool.formats.digest import sha256
from envtool.formats.lock_blocks import find_block, is_plain
from envtool.formats.nix.storepath import StorePath
from envtool.plan.derivations import VERSIONS, Known
from envtool.values import asdict, value

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from envtool.formats.declarations.declaration import Declaration
    from envtool.machine.store import Store
    from envtool.plan.evaluations import Planned
    from envtool.sources.interpreter import Interpreter

__all__ = ["KnownWheel", "folder", "keep", "read"]

_FORMAT = 1
_INDEXES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
"""What the names of uv's variables begin with that say where packages are."""
_REQUIRES, _PYTHON = "Requires-Dist:", "Requires-Python:"


@value
class KnownWheel:
    """What is known of one wheel."""

    block: str
    """Its piece of a lock (`envtool.formats.lock_blocks`)."""
    known: Known
    requires: tuple[str, ...]
    """Its requirements as its metadata has them, markers and extras included."""
    python: str
    """Which Pythons it is for, as its metadata has it; empty: any."""


def folder(
    cache: str, declaration: "Declaration", interpreter: "Interpreter", environ: "Mapping[str, str]"
) -> str:
    """Return the folder of what holds for a declaration on this machine."""
    from envtool.machine.fetching.index import configured_index

    index = declaration.index or configured_index(environ)
    reaching = sorted(item for item in environ.items() if item[0].startswith(_INDEXES))
    parts = [_FORMAT, VERSIONS, asdict(interpreter), index, reaching, declaration.exclude_newer]
    key = sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{cache}/entries/{key}"


def read(place: str, name: str, version: str) -> KnownWheel | None:
    """Return what is known of a version; None when nothing is."""
    try:
        with open(_file(place, name, version), "rb") as file:
            fields = json.load(file)
        derivation, output = map(StorePath.parse, (fields["derivation"], fields["output"]))
        known = Known(derivation, output, str(fields["modulo"]))
        return KnownWheel(fields["block"], known, tuple(fields["requires"]), str(fields["python"]))
    except (OSError, ValueError, KeyError, TypeError, FormatError):
        return None  # never kept, or damaged


def keep(
    place: str,
    packages: "Sequence[Planned]",
    new: "Collection[str]",
    lock_text: str,
    store: "Store",
) -> None:
    """Keep what is known of the wheels of an environment that was just realised.

    `new` are names of packages that were not known before, or not as they are now.
    """
    try:
        os.makedirs(place, exist_ok=True)
        there = set(os.listdir(place))
        for package in packages:
            file = os.path.basename(_file(place, package.name, package.version or ""))
            if file not in there or package.name in new:
                _keep(place, package, lock_text, store)
    except OSError:
        return  # a cache that cannot be written costs time, nothing else


def _keep(place: str, package: "Planned", lock_text: str, store: "Store") -> None:
    block = find_block(lock_text, package.name)
    if block is None or package.version is None or not is_plain(block):
        return
    before = read(place, package.name, package.version)
    if before is not None and (before.block, before.known) == (block, package.known):
        return
    requires, python = _metadata(store.physical(package.known.output))
    fields = {"block": block, **asdict(package.known), "requires": requires, "python": python}
    file = _file(place, package.name, package.version)
    temporary = f"{file}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(fields))
    os.replace(temporary, file)


def _file(place: str, name: str, version: str) -> str:
    return f"{place}/{name}-{version}.json".replace("!", "_")


def _metadata(unpacked: str) -> tuple[list[str], str]:
    """Return what an unpacked wheel requires, and for which Pythons it is."""
    site = f"{unpacked}/site-packages"
    info = next(name for name in os.listdir(site) if name.endswith(".dist-info"))
    with open(f"{site}/{info}/METADATA", encoding="utf-8", errors="replace") as file:
        head = file.read().partition("\n\n")[0].splitlines()
    requires = [line[len(_REQUIRES) :].strip() for line in head if line.startswith(_REQUIRES)]
    python = [line[len(_PYTHON) :].strip() for line in head if line.startswith(_PYTHON)]
    return sorted(requires), python[0] if python else ""
