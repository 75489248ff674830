"""Entries of an array of strings in a TOML text: put in, replaced and taken out in place.

Done on the text: `tomlkit` loses or misplaces a comma where a comment stands between the last
entry and the closing bracket, the usual place of an entry that someone commented out.
"""

import re

from envtool.formats.declarations.checked import Place
from envtool.formats.declarations.toml_lines import FILLER, scan

__all__ = ["append_entry", "delete_entry", "quoted", "replace_entry"]

_BLANK = re.compile(r"[ \t]*")
_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?(?=\n)")
_INDENT = "    "

_Span = tuple[int, int]


def quoted(entry: str, beside: str = '"') -> str:
    """Return a printable string as TOML, quoted as the one beside it unless that needs escapes."""
    prefers_literal = beside.startswith("'") or '"' in entry
    if prefers_literal and "'" not in entry:
        return f"'{entry}'"
    return '"' + entry.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _spans(toml: str, place: Place) -> tuple[_Span, list[_Span]]:
    """Return where the array stands, brackets included, and where its entries do."""
    spans = scan(toml).spans
    entries: list[_Span] = []
    while (*place, len(entries)) in spans:
        entries.append(spans[(*place, len(entries))])
    return spans[place], entries


def replace_entry(toml: str, place: Place, number: int, entry: str) -> str:
    """Return the text with one entry replaced, its quotes kept where possible."""
    start, end = _spans(toml, place)[1][number]
    return toml[:start] + quoted(entry, toml[start:end]) + toml[end:]


def append_entry(toml: str, place: Place, entry: str) -> str:
    """Return the text with an entry added: on a line of its own if the last one has such a line."""
    array, entries = _spans(toml, place)
    if not entries:
        return _first_entry(toml, array, quoted(entry))
    start, end = entries[-1]
    text = quoted(entry, toml[start:end])
    indent = _indent_of_own_line(toml, start)
    if indent is None:
        return f"{toml[:end]}, {text}{toml[end:]}"
    comma = _comma_after(toml, end)
    if comma is None:
        toml, comma = f"{toml[:end]},{toml[end:]}", end
        closing = ""
    else:
        closing = ","
    rest = _REST_OF_LINE.match(toml, comma + 1)
    at = rest.end() if rest else comma + 1
    return f"{toml[:at]}\n{indent}{text}{closing}{toml[at:]}"


def _first_entry(toml: str, array: _Span, text: str) -> str:
    opening, closing = array[0] + 1, array[1] - 1
    inside = toml[opening:closing]
    if "\n" not in inside:
        return toml[:opening] + text + toml[closing:]
    line = toml.rindex("\n", 0, closing) + 1
    comment = re.search(r"^([ \t]+)#", inside, re.MULTILINE)
    indent = comment[1] if comment else _INDENT
    return f"{toml[:line]}{indent}{text},\n{toml[line:]}"


def _indent_of_own_line(toml: str, start: int) -> str | None:
    """Return the blanks before an entry that is the first thing on its line, else None."""
    before = toml[toml.rfind("\n", 0, start) + 1 : start]
    return before if not before.strip(" \t") else None


def _comma_after(toml: str, end: int) -> int | None:
    filler = FILLER.match(toml, end)
    at = filler.end() if filler else end
    return at if toml[at] == "," else None


def delete_entry(toml: str, place: Place, number: int) -> str:
    """Return the text without one entry, its comma and the comment behind it on its line."""
    _, entries = _spans(toml, place)
    start, end = entries[number]
    comma = _comma_after(toml, end)
    end = end if comma is None else comma + 1
    rest = _REST_OF_LINE.match(toml, end)
    if rest and _indent_of_own_line(toml, start) is not None:
        line = toml.rfind("\n", 0, start) + 1
        return toml[:line] + toml[rest.end() + 1 :]
    if comma is None and number:
        return _without_last(toml, entries[number - 1][1], start, end)
    blank = _BLANK.match(toml, end)
    return toml[:start] + toml[blank.end() if blank and comma is not None else end :]


def _without_last(toml: str, before: int, start: int, end: int) -> str:
    """Cut the comma before the last entry too, if nothing but blanks stands between them."""
    comma = _comma_after(toml, before)
    if comma is not None and not toml[comma + 1 : start].strip():
        start = comma
    return toml[:start] + toml[end:]
