"""Where the values of a JSON text stand, so that one can be replaced and no other byte changed."""

import json
import re
from collections.abc import Sequence
from typing import Any

from envtool.values import value

__all__ = [
    "JsonStyle",
    "Member",
    "elements",
    "insert_member",
    "line_of",
    "members",
    "remove_member",
    "replace",
    "style_of",
]

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@value
class Member:
    """One member of an object or element of an array; offsets into the text."""

    key: str
    """Empty for an array's element."""
    start: int
    """Of the key, or of the element's value."""
    value: int
    end: int


@value
class JsonStyle:
    """How a text is laid out."""

    indent: str | None
    """One step of it; None means all on one line."""
    colon: str
    newline: str
    ensure_ascii: bool

    def render(self, value: Any, depth: int) -> str:
        """Return the value as JSON for a place that many steps deep."""
        text = json.dumps(
            value,
            indent=self.indent,
            ensure_ascii=self.ensure_ascii,
            separators=("," if self.indent is not None or self.colon == ":" else ", ", self.colon),
        )
        return text.replace("\n", self.line_break(depth)) if self.indent is not None else text

    def line_break(self, depth: int) -> str:
        """Return what stands between two members that many steps deep."""
        if self.indent is None:
            return "" if self.colon == ":" else " "
        return self.newline + self.indent * depth


def style_of(text: str) -> JsonStyle:
    """Return the layout of a text whose root is an object."""
    first = re.match(r"[ \t\r\n]*\{(\r?\n)?([ \t]*)\"", text)
    spaced = re.search(r'"\s*(:\s*)', text)
    return JsonStyle(
        indent=first[2] if first and first[1] else None,
        colon=": " if spaced is None or spaced[1] != ":" else ":",
        newline=first[1] if first and first[1] else "\n",
        ensure_ascii=text.isascii()
        and re.search(r"\\u(?!00[0-7])[0-9a-fA-F]{4}", text) is not None,
    )


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def members(text: str, start: int) -> list[Member]:
    """Return the members of the object that begins at `start`; the text is valid JSON."""
    found = []
    at = _skip(text, start + 1)
    while text[at] != "}":
        key_start = at
        key, at = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, value)
        found.append(Member(key, key_start, value, end))
        at = _after_comma(text, end)
    return found


def elements(text: str, start: int) -> list[Member]:
    """Return the elements of the array that begins at `start`."""
    found = []
    at = _skip(text, start + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        found.append(Member("", at, at, end))
        at = _after_comma(text, end)
    return found


def _after_comma(text: str, end: int) -> int:
    at = _skip(text, end)
    return _skip(text, at + 1) if text[at] == "," else at


def line_of(text: str, place: Sequence[str | int]) -> int:
    """Return the line, counted from 1, of a place or of the nearest value around it."""
    at = line = _skip(text, 0)
    for part in place:
        if isinstance(part, int):
            found = elements(text, at)[part : part + 1] if text[at] == "[" else []
        else:
            found = (
                [each for each in members(text, at) if each.key == part] if text[at] == "{" else []
            )
        if not found:
            break
        line, at = found[-1].start, found[-1].value
    return text.count("\n", 0, line) + 1


def replace(text: str, member: Member, rendered: str) -> str:
    """Return the text with the member's value replaced."""
    return text[: member.value] + rendered + text[member.end :]


def insert_member(text: str, start: int, key: str, rendered: str, *, depth: int) -> str:
    """Return the text with a member added to the object at `start`, whose members lie at `depth`.

    The member takes its place in the order of keys if they are sorted (Jupyter writes them so),
    else the last.
    """
    style = style_of(text)
    siblings = members(text, start)
    pair = json.dumps(key, ensure_ascii=style.ensure_ascii) + style.colon + rendered
    if not siblings:
        close = text.index("}", start)
        opening, closing = (
            (style.line_break(depth), style.line_break(depth - 1))
            if style.indent is not None
            else ("", "")
        )
        return text[: start + 1] + opening + pair + closing + text[close:]
    keys = [sibling.key for sibling in siblings]
    later = [sibling for sibling in siblings if sibling.key > key]
    if later and keys == sorted(keys):
        at = later[0].start
        return text[:at] + pair + "," + style.line_break(depth) + text[at:]
    at = siblings[-1].end
    return text[:at] + "," + style.line_break(depth) + pair + text[at:]


def remove_member(text: str, start: int, key: str) -> str:
    """Return the text without a member of the object at `start`."""
    siblings = members(text, start)
    number = max(n for n, sibling in enumerate(siblings) if sibling.key == key)
    member = siblings[number]
    if len(siblings) == 1:
        close = text.index("}", member.end)
        return text[: start + 1] + text[close:]
    if number + 1 < len(siblings):
        return text[: member.start] + text[siblings[number + 1].start :]
    return text[: siblings[number - 1].end] + text[member.end :]
