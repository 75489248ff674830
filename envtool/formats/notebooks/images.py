"""Comparing PNG images as an eye would: by the mean colours of small blocks.

Another version of a font or of a drawing library moves the edges of lines by less than a pixel and
changes their bytes altogether; the blocks' means hardly move. What this reader of PNG does not know
(16 bits to a sample, Adam7) is compared byte by byte.
"""

import struct
import zlib
from collections.abc import Iterator

from envtool.values import value

__all__ = ["distance", "read_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples to a pixel, by colour type."""
_PALETTE = 3
_BLOCK = 8
"""Pixels of a block's side."""


@value
class Image:
    """Decoded pixels."""

    width: int
    height: int
    channels: int
    pixels: bytes
    """Row by row, one byte to a sample."""


def read_png(data: bytes) -> Image | None:
    """Return the pixels of a PNG (PNG specification, third edition); None when it is another thing."""
    if not data.startswith(_SIGNATURE):
        return None
    try:
        chunks = list(_chunks(data))
        header = next(body for kind, body in chunks if kind == b"IHDR")
        width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
        if depth != 8 or interlace or colour not in _CHANNELS:  # noqa: PLR2004 - bits to a sample
            return None
        channels = _CHANNELS[colour]
        packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
        pixels = _unfiltered(zlib.decompress(packed), width * channels, height, channels)
        if colour == _PALETTE:
            palette = next(body for kind, body in chunks if kind == b"PLTE")
            pixels = b"".join(palette[3 * each : 3 * each + 3] for each in pixels)
            channels = 3
    except (StopIteration, struct.error, zlib.error, IndexError):
        return None
    complete = len(pixels) == width * height * channels
    return Image(width, height, channels, pixels) if complete else None


def distance(one: Image, other: Image) -> float | None:
    """Return how far the images' blocks are apart at most, from 0 to 1; None for other sizes."""
    if (one.width, one.height, one.channels) != (other.width, other.height, other.channels):
        return None
    if one.pixels == other.pixels:
        return 0.0
    pairs = zip(_means(one), _means(other), strict=True)
    return max((abs(first - second) / 255 for first, second in pairs), default=0.0)


def _means(image: Image) -> Iterator[float]:
    """Yield the mean of each block and channel; a block at the edge may be smaller."""
    row, channels = image.width * image.channels, image.channels
    step = _BLOCK * channels
    for top in range(0, image.height, _BLOCK):
        rows = [
            image.pixels[at * row : (at + 1) * row]
            for at in range(top, min(top + _BLOCK, image.height))
        ]
        for left in range(0, row, step):
            for channel in range(channels):
                parts = [each[left + channel : left + step : channels] for each in rows]
                yield sum(map(sum, parts)) / sum(map(len, parts))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length


def _unfiltered(data: bytes, row: int, height: int, step: int) -> bytes:
    """Undo the filters of the rows; `step` is the bytes of a pixel."""
    result, above = bytearray(), bytes(row)
    for at in range(height):
        start = at * (row + 1)
        line = bytearray(data[start + 1 : start + 1 + row])
        _FILTERS[data[start]](line, above, step)
        result += line
        above = bytes(line)
    return bytes(result)


def _none(line: bytearray, above: bytes, step: int) -> None:
    """Leave the line as it is."""


def _sub(line: bytearray, above: bytes, step: int) -> None:  # noqa: ARG001 - one form for all
    for at in range(step, len(line)):
        line[at] = (line[at] + line[at - step]) & 255


def _up(line: bytearray, above: bytes, step: int) -> None:  # noqa: ARG001 - one form for all
    line[:] = bytes([(one + other) & 255 for one, other in zip(line, above, strict=True)])


def _average(line: bytearray, above: bytes, step: int) -> None:
    for at in range(len(line)):
        left = line[at - step] if at >= step else 0
        line[at] = (line[at] + (left + above[at]) // 2) & 255


def _paeth(line: bytearray, above: bytes, step: int) -> None:
    for at in range(len(line)):
        left, up = (line[at - step] if at >= step else 0), above[at]
        corner = above[at - step] if at >= step else 0
        guess = left + up - corner
        far = abs(guess - left), abs(guess - up), abs(guess - corner)
        nearest = left if far[0] <= far[1] and far[0] <= far[2] else up if far[1] <= far[2] else corner
        line[at] = (line[at] + nearest) & 255


_FILTERS = (_none, _sub, _up, _average, _paeth)
