"""Debian versions and their order, to the letter of deb-version(7).

    [epoch:]upstream[-revision]        1:2.3.4~rc1-5+deb12u1

Parts are compared from left to right, a run of other characters and a run of digits in turn.
Digits count by their number; of the others `~` comes before everything, even the end, then come
letters, then the rest. What is missing counts as the end, or as zero.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from operator import eq, ge, gt, le, lt
from typing import Literal, cast

from envtool.errors import FormatError

__all__ = ["Key", "Operator", "compare", "key", "satisfies"]

Operator = Literal["<<", "<=", "=", ">=", ">>"]
Key = tuple[int, tuple[object, ...], tuple[object, ...]]
"""Sorts as the version does; of no other use."""

_FORM = re.compile(
    r"(?:(?P<epoch>[0-9]+):)?(?P<upstream>[A-Za-z0-9](?:[A-Za-z0-9.+~:-]*?[A-Za-z0-9.+~:])??)"
    r"(?:-(?P<revision>[A-Za-z0-9.+~]+))?"
)
_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_MOST_EPOCH = 2**31 - 1
_LONGEST = 1000
"""Characters; real ones have 50, and numbers of thousands of digits take long."""
_END = (0,)
_TESTS: dict[str, Callable[[Key, Key], bool]] = {"<<": lt, "<=": le, "=": eq, ">=": ge, ">>": gt}


@lru_cache(4096)  # a closure compares some hundred versions, each a dozen times
def key(version: str) -> Key:
    """Return what sorts as the version does.

    :raises FormatError: it is no version.
    """
    found = _FORM.fullmatch(version) if len(version) <= _LONGEST else None
    if found is None or (":" in found["upstream"] and found["epoch"] is None):
        raise FormatError(f"{version[:80]!r} is not a Debian version, such as 1:2.3-4")
    epoch = int(found["epoch"] or "0")
    if epoch > _MOST_EPOCH:
        raise FormatError(f"{version!r}: the epoch is larger than {_MOST_EPOCH}")
    return epoch, _order(found["upstream"]), _order(found["revision"] or "")


def compare(left: str, right: str) -> int:
    """Return -1, 0 or 1 as `left` is earlier than, equal to or later than `right`."""
    first, second = key(left), key(right)
    return (first > second) - (first < second)


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Return whether `version` stands in this relation to `wanted`."""
    return (version == wanted and operator in {"=", "<=", ">="}) or (
        _TESTS[cast("Operator", operator)](key(version), key(wanted))
    )


def _order(text: str) -> tuple[object, ...]:
    # One pair there is even of nothing, so that "", "0" and "0~" differ in no more than they say.
    parts: list[object] = []
    for other, digits in _PARTS.findall(text)[:-1] or [("", "")]:
        parts.append((*[_WEIGHTS[character] for character in other], 0) if other else _END)
        parts.append(int(digits) if digits else 0)
    parts.append(_END)
    return tuple(parts)


def _weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


_WEIGHTS = {character: _weight(character) for character in map(chr, range(128))}
