"""Amounts as people type them: bytes such as `5G`, ages such as `30d`."""

import re
from argparse import ArgumentTypeError

__all__ = ["age", "byte_count", "positive"]

_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SIZE = r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGT]?)(?:(i?)B)?"
_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = r"([0-9]{1,6})([hdw])"


def byte_count(text: str) -> int:
    """Return the bytes that `5G`, `1.5GiB` (powers of 1024, as Nix has it) or `700MB` mean."""
    match = re.fullmatch(_SIZE, text, re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise ArgumentTypeError(f"expected bytes such as 5G, 1.5GiB, 700MB or 4096, not {text!r}")
    base = 1000 if match[3] == "" else 1024
    exponent: int = _UNITS[match[2].upper()]
    return round(float(match[1]) * float(base**exponent))


def age(text: str) -> int:
    """Return the seconds that `12h`, `30d` or `4w` mean."""
    match = re.fullmatch(_AGE, text, re.IGNORECASE)
    if match is None or not int(match[1]):
        raise ArgumentTypeError(f"expected an age such as 12h, 30d or 4w, not {text!r}")
    return int(match[1]) * _SECONDS[match[2].lower()]


def positive(text: str) -> int:
    """Return a whole number from 1."""
    if not (text.isascii() and text.isdigit()) or not int(text[:9]):
        raise ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text[:9])
