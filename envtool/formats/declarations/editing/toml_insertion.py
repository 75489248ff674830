"""New keys and tables in a TOML text, put where a person would write them.

A new key goes to the end of its table: after the last key, before the blank lines and the comment
that lead the next table. Where a table is written in dotted or inline form, `tomlkit` inserts.
"""

import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envtool.formats.declarations.checked import dotted
from envtool.formats.declarations.editing.places import Keys, dig
from envtool.formats.declarations.editing.toml_arrays import quoted
from envtool.formats.declarations.requirement import normalised
from envtool.formats.declarations.toml_lines import scan

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import PathSource

__all__ = ["insert_array", "insert_source"]


def insert_array(toml: str, place: Keys, items: Sequence[str]) -> str:
    """Return the text with an array of strings, one to a line, at a place that has none yet."""
    lines = "".join(f"    {quoted(item)},\n" for item in items)
    rendered = f"[\n{lines}]" if items else "[]"
    return _inserted(toml, place, rendered, list(items))


def insert_source(toml: str, table: Keys, name: str, source: "PathSource") -> str:
    """Return the text with the source of a package, in the place of an older one if there is."""
    import tomlkit

    value: dict[str, Any] = {"path": source.path} | ({"editable": True} if source.editable else {})
    document = tomlkit.parse(toml)
    there = dig(document, table)
    for key in there or ():
        if normalised(key) == name:
            there[key] = _inline_table(value)
            return tomlkit.dumps(document)
    return _inserted(toml, (*table, name), _inline_table(value).as_string(), value)


def _inline_table(value: dict[str, Any]) -> Any:
    import tomlkit

    table = tomlkit.inline_table()
    table.update(value)
    return table


def _inserted(toml: str, place: Keys, rendered: str, value: Any) -> str:
    tables = tomllib.loads(toml)
    expected = _with_value(tables, place, value)
    if not place[:-1] or any(table == place[:-1] for table, _ in scan(toml).headers):
        text = _at_end_of_table(toml, place, rendered)
    elif dig(tables, place[:-1]) is None:
        gap = "" if not toml.strip() else "\n" if toml.endswith("\n") else "\n\n"
        text = f"{toml}{gap}[{dotted(place[:-1])}]\n{dotted(place[-1:])} = {rendered}\n"
    else:
        return _by_tomlkit(toml, place, value)
    try:
        if tomllib.loads(text) == expected:
            return text
    except tomllib.TOMLDecodeError:
        # Some table around it is written inline and cannot be extended by a header.
        return _by_tomlkit(toml, place, value)
    return _by_tomlkit(toml, place, value)


def _with_value(tables: dict[str, Any], place: Keys, value: Any) -> dict[str, Any]:
    below = tables.get(place[0], {})
    return {**tables, place[0]: _with_value(below, place[1:], value) if place[1:] else value}


def _at_end_of_table(toml: str, place: Keys, rendered: str) -> str:
    lines = toml.splitlines(keepends=True)
    headers = [((), 0), *scan(toml).headers]
    number = next(n for n, (table, _) in enumerate(headers) if table == place[:-1])
    at = len(lines)
    if number + 1 < len(headers):
        at = headers[number + 1][1] - 1
        while at and lines[at - 1].lstrip().startswith("#"):
            at -= 1
    while at and not lines[at - 1].strip():
        at -= 1
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    gap = "\n" if at < len(lines) and lines[at].strip() else ""
    return "".join([*lines[:at], f"{dotted(place[-1:])} = {rendered}\n{gap}", *lines[at:]])


def _by_tomlkit(toml: str, place: Keys, value: Any) -> str:
    import tomlkit

    document = tomlkit.parse(toml)
    around: Any = document
    for key in place[:-1]:
        if key not in around:
            around[key] = tomlkit.table() if around is document else tomlkit.inline_table()
        around = around[key]
    around[place[-1]] = _inline_table(value) if isinstance(value, dict) else value
    return tomlkit.dumps(document)
