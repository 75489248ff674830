"""Whether a plain release satisfies plain version specifiers (PEP 440).

`packaging` is the judge of all others, but importing it takes longer than all else that a changed
pin needs: what is plainly digits and dots is compared here, and of the rest nothing is said.
"""

import re
from collections.abc import Callable, Mapping

__all__ = ["RELEASE", "admits"]

RELEASE = r"\d{1,9}(?:\.\d{1,9})*"
_SPECIFIER = re.compile(rf"\s*(~=|==|!=|<=|>=|<|>)\s*({RELEASE})(\.\*)?\s*")
_Release = tuple[int, ...]
_HOLDS: Mapping[str, Callable[[_Release, _Release], bool]] = {
    "==": lambda have, want: have == want,
    "!=": lambda have, want: have != want,
    "<=": lambda have, want: have <= want,
    ">=": lambda have, want: have >= want,
    "<": lambda have, want: have < want,
    ">": lambda have, want: have > want,
}


def admits(specifiers: str, version: str) -> bool | None:
    """Say whether the version is within specifiers such as `>=1.2,<2`; none admit any.

    None: one of them, or the version, is more than digits and dots.
    """
    if not re.fullmatch(RELEASE, version):
        return None
    have = _parsed(version)
    found = True
    for each in filter(str.strip, specifiers.split(",")):
        match = _SPECIFIER.fullmatch(each)
        if match is None or (match[3] and match[1] not in ("==", "!=")):
            return None
        if match[1] == "~=" and "." not in match[2]:
            return None
        found = found and _holds(match[1], have, match[2], prefix=bool(match[3]))
    return found


def _holds(operator: str, have: _Release, text: str, *, prefix: bool) -> bool:
    want = _parsed(text)
    if operator == "~=":
        length = text.count(".")
        return have >= want and _cut(have, length) == _cut(want, length)
    if prefix:
        length = text.count(".") + 1
        have, want = _cut(have, length), _cut(want, length)
    return _HOLDS[operator](have, want)


def _parsed(text: str) -> _Release:
    """Return the numbers without zeros at the end, which do not count: 1.0 is 1."""
    numbers = [int(number) for number in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _cut(release: _Release, length: int) -> _Release:
    """Return the first numbers, as many as `length` at all events."""
    return (release + (0,) * length)[:length]
