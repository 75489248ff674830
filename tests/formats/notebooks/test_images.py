import random
import struct
import zlib

import pytest

from envtool.formats.notebooks.images import distance, read_png


def png(
    rows: list[bytes], width: int, *, colour: int, filters: bytes, depth: int = 8, **more: bytes
) -> bytes:
    """Write a PNG whose rows are filtered as asked, as the specification defines the filters."""
    step = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packed, above = b"", bytes(len(rows[0]))
    for number, row in enumerate(rows):
        kind = filters[number % len(filters)]
        packed += bytes([kind]) + _filtered(row, above, step, kind)
        above = row
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *((k.encode(), v) for k, v in more.items())]
    chunks += [(b"IDAT", zlib.compress(packed)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _filtered(row: bytes, above: bytes, step: int, kind: int) -> bytes:
    result = []
    for at, value in enumerate(row):
        a = row[at - step] if at >= step else 0
        b = above[at]
        c = above[at - step] if at >= step else 0
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        result.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
    return bytes(result)


def noise(width: int, height: int, seed: int = 1) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(width) for _ in range(height)]


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_every_filter_is_undone(colour: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    rows = noise(7 * channels, 11)
    image = read_png(png(rows, 7, colour=colour, filters=bytes([0, 1, 2, 3, 4, 4, 3])))
    assert image is not None
    assert (image.width, image.height, image.channels) == (7, 11, channels)
    assert image.pixels == b"".join(rows)


def test_a_palette_gives_its_colours() -> None:
    data = png([b"\0\1", b"\1\0"], 2, colour=3, filters=b"\0", PLTE=b"abcdef")
    image = read_png(data)
    assert image is not None
    assert image.pixels == b"abcdefdefabc"


def test_what_cannot_be_read_is_none() -> None:
    good = png(noise(4, 4), 4, colour=0, filters=b"\0")
    assert read_png(b"GIF89a") is None
    assert read_png(good[:40]) is None
    assert read_png(good[:-20] + good[-12:]) is None
    assert read_png(png(noise(8, 4), 4, colour=0, filters=b"\0", depth=16)) is None


def test_a_line_that_moves_a_little_is_near_and_another_picture_is_far() -> None:
    def drawn(shade: int, where: int) -> bytes:
        rows = [bytes([shade if x == where else 255 for x in range(64)]) for _ in range(64)]
        return png(rows, 64, colour=0, filters=b"\0")

    one, near, far = read_png(drawn(120, 20)), read_png(drawn(110, 20)), read_png(drawn(0, 40))
    assert one is not None
    assert near is not None
    assert far is not None
    assert distance(one, one) == 0
    assert 0 < (distance(one, near) or 0) < 0.01
    assert (distance(one, far) or 0) > 0.05


def test_other_sizes_have_no_distance() -> None:
    one = read_png(png(noise(4, 4), 4, colour=0, filters=b"\0"))
    other = read_png(png(noise(4, 5), 4, colour=0, filters=b"\0"))
    assert one is not None
    assert other is not None
    assert distance(one, other) is None
