"""Inflate what a zip archive's members hold: raw deflate (RFC 1951), whole or in pieces.

Whole is done by libdeflate, which is a fourth faster than ISA-L and more than twice as fast as zlib
but knows no pieces; pieces are done by ISA-L. Where there is no build of them for the machine,
zlib does the same, slower. Neither gives more than was asked for, whatever the data say.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Protocol, cast

__all__ = ["Data", "DeflateError", "inflate", "inflate_pieces"]

Data = bytes | bytearray
"""libdeflate's results are bytearrays, and making bytes of them would copy them."""


class DeflateError(Exception):
    """The data are not what they are said to be."""


class _Inflater(Protocol):
    def decompress(self, data: bytes, max_length: int) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...


class _Zlib(Protocol):
    error: type[Exception]

    def decompressobj(self, wbits: int) -> _Inflater: ...


@cache
def _isal() -> _Zlib:
    try:
        from isal import isal_zlib
    except ImportError:
        return cast("_Zlib", zlib)
    return cast("_Zlib", isal_zlib)


def _by_zlib(data: memoryview, most: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = inflater.decompress(data, most)
    if not inflater.eof:
        raise zlib.error("it breaks off, or is more")
    return found


@cache
def _whole() -> tuple[Callable[[memoryview, int], Data], type[Exception]]:
    """Return what inflates to a number of bytes or fewer, and its error; more may be one, too."""
    try:
        import deflate
    except ImportError:
        return _by_zlib, zlib.error
    return deflate.deflate_decompress, deflate.DeflateError


def inflate(data: memoryview, size: int) -> Data:
    """Return the `size` bytes that `data` inflate to.

    :raises DeflateError: they are damaged, or inflate to more or to fewer.
    """
    call, its_error = _whole()
    try:
        # One byte more than claimed is enough to see that the claim is a lie.
        found = call(data, size + 1)
    except its_error as error:
        raise DeflateError from error
    if len(found) != size:
        raise DeflateError
    return found


def inflate_pieces(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Yield what the pieces, one stream together, inflate to, in pieces of at most `most` bytes.

    :raises DeflateError: they are damaged.
    """
    library = _isal()
    inflater = library.decompressobj(-zlib.MAX_WBITS)
    for packed in pieces:
        data, more = packed, True
        while more:
            try:
                piece = inflater.decompress(data, most)
            except (library.error, zlib.error) as error:
                raise DeflateError from error
            if piece:
                yield piece
            data = inflater.unconsumed_tail
            # A full piece may have more behind it that all of the input led to already.
            more = bool(data) or len(piece) == most
