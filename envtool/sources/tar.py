"""Read an archive of tar as a stream, which is hostile until proven otherwise."""

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Self, cast

from envtool.errors import FormatError
from envtool.sources.inflate import CHUNK, Inflated, damage

__all__ = ["Entries", "entries_of"]

Entries = Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]
"""Each with its contents if it is a regular file, to be read before the next one."""

_MOST_EXTENSION = 1 << 20
"""Bytes of a header that holds a long name."""
_EXTENSIONS = frozenset(
    {
        tarfile.GNUTYPE_LONGLINK,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.XHDTYPE,
    }
)


class _Info(tarfile.TarInfo):
    """A header of tar that refuses to be read at length for a name."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _EXTENSIONS and info.size > _MOST_EXTENSION:
            raise ValueError(f"a name takes {info.size} bytes")
        return info


@contextmanager
def entries_of(
    file: IO[bytes],
    name: str,
    *,
    start: int,
    size: int,
    limit: int,
    fail: Callable[[str], FormatError],
) -> Iterator[Entries]:
    """Give the entries of an archive that is a part of a file.

    The ending of its name says how it is compressed; it may inflate to `limit` bytes. `fail` makes
    the error that damage is raised as.
    """
    faults: tuple[type[Exception], ...] = (*damage(), tarfile.TarError, OverflowError)
    try:
        ending = name.rpartition(".tar")[2]
        stream = Inflated(file, ending, start=start, size=size, limit=limit)
        with tarfile.open(
            fileobj=cast("IO[bytes]", stream), mode="r|", bufsize=CHUNK, tarinfo=_Info
        ) as archive:
            yield ((info, archive.extractfile(info) if info.isreg() else None) for info in archive)
        stream.finish()
    except faults as error:
        raise fail(f"{name} cannot be read: {error}") from error
