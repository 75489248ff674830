"""Inflate what Debian compresses: gzip, xz and zstd, as a stream with a limit to its length.

A decoder is never asked for more than the reader wants, so that a small file that inflates to
terabytes costs no more than its limit.
"""

import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Protocol, cast

__all__ = ["CHUNK", "Inflated", "damage"]

CHUNK = 256 << 10
"""Bytes read and inflated at a time."""
_MEMORY = 256 << 20
"""Bytes that a decoder may take; the strongest setting of xz needs 65 MiB."""
_WINDOW = 27
"""The logarithm of the bytes that zstd may look back: 128 MiB, its own default."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's decoder with the interface that the others have."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


class _Stored:
    """What is not compressed."""

    eof = False
    unused_data = b""

    def __init__(self) -> None:
        self._data = b""

    @property
    def needs_input(self) -> bool:
        return not self._data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        whole = self._data + data
        self._data = whole[max_length:]
        return whole[:max_length]


def _zstd() -> _Decoder:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:  # before Python 3.14
        from backports import zstd
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW}
    return cast("_Decoder", zstd.ZstdDecompressor(options=options))


def damage() -> tuple[type[Exception], ...]:
    """Return what decoders raise for damaged input; `Inflated` itself raises ValueError."""
    try:
        from compression.zstd import ZstdError  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from backports.zstd import ZstdError
    return (lzma.LZMAError, zlib.error, ZstdError, ValueError)


_DECODERS: Mapping[str, Callable[[], _Decoder]] = {
    "": _Stored,
    ".gz": _Gzip,
    ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY),
    ".zst": _zstd,
}


class Inflated:
    """A part of a file, inflated while it is read, up to a limit.

    `ending` says how it is compressed: `.gz`, `.xz`, `.zst`, or empty for not at all. Several
    streams or members, one after the other, are one.

    :raises ValueError: an ending that is not known.
    """

    def __init__(self, file: IO[bytes], ending: str, *, start: int, size: int, limit: int) -> None:
        if ending not in _DECODERS:
            raise ValueError(f"it is compressed in a way that is not known, {ending!r}")
        self._make = _DECODERS[ending]
        self._decoder = self._make()
        self._file = file
        self._at, self._left = start, size
        self._spare = b""
        self._allowed = limit
        self._limit = limit

    def read(self, most: int = CHUNK) -> bytes:
        """Return up to `most` bytes; none at the end.

        :raises ValueError: it breaks off, or is larger than allowed.
        """
        while not self._decoder.eof or self._begin_next():
            data = self._input() if self._decoder.needs_input else b""
            if not data and self._decoder.needs_input:
                if isinstance(self._decoder, _Stored):
                    break
                raise ValueError("it breaks off")
            found = self._decoder.decompress(data, most)
            self._count(len(found))
            if found:
                return found
        return b""

    def finish(self) -> None:
        """Read what is left.

        :raises ValueError: it breaks off, or is larger than allowed.
        """
        while self.read():
            pass

    def _begin_next(self) -> bool:
        """Begin with the next stream; return whether there is one."""
        self._spare = self._decoder.unused_data or self._input()
        if self._spare:
            self._decoder = self._make()
        return bool(self._spare)

    def _input(self) -> bytes:
        if self._spare:
            data, self._spare = self._spare, b""
            return data
        self._file.seek(self._at)
        data = self._file.read(min(CHUNK, self._left))
        self._at += len(data)
        self._left -= len(data)
        return data

    def _count(self, size: int) -> None:
        self._allowed -= size
        if self._allowed < 0:
            raise ValueError(f"it inflates to more than {self._limit} bytes, which it must not")
