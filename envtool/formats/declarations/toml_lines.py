"""Where each key and each array item of a TOML text stands.

`tomllib` says where a syntax error is but not where a value was, and a fault in the third
requirement must point at its line. The scanner only runs on text that `tomllib` accepted, after a
fault was found; it therefore needs to know where values end, not whether they are right.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from envtool.formats.declarations.checked import Place

__all__ = ["FILLER", "TomlMap", "line_of", "scan"]

_BLANK = re.compile(r"[ \t]*")
FILLER = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
"""What may stand between two entries of an array: blanks, line ends and comments."""
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


@dataclass(slots=True)
class TomlMap:
    """Where the keys and values of a TOML text stand."""

    lines: dict[Place, int] = field(default_factory=dict)
    """Counted from 1."""
    spans: dict[Place, tuple[int, int]] = field(default_factory=dict)
    """Offsets of each value's first character and of the one after its last."""
    headers: list[tuple[Place, int]] = field(default_factory=list)
    """Each `[table]` or `[[item]]` header in the order of the text."""


def scan(text: str) -> TomlMap:
    """Return where all keys, values and array items of valid TOML stand."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except RecursionError:
        # What nests this deeply is no declaration; the lines so far serve its faults.
        return scanner.found
    return scanner.found


def line_of(lines: TomlMap, place: Place) -> int | None:
    """Return the line of a place or of the nearest table around it; None for the whole file."""
    while place:
        if place in lines.lines:
            return lines.lines[place]
        place = place[:-1]
    return None


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found = TomlMap()
        self.items: dict[Place, int] = {}
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def line(self) -> int:
        return bisect_right(self.starts, self.at)

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def take(self, literal: str) -> bool:
        if not self.text.startswith(literal, self.at):
            return False
        self.at += len(literal)
        return True

    def record(self, place: Place) -> None:
        for length in range(1, len(place) + 1):
            self.found.lines.setdefault(place[:length], self.line())

    def document(self) -> None:
        table: Place = ()
        self.skip(FILLER)
        while self.at < len(self.text):
            start = self.at
            table = self.header() if self.text[self.at] == "[" else self.pair(table)
            self.skip(FILLER)
            if self.at == start:
                return

    def header(self) -> Place:
        line = self.line()
        is_item = self.take("[[") or not self.take("[")
        table = self.resolved(self.key(), is_item=is_item)
        self.record(table)
        self.found.headers.append((table, line))
        self.skip(_BLANK)
        self.take("]]" if is_item else "]")
        return table

    def resolved(self, key: tuple[str, ...], *, is_item: bool) -> Place:
        """Return the place a header means: the latest item of each array of tables on the way."""
        place: Place = ()
        for number, part in enumerate(key):
            place = (*place, part)
            if is_item and number == len(key) - 1:
                self.items[place] = self.items.get(place, -1) + 1
            if place in self.items:
                place = (*place, self.items[place])
        return place

    def key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            self.skip(_BLANK)
            parts.append(_unquoted(self.skip(_KEY_PART)))
            self.skip(_BLANK)
            if not self.take("."):
                return tuple(parts)

    def pair(self, table: Place) -> Place:
        start = self.at
        key = self.key()
        end, self.at = self.at, start
        self.record((*table, *key))
        self.at = end
        self.take("=")
        self.skip(_BLANK)
        self.value((*table, *key))
        return table

    def value(self, place: Place) -> None:
        start = self.at
        if self.take("["):
            self.members(place, "]")
        elif self.take("{"):
            self.members(place, "}")
        elif not self.skip(_STRING):
            self.skip(_SCALAR)
        self.found.spans[place] = (start, self.at)

    def members(self, place: Place, closing: str) -> None:
        number = 0
        self.skip(FILLER)
        while self.at < len(self.text) and not self.take(closing):
            if closing == "]":
                self.record((*place, number))
                self.value((*place, number))
            else:
                self.pair(place)
            number += 1
            self.skip(FILLER)
            self.take(",")
            self.skip(FILLER)


def _unquoted(part: str) -> str:
    if part.startswith("'"):
        return part[1:-1]
    if part.startswith('"'):
        import tomllib

        value: Any = tomllib.loads(f"key = {part}")["key"]
        return str(value)
    return part
