"""Comparing images as an eye would: by the mean colours of small blocks.

Another version of a font or of a drawing library moves the edges of lines by less than a pixel and
changes their bytes altogether; the blocks' means hardly move. Pillow reads what notebooks show (PNG,
JPEG, GIF and WebP, of animations every frame), and nothing else is let near it: for some of its other
formats it starts programs. Colour profiles and gamma do not count.

The images may be anybody's: what is broken or too large gets a verdict like any other.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any

from envtool.values import value

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["compare_images"]

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_BLOCK = 8
"""Pixels of a block's side."""
_MOST = 50_000_000
"""Pixels of a frame; each takes some ten bytes of memory while it is looked at."""
_LONGEST = 1_000_000_000
"""Pixels of all frames; a frame counts as `_SMALL` at least."""
_SMALL = 10_000
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow has for broken images, each of them for some."""
_DEPTH = 24
"""Where a PNG tells the bits of a sample: in its first chunk, which has one place."""


class _UnreadableError(Exception):
    """An image that nobody can look at; says why."""


@value
class _Frame:
    """One picture of an image: the only one unless it moves."""

    size: tuple[int, int]
    blocks: "Image"
    """Mean colours, premultiplied by opacity: what cannot be seen has none."""
    milliseconds: Any
    """How long it is shown; None where nothing moves."""


def compare_images(old: bytes, new: bytes, tolerance: float) -> str | None:
    """Say how an image differs from what it was, as "looks different: …"; None when it does not.

    The tolerance is a part of a colour's range, for the mean of a block; 0 asks for the same pixels.
    """
    if old == new:
        return None
    try:
        import PIL  # noqa: F401 - asked for here, where it can be said
    except ImportError:
        return "differs by its bytes; looking at it needs Pillow: pip install pillow"
    block = _BLOCK if tolerance else 1
    pairs = zip_longest(_frames(old, block, "recorded"), _frames(new, block, "new"))
    try:
        told = (_difference(number, *pair, tolerance) for number, pair in enumerate(pairs, 1))
        return next(filter(None, told), None)
    except _UnreadableError as error:
        return f"differs by its bytes, and {error}"


def _difference(
    number: int, one: _Frame | None, other: _Frame | None, tolerance: float
) -> str | None:
    from PIL import ImageChops

    if one is None or other is None:
        return f"has {'more' if one is None else 'fewer'} frames now"
    if one.size != other.size:
        return "has another size: {}x{} became {}x{}".format(*one.size, *other.size)
    ranges: Any = ImageChops.difference(one.blocks, other.blocks).getextrema()
    found = max(highest for _, highest in ranges) / 255
    where = "" if one.milliseconds is None else f" in frame {number}"
    if found > tolerance:
        far = f"{found:.0%}" if found >= 0.01 else f"{found:.1%}"  # noqa: PLR2004 - what .0% shows
        return f"looks different{where}: up to {far} in places"
    return None if one.milliseconds == other.milliseconds else f"moves at another speed{where}"


def _frames(data: bytes, block: int, name: str) -> Iterator[_Frame]:
    """Yield what is seen of an image, one frame after the other.

    :raises _UnreadableError: it is broken, or too large.
    """
    from PIL import Image

    total = 0
    with _refusals(name):
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    for number in count():
        with _refusals(name):
            if not _seek(image, number):
                return
            pixels = image.width * image.height
            total += max(pixels, _SMALL)
            if pixels > _MOST or total > _LONGEST:
                raise _too_large(name)
            colours = _colours(image, data).convert("RGBA").convert("RGBa")
            shown = image.info.get("duration") if getattr(image, "is_animated", False) else None
            frame = _Frame(image.size, colours.reduce(block), shown)
        yield frame


def _seek(image: "Image", number: int) -> bool:
    try:
        image.seek(number)
    except EOFError:
        return False
    return True


def _colours(image: "Image", data: bytes) -> "Image":
    """Return the image with what Pillow leaves to others done: grey of 16 bits, tRNS of few or many.

    :raises _UnreadableError: one of its colours, of 16 bits, is transparent; Pillow keeps 8.
    """
    image.load()
    depth = data[_DEPTH] if image.format == "PNG" else 8
    clear = image.info.get("transparency")
    if depth == 16 and clear is not None:  # noqa: PLR2004 - bits
        raise _UnreadableError("a transparent colour of 16 bits is more than Pillow can tell")
    if image.mode == "L" and isinstance(clear, int) and depth < 8:  # noqa: PLR2004 - bits
        image = image.copy()
        image.info["transparency"] = clear * (255 // (2**depth - 1))
    if image.mode == "I;16":
        return image.convert("I").point(lambda sample: sample * (1 / 256)).convert("L")
    return image


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Say of Pillow's errors, and of what it warns of, what it means for the image.

    :raises _UnreadableError: always when there is one.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _too_large(name) from None
    except _BROKEN as error:
        known = f"{', '.join(_FORMATS[:-1])} or WebP"
        raise _UnreadableError(f"the {name} one cannot be read as {known}") from error


def _too_large(name: str) -> _UnreadableError:
    return _UnreadableError(f"the {name} one has too many pixels to be looked at")
