"""A notebook's declaration and lock, replaced in the text of its .ipynb.

An edit changes the bytes of the value it replaces and no others: indent, key order, line ends and
the way non-ASCII characters are written stay those of the program that wrote the notebook.
"""

from typing import Any

from envtool.errors import one_fault
from envtool.formats.declarations import json_spans
from envtool.formats.declarations.notebook import read_notebook

__all__ = [
    "EMPTY",
    "with_code_cell_before",
    "with_dependencies",
    "with_lock",
    "with_source",
    "with_system_packages",
    "without_own",
]

EMPTY = """\
{
 "cells": [],
 "metadata": {},
 "nbformat": 4,
 "nbformat_minor": 5
}
"""
"""A notebook without cells, laid out as Jupyter does."""
_FIRST_MINOR_WITH_IDS = 5


def with_lock(text: str, lock: str | None, *, file: str = "notebook") -> str:
    """Return the notebook with that lock as a list of lines, or without one.

    :raises DeclarationError: the text is not a notebook.
    """
    own = read_notebook(text, file=file)["metadata"].get("envtool", {})
    if not isinstance(own, dict):
        raise one_fault(file, "metadata.envtool is not an object")
    if lock is None:
        return without_own(text, "lock")
    lines = lock.splitlines(keepends=True)
    return _with_member(text, ("metadata", "envtool", "lock"), lines)


def without_own(text: str, key: str) -> str:
    """Return the notebook without a member of `metadata.envtool`; without that, too, if left bare.

    The text is a notebook.
    """
    while True:
        own = _find(text, ("metadata", "envtool"))
        if own is None or _find(text, ("metadata", "envtool", key)) is None:
            return text
        if all(each.key == key for each in json_spans.members(text, own.value)):
            metadata = _find(text, ("metadata",))
            assert metadata is not None
            text = json_spans.remove_member(text, metadata.value, "envtool")
        else:
            text = json_spans.remove_member(text, own.value, key)


def with_dependencies(
    text: str, dependencies: list[str], sources: dict[str, Any], *, file: str = "notebook"
) -> str:
    """Return the notebook with the requirements and sources of its metadata's declaration replaced.

    :raises DeclarationError: the text is not a notebook.
    """
    read_notebook(text, file=file)
    place = ("metadata", "envtool", "declaration")
    text = _with_member(text, (*place, "dependencies"), dependencies)
    if sources or _find(text, (*place, "sources")) is not None:
        text = _with_member(text, (*place, "sources"), sources)
    return text


def with_system_packages(text: str, packages: list[str], *, file: str = "notebook") -> str:
    """Return the notebook with the system packages of its metadata's declaration replaced.

    :raises DeclarationError: the text is not a notebook.
    """
    read_notebook(text, file=file)
    place = ("metadata", "envtool", "declaration", "system", "packages")
    return _with_member(text, place, packages)


def with_source(text: str, number: int, source: str) -> str:
    """Return the notebook with the source of a cell (counted from 1) replaced.

    A source that was a list of lines stays one, as does one that was a single string.
    """
    cells = _find(text, ("cells",))
    assert cells is not None
    cell = json_spans.elements(text, cells.value)[number - 1]
    old = [each for each in json_spans.members(text, cell.value) if each.key == "source"]
    style = json_spans.style_of(text)
    if not old:
        rendered = style.render(_lines(source), 3)
        return json_spans.insert_member(text, cell.value, "source", rendered, depth=3)
    is_string = text[old[-1].value] == '"' and source != ""
    return json_spans.replace(
        text, old[-1], style.render(source if is_string else _lines(source), 3)
    )


def with_code_cell_before(text: str, number: int, source: str, *, file: str = "notebook") -> str:
    """Return the notebook with a new code cell before the cell of that number, or as the last."""
    notebook = read_notebook(text, file=file)
    cell: dict[str, Any] = {"cell_type": "code", "execution_count": None}
    if (notebook["nbformat"], notebook.get("nbformat_minor", 0)) >= (4, _FIRST_MINOR_WITH_IDS):
        cell["id"] = _free_id(notebook["cells"])
    cell |= {"metadata": {}, "outputs": [], "source": _lines(source)}
    style = json_spans.style_of(text)
    rendered = style.render(cell, 2)
    cells = _find(text, ("cells",))
    assert cells is not None
    there = json_spans.elements(text, cells.value)
    if not there:
        return json_spans.replace(text, cells, style.render([cell], 1))
    if number <= len(there):
        at = there[number - 1].start
        return text[:at] + rendered + "," + style.line_break(2) + text[at:]
    at = there[-1].end
    return text[:at] + "," + style.line_break(2) + rendered + text[at:]


def _lines(source: str) -> list[str]:
    return source.splitlines(keepends=True)


def _free_id(cells: list[dict[str, Any]]) -> str:
    taken = {cell.get("id") for cell in cells}
    numbers = range(1, len(cells) + 2)
    return next(word for number in numbers if (word := f"envtool-{number}") not in taken)


def _find(text: str, place: tuple[str, ...]) -> json_spans.Member | None:
    found = None
    at = len(text) - len(text.lstrip(" \t\r\n"))
    for key in place:
        if text[at] != "{":
            return None
        matching = [each for each in json_spans.members(text, at) if each.key == key]
        if not matching:
            return None
        found = matching[-1]
        at = found.value
    return found


def _with_member(text: str, place: tuple[str, ...], value: Any) -> str:
    """Return the text with the value at that place, objects on the way made where missing."""
    style = json_spans.style_of(text)
    existing = _find(text, place)
    if existing is not None:
        return json_spans.replace(text, existing, style.render(value, len(place)))
    depth = len(place) - 1
    while depth and _find(text, place[:depth]) is None:
        value = {place[depth]: value}
        depth -= 1
    around = _find(text, place[:depth])
    start = around.value if around else len(text) - len(text.lstrip(" \t\r\n"))
    rendered = style.render(value, depth + 1)
    return json_spans.insert_member(text, start, place[depth], rendered, depth=depth + 1)
