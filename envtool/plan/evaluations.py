"""What locks evaluate to, kept in the cache by a hash of all that decides about it."""

import json
import os
from collections.abc import Sequence
from typing import Any

from envtool.errors import FormatError
from envtool.formats.digest import sha256
from envtool.formats.nix.storepath import StorePath
from envtool.machine.store import Store
from envtool.plan.derivations import VERSIONS, Known
from envtool.sources.interpreter import Interpreter
from envtool.values import asdict, value

__all__ = ["Planned", "memory", "recall", "remember", "remember_changed"]

_FORMAT = 1


@value
class Planned:
    """One package of an environment to be."""

    name: str
    version: str | None
    direct: bool
    """The declaration itself asks for it."""
    requires: tuple[str, ...]
    """Names of packages of the same environment."""
    known: Known
    """The derivation that realises it."""


def memory(cache: str, interpreter: Interpreter, lock_text: str) -> str:
    """Return the file in which it is kept what a lock evaluates to."""
    parts = [_FORMAT, VERSIONS, asdict(interpreter), lock_text]
    key = sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{cache}/evaluations/{key}.json"


def remember(place: str, packages: Sequence[Planned]) -> None:
    """Keep what a lock evaluates to."""
    _write(place, [asdict(package) for package in packages])


def remember_changed(former: str, place: str, name: str, version: str, known: Known) -> None:
    """Keep what a lock evaluates to that differs from a kept one in the version of one package."""
    packages = _read(former)
    changed = next((each for each in packages or () if each["name"] == name), None)
    if packages is None or changed is None:
        return
    changed["version"], changed["known"] = version, asdict(known)
    _write(place, packages)


def recall(place: str, store: Store) -> tuple[Planned, ...] | None:
    """Return what was kept, if all of it is valid; None otherwise."""
    kept = _read(place)
    if kept is None:
        return None
    try:
        packages = tuple(map(_planned, kept))
    except (KeyError, TypeError, FormatError):
        return None  # damaged: it is made again
    wanted = {package.known.output for package in packages}
    wanted |= {package.known.derivation for package in packages}
    return packages if store.valid(wanted) == wanted else None


def _read(place: str) -> list[dict[str, Any]] | None:
    try:
        with open(place, "rb") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None  # never kept, or damaged
    return found if isinstance(found, list) else None


def _write(place: str, packages: Sequence[dict[str, Any]]) -> None:
    temporary = f"{place}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(json.dumps(packages))  # `dump` is several times slower
        os.replace(temporary, place)
    except OSError:
        return  # a cache that cannot be written costs time, nothing else


def _planned(fields: dict[str, Any]) -> Planned:
    known = fields["known"]
    return Planned(
        name=str(fields["name"]),
        version=fields["version"],
        direct=bool(fields["direct"]),
        requires=tuple(fields["requires"]),
        known=Known(
            StorePath.parse(known["derivation"]), StorePath.parse(known["output"]), known["modulo"]
        ),
    )
