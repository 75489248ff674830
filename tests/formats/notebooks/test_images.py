"""Images that Pillow makes, and PNGs of kinds that it does not, made as their standard says."""

import io
import random
import struct
import sys
import zlib
from typing import Any

import pytest
from PIL import Image, ImageDraw

from envtool.formats.notebooks.images import compare_images

NEAR = 0.05


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def drawing(shift: int = 0, mode: str = "RGB") -> Image.Image:
    """Return lines and a disc; a shift moves all of it to the right."""
    image = Image.new("RGB", (120, 90), "white")
    pen = ImageDraw.Draw(image)
    pen.line((10, 80, 110, 10), fill=(200, 210, 220), width=1)
    pen.ellipse((40 + shift, 30, 80 + shift, 70), fill=(30, 90, 160))
    return image.convert(mode)


def png(
    pixels: list[list[int]],
    depth: int,
    colour: int,
    *more: tuple[bytes, bytes],
    adam7: bool = False,
) -> bytes:
    """Write a PNG of samples; one row of them is as many as its pixels have together."""
    width = len(pixels[0]) // {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    rows = _passes(pixels) if adam7 else pixels
    packed = b"".join(b"\0" + _packed(row, depth) for row in rows)
    header = struct.pack(">IIBBBBB", width, len(pixels), depth, colour, 0, 0, adam7)
    return chunks((b"IHDR", header), *more, (b"IDAT", zlib.compress(packed)), (b"IEND", b""))


def chunks(*found: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in found
    )


def _packed(row: list[int], depth: int) -> bytes:
    bits = "".join(f"{sample:0{depth}b}" for sample in row)
    return bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))


def _passes(pixels: list[list[int]]) -> list[list[int]]:
    """Return the rows of Adam7's seven images of one sample to a pixel (PNG, 8.1)."""
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    steps += [(0, 1, 1, 2)]
    rows = [row[left::across] for left, top, across, down in steps for row in pixels[top::down]]
    return [row for row in rows if row]


