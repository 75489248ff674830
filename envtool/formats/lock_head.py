"""The head of a lock: what it answers and for which Python, without reading its packages."""

from __future__ import annotations

from envtool.errors import FormatError
from envtool.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from envtool.formats.lock import Lock
    from envtool.formats.locked import LockedSystem, Pins

_PACKAGES = "\n[[packages]]"
_DEBIAN = "\n[tool.envtool.debian]\n"
"""The last of our tables."""


@value
class Head:
    """What stands before the packages."""

    declaration: str
    """Digest of the declaration that the lock answers; empty in another tool's lock."""
    python: str | None
    """Feature release, `3.11`; None in another tool's lock."""
    source: str = "host"
    """Where the interpreter comes from: `host`, `debian` or `standalone`."""


def read_head(text: str, path: str) -> Head:
    """Return the head of the lock, which lies at or in the file `path`.

    :raises LockError: the text is no lock.
    """
    import tomllib

    try:
        table = tomllib.loads(text.partition(_PACKAGES)[0])
    except tomllib.TOMLDecodeError:
        return _thorough(text, path)
    ours = _table(_table(table, "tool"), "envtool")
    version = _table(ours, "python").get("version")
    declaration = ours.get("declaration")
    if isinstance(version, str) and isinstance(declaration, str):
        return Head(declaration, version, str(_table(ours, "python").get("source", "host")))
    return _thorough(text, path)


def read_pinned(text: str, path: str) -> Pins:
    """Return what the lock's interpreter is made of, without reading its other packages.

    :raises LockError: the text is no lock, or does not say so.
    """
    import tomllib

    from envtool.formats import standalone
    from envtool.formats.debian.package import read_locked
    from envtool.formats.locked import LockedLibrary, Pins

    try:
        python = tomllib.loads(text.partition(_PACKAGES)[0])["tool"]["envtool"]["python"]
        debian = tomllib.loads(text.partition(_DEBIAN)[2])
        archive = None
        if python["source"] == "standalone":
            archive = standalone.read_locked(python["archive"])
        return Pins(
            tuple(map(read_locked, debian["interpreter"])),
            archive,
            tuple(
                LockedLibrary(read_locked(each), tuple(map(str, each["asked"])))
                for each in debian.get("libraries", ())
            ),
            tuple(map(str, debian.get("inheriting", ()))),
            tuple(map(str, debian.get("programs", ()))),
            tuple(map(read_locked, debian.get("headers", ()))),
        )
    except (tomllib.TOMLDecodeError, FormatError, LookupError, TypeError, AttributeError):
        return _parsed(text, path).python.pins


def read_system(text: str, path: str) -> LockedSystem | None:
    """Return what the lock's system root is made of; None when it has none.

    :raises LockError: the text is no lock.
    """
    if "\nsystem = [" not in text.partition(_DEBIAN)[2]:
        return None
    import tomllib

    from envtool.formats.debian.package import read_locked
    from envtool.formats.locked import LockedSystem

    try:
        table = tomllib.loads(text.partition(_DEBIAN)[2])
        packages = tuple(map(read_locked, table["system"]))
        allowed = tuple(map(str, table.get("allow-failures", ())))
        return LockedSystem(tuple(map(str, table["requested"])), allowed, packages)
    except (tomllib.TOMLDecodeError, FormatError, LookupError, TypeError, AttributeError):
        return _parsed(text, path).system


def read_debian(text: str) -> Mapping[str, Any]:
    """Return our last table, of packages of Debian, unchecked; empty where there is none.

    :raises TOMLDecodeError: it is not the last, or no TOML.
    """
    import tomllib

    return tomllib.loads(text.partition(_DEBIAN)[2])


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    below = table.get(key)
    return below if isinstance(below, dict) else {}


def _thorough(text: str, path: str) -> Head:
    """Read the whole of a lock that is not laid out as ours."""
    lock = _parsed(text, path)
    return Head(lock.declaration, lock.python.version or None, lock.python.source)


def _parsed(text: str, path: str) -> Lock:
    from envtool.formats.lock import parse

    return parse(text, path=path)
