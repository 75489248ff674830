"""The head of a lock: what it answers and for which Python, without reading its packages."""

from collections.abc import Mapping
from typing import Any

from envtool.values import value

_PACKAGES = "\n[[packages]]"


@value
class Head:
    """What stands before the packages."""

    declaration: str
    """Digest of the declaration that the lock answers; empty in another tool's lock."""
    python: str | None
    """Feature release, `3.11`; None in another tool's lock."""


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
        return Head(declaration, version)
    return _thorough(text, path)


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    below = table.get(key)
    return below if isinstance(below, dict) else {}


def _thorough(text: str, path: str) -> Head:
    """Read the whole of a lock that is not laid out as ours."""
    from envtool.formats.lock import parse

    lock = parse(text, path=path)
    return Head(lock.declaration, lock.python.version or None)
