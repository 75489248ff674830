"""/etc/ld.so.cache: which libraries ldconfig found on a machine, by the names they are asked for.

The form of glibc 2.2 and later, whole or behind an older one (glibc, `sysdeps/generic/dl-cache.h`).
"""

import struct
from collections.abc import Iterator, Mapping

from envtool.errors import FormatError

__all__ = ["parse"]

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("=20sII20x")
"""Count of entries, size of the strings."""
_ENTRY = struct.Struct("=iIIIQ")
"""Flags, name, path, version of the system, capabilities of the processor."""
_LONGEST = 4096


def parse(data: bytes) -> Mapping[str, tuple[str, ...]]:
    """Return the paths of each soname in the order in which the loader would take them.

    Those for any processor come first: which others fit is for the processor to say.

    :raises FormatError: the file is none.
    """
    start = data.find(_MAGIC)
    if start < 0:
        raise FormatError("no cache of the dynamic loader")
    try:
        found = sorted(_entries(data, start), key=lambda entry: entry[2] != 0)
    except (struct.error, ValueError) as error:
        raise FormatError(f"a damaged cache of the dynamic loader: {error}") from error
    libraries: dict[str, list[str]] = {}
    for name, path, _ in found:
        libraries.setdefault(name, []).append(path)
    return {name: tuple(paths) for name, paths in libraries.items()}


def _entries(data: bytes, start: int) -> Iterator[tuple[str, str, int]]:
    _, count, _ = _HEADER.unpack_from(data, start)
    if count * _ENTRY.size > len(data):
        raise ValueError(count)
    for number in range(count):
        at = start + _HEADER.size + number * _ENTRY.size
        _, name, path, _, capabilities = _ENTRY.unpack_from(data, at)
        yield _text(data, start + name), _text(data, start + path), capabilities


def _text(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + _LONGEST)
    if end < 0:
        raise ValueError(at)
    return data[at:end].decode("utf-8", "surrogateescape")