def ramp(depth: int, width: int = 32, height: int = 16) -> list[list[int]]:
    most = 2**depth - 1
    return [[(x * most) // (width - 1) for x in range(width)] for _ in range(height)]


def as_rgba(pixels: list[list[int]], depth: int, clear: int | None = None) -> bytes:
    """Return what samples of grey look like, as another kind of PNG."""
    most = 2**depth - 1
    image = Image.new("RGBA", (len(pixels[0]), len(pixels)))
    for y, row in enumerate(pixels):
        for x, sample in enumerate(row):
            grey = sample * 255 // most
            image.putpixel((x, y), (grey, grey, grey, 0 if sample == clear else 255))
    return saved(image)


# What looks the same


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_what_is_packed_in_another_way_is_the_same(mode: str) -> None:
    one, other = (saved(drawing(mode=mode), compress_level=level) for level in (0, 9))
    assert one != other
    assert compare_images(one, other, NEAR) is None


@pytest.mark.parametrize("colours", [2, 4, 16, 256])
def test_a_palette_of_any_depth_is_its_colours(colours: int) -> None:
    image = Image.effect_noise((50, 40), 90).quantize(colours)
    data = saved(image)
    assert data[24] == {2: 1, 4: 2, 16: 4, 256: 8}[colours]
    assert compare_images(data, saved(image.convert("RGBA")), 0) is None


@pytest.mark.parametrize("adam7", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_of_any_depth_is_its_greys_interlaced_or_not(depth: int, *, adam7: bool) -> None:
    pixels = ramp(depth)
    data = png(pixels, depth, 0, adam7=adam7)
    # Of 16 bits the higher 8 count.
    assert compare_images(data, as_rgba(pixels, depth), 0.004 if depth == 16 else 0) is None
    assert compare_images(data, png(ramp(depth)[::-1], depth, 0), 0) is None


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_grey_that_is_transparent_cannot_be_seen(depth: int) -> None:
    pixels, clear = ramp(depth), 2**depth - 1
    data = png(pixels, depth, 0, (b"tRNS", bytes([0, clear])))
    assert compare_images(data, as_rgba(pixels, depth, clear), 0) is None
    assert "looks different" in (compare_images(data, as_rgba(pixels, depth), 0) or "")


def test_colours_of_16_bits_are_colours() -> None:
    wide = png([[0x8012, 0x40FF, 0x1001] * 20] * 20, 16, 2)
    assert compare_images(wide, saved(Image.new("RGB", (20, 20), (0x80, 0x40, 0x10))), 0) is None
    grey = png([[0x8012, 0x40FF] * 20] * 20, 16, 4)
    assert compare_images(grey, saved(Image.new("LA", (20, 20), (0x80, 0x40))), 0) is None


def test_the_colour_of_what_is_transparent_does_not_matter() -> None:
    one, other = (Image.new("RGBA", (20, 20), (shade, 0, 0, 0)) for shade in (0, 255))
    assert compare_images(saved(one), saved(other), 0) is None
    half = Image.new("RGBA", (20, 20), (0, 0, 0, 128))
    assert compare_images(saved(one), saved(half), NEAR) == "looks different: up to 50% in places"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_what_is_packed_with_loss_is_near(kind: str) -> None:
    one, other = (saved(drawing(), kind, quality=quality) for quality in (80, 92))
    assert compare_images(one, other, NEAR) is None
    assert "looks different" in (compare_images(one, other, 0) or "")
    assert "looks different" in (compare_images(one, saved(drawing(30), kind), NEAR) or "")


def test_the_kind_of_file_does_not_matter() -> None:
    kinds = [saved(drawing(), kind) for kind in ("PNG", "JPEG", "GIF")]
    kinds += [saved(drawing(), "WEBP", lossless=True), saved(drawing(mode="CMYK"), "JPEG")]
    assert [compare_images(kinds[0], each, NEAR) for each in kinds] == [None] * 5


# What differs


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_line_that_moves_a_little_is_near_and_another_picture_is_far(kind: str) -> None:
    def lines(shade: int, where: int) -> bytes:
        image = Image.new("L", (64, 64), 255)
        ImageDraw.Draw(image).line((where, 0, where, 63), fill=shade)
        return saved(image, kind)

    assert compare_images(lines(120, 20), lines(110, 20), NEAR) is None
    told = compare_images(lines(120, 20), lines(0, 40), NEAR)
    assert told is not None
    assert told.startswith("looks different: up to ")


def test_without_tolerance_each_pixel_counts() -> None:
    image = drawing()
    before = saved(image)
    image.putpixel((3, 3), (254, 255, 255))
    assert compare_images(before, saved(image), NEAR) is None
    assert compare_images(before, saved(image), 0) == "looks different: up to 0.4% in places"


def test_another_size_is_told() -> None:
    one, other = saved(drawing()), saved(drawing().crop((0, 0, 120, 89)))
    assert compare_images(one, other, NEAR) == "has another size: 120x90 became 120x89"


# What moves


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_every_frame_is_looked_at(kind: str) -> None:
    def film(*shifts: int, duration: int = 50) -> bytes:
        first, *others = (drawing(shift) for shift in shifts)
        more: dict[str, Any] = {"save_all": True, "append_images": others, "duration": duration}
        return saved(first, kind, **more)

    before = film(0, 15, 30)
    assert compare_images(before, film(0, 15, 31), 0.2) is None
    told = compare_images(before, film(0, 15, -30), NEAR)
    assert told is not None
    assert told.startswith("looks different in frame 3: up to ")
    assert compare_images(before, film(0, 15), NEAR) == "has fewer frames now"
    assert compare_images(before, film(0, 15, 30, 5), NEAR) == "has more frames now"
    slow = compare_images(before, film(0, 15, 30, duration=90), NEAR)
    assert slow == "moves at another speed in frame 1"


# What cannot be looked at

BROKEN = "cannot be read as PNG, JPEG, GIF or WebP"
LARGE = "has too many pixels to be looked at"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_what_is_truncated_is_told_whichever_of_the_two_it_is(kind: str) -> None:
    good = saved(drawing(), kind)
    for length in (0, 1, 20, len(good) // 2):
        short = good[:length]
        new, recorded = (compare_images(*pair, NEAR) for pair in ((good, short), (short, good)))
        assert new == f"differs by its bytes, and the new one {BROKEN}"
        assert recorded == f"differs by its bytes, and the recorded one {BROKEN}"


def test_bytes_that_are_wrong_never_raise() -> None:
    kinds = ("PNG", "JPEG", "GIF", "WEBP")
    seeds = [saved(drawing(mode="P" if kind == "GIF" else "RGB"), kind) for kind in kinds]
    dice = random.Random(7)
    verdicts = set()
    for _ in range(400):
        good = dice.choice(seeds)
        bad = bytearray(good)
        for _ in range(dice.choice((1, 3, 9))):
            bad[dice.randrange(min(len(bad), 300))] = dice.randrange(256)
        told = compare_images(good, bytes(bad), NEAR)
        verdicts.add(told and told.split(",")[0].split(":")[0])
    assert {"differs by its bytes", "looks different", None} <= verdicts


def test_a_header_of_too_many_pixels_is_not_believed() -> None:
    huge = chunks((b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 1, 0, 0, 0, 0)))
    for wide, high in ((100_000, 100_000), (10_000, 10_000), (10_000, 6000)):
        header = struct.pack(">IIBBBBB", wide, high, 1, 0, 0, 0, 0)
        data = chunks((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
        told = compare_images(saved(drawing()), data, NEAR)
        assert told == f"differs by its bytes, and the new one {LARGE}"
    assert compare_images(huge, huge, NEAR) is None


def test_a_film_without_end_is_not_looked_at_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envtool.formats.notebooks.images._LONGEST", 25_000)
    frames = [drawing(shift) for shift in (0, 5, 10)]
    before, after = (
        saved(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=word)
        for word in (b"a", b"b")
    )
    assert compare_images(before, after, NEAR) == (
        f"differs by its bytes, and the recorded one {LARGE}"
    )


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM", "EPS"])
def test_other_kinds_are_not_given_to_pillow(kind: str) -> None:
    one, other = saved(drawing(), kind), saved(drawing(5), kind)
    assert (
        compare_images(one, other, NEAR) == f"differs by its bytes, and the recorded one {BROKEN}"
    )
    assert compare_images(one, one, NEAR) is None


def test_a_transparent_colour_of_16_bits_is_said_to_be_too_much() -> None:
    clear = png(ramp(16), 16, 0, (b"tRNS", b"\0\1"))
    told = compare_images(clear, png(ramp(16), 16, 0), NEAR)
    assert told == (
        "differs by its bytes, and a transparent colour of 16 bits is more than Pillow can tell"
    )


def test_without_pillow_bytes_decide_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert compare_images(b"a", b"a", NEAR) is None
    told = "differs by its bytes; looking at it needs Pillow: pip install pillow"
    assert compare_images(b"a", b"b", NEAR) == told
