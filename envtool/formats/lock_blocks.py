"""The packages of a lock as pieces of its text, for what changes one of them and nothing else.

Only a lock laid out as ours is read so; reading all packages as TOML takes as long as uv does.
"""

import re
from collections.abc import Mapping

__all__ = [
    "dependants",
    "find_block",
    "has_marker",
    "is_plain",
    "replace_block",
    "required",
    "versions",
]

_HEADER = "[[packages]]\n"
_VERSION = re.compile(
    r'^\[\[packages\]\]\nname = "([^"\\\n]+)"\nversion = "([^"\\\n]+)"$', re.MULTILINE
)
_NOT_WHEELS = re.compile(
    r"^(?:vcs|directory|archive|sdist) = |^    \{ (?:name = \"[^\"\n]*\", )?path = ", re.MULTILINE
)
_DEPENDENCIES = re.compile(r"^dependencies = \[\n((?:    .*\n)*)\]$", re.MULTILINE)
_NAME = re.compile(r'\{ name = "([^"]+)" \}')


def is_plain(text: str) -> bool:
    """Say whether all of the lock, or of a piece of it, is nothing but wheels of an index."""
    return not _NOT_WHEELS.search(text) and "\n[[tool.envtool.builds]]" not in text


def versions(text: str) -> Mapping[str, str] | None:
    """Return the version of each package; None when the lock is not laid out as ours."""
    found = _VERSION.findall(text)
    whole = dict(found)
    return whole if len(whole) == len(found) == text.count(f"\n{_HEADER}") else None


def find_block(text: str, name: str) -> str | None:
    """Return the piece of the package, without the line end after it; None: there is none."""
    start = text.find(f'\n{_HEADER}name = "{name}"\n') + 1
    if not start:
        return None
    end = text.find("\n\n[", start)
    return text[start:end] if end >= 0 else text[start:].removesuffix("\n")


def pieces(text: str) -> Mapping[str, str]:
    """Return all pieces by the names of their packages."""
    found = (each.partition("\n\n[")[0].rstrip("\n") for each in text.split(f"\n{_HEADER}")[1:])
    return {piece.split('"', 2)[1]: f"{_HEADER}{piece}" for piece in found}


def has_marker(block: str) -> bool:
    """Say whether the piece's package is for some machines only."""
    return "\nmarker = " in block


def replace_block(text: str, old: str, new: str) -> str:
    """Return the lock with another piece in place of one that `find_block` found."""
    before, found, after = text.partition(old)
    assert found, "it was found"
    return f"{before}{new}{after}"


def required(block: str) -> tuple[str, ...]:
    """Return the names that the piece's package requires."""
    found = _DEPENDENCIES.search(block)
    return tuple(_NAME.findall(found[1])) if found else ()


def dependants(text: str, name: str) -> tuple[str, ...]:
    """Return the names of the packages that require one."""
    asked = f'    {{ name = "{name}" }},\n'
    pieces = text.split(f"\n{_HEADER}")[1:]
    return tuple(piece.split('"', 2)[1] for piece in pieces if asked in piece)
