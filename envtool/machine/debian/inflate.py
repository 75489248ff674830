"""Read compressed indices: xz, gzip, or plain, told by their first bytes."""

import os
from collections.abc import Iterator

from envtool.errors import FormatError
from envtool.machine.disk import disk_errors
from envtool.sources.inflate import Inflated, damage

__all__ = ["inflated"]

MOST = 4 << 30
"""Bytes; the largest index of Debian has 700 MB. Its hash was verified: this is for accidents."""
_PIECE = 1 << 20
_MAGICS = {b"\xfd7zXZ\0": ".xz", b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}


def inflated(path: str) -> Iterator[bytes]:
    """Yield what a file holds, in pieces.

    :raises FormatError: it is damaged, or ends early.
    :raises StoreError: it cannot be read.
    """
    with disk_errors("read an index"), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(6)
        ending = next((each for magic, each in _MAGICS.items() if head.startswith(magic)), "")
        try:
            stream = Inflated(file, ending, start=0, size=size, limit=MOST)
            while data := stream.read(_PIECE):
                yield data
        except damage() as error:
            raise FormatError(f"{path} cannot be inflated: {error}") from error
