"""A notebook's declaration and lock, read and replaced in the text of its .ipynb.

An edit changes the bytes of the value it replaces and no others: indent, key order, line ends and
the way non-ASCII characters are written stay those of the program that wrote the notebook.
"""

import gc
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from envtool.formats.declarations import json_spans
from envtool.formats.declarations.checked import one_fault
from envtool.formats.declarations.inline import Block, find_block
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import Kind

__all__ = [
    "EMPTY",
    "CodeCell",
    "carried_name",
    "declaration_block",
    "declares",
    "first_code_cell",
    "kind_of",
    "lock_text",
    "read_notebook",
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
_FIRST_FORMAT = 4
_FIRST_MINOR_WITH_IDS = 5


@value
class CodeCell:
    """The cell that may hold a declaration."""

    number: int
    """Counted from 1 among all cells."""
    source: str


def read_notebook(text: str, *, file: str) -> dict[str, Any]:
    """Return the notebook's JSON, its `metadata` an object and its `cells` a list of objects.

    :raises DeclarationError: it is not JSON, not a notebook, or older than nbformat 4.
    """
    notebook = _read_json(text, file)
    if not isinstance(notebook, dict) or not isinstance(notebook.get("nbformat"), int):
        raise one_fault(file, "not a notebook: no nbformat number")
    if notebook["nbformat"] < _FIRST_FORMAT:
        raise one_fault(
            file,
            f"nbformat {notebook['nbformat']} is older than 4; open and save it in Jupyter",
        )
    cells = notebook.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise one_fault(file, "not a notebook: 'cells' is not a list of cells")
    if not isinstance(notebook.get("metadata", {}), dict):
        raise one_fault(file, "not a notebook: 'metadata' is not an object")
    return {"metadata": {}, **notebook}


def _read_json(text: str, file: str) -> Any:
    was_enabled = gc.isenabled()
    # A million cells are as many new objects, none of them garbage: looking for it among them
    # takes four times as long as reading them.
    gc.disable()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise one_fault(file, f"not JSON: {error.msg}", line=error.lineno) from error
    except RecursionError:
        raise one_fault(file, "not a notebook: nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python converts
        raise one_fault(file, f"not JSON that can be read: {error}") from error
    finally:
        if was_enabled:
            gc.enable()


def first_code_cell(text: str, *, file: str = "notebook") -> CodeCell | None:
    """Return the first code cell; None when there is none.

    :raises DeclarationError: the text is not a notebook.
    """
    return _first_code_cell(read_notebook(text, file=file), file)


def _first_code_cell(notebook: Mapping[str, Any], file: str) -> CodeCell | None:
    for number, cell in enumerate(notebook["cells"], 1):
        if cell.get("cell_type") == "code":
            return CodeCell(number, _joined(cell.get("source", ""), file, number))
    return None


def _joined(source: object, file: str, number: int) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    raise one_fault(file, f"not a notebook: the source of cell {number} is not text")


def declaration_block(text: str, *, file: str = "notebook") -> Block | None:
    """Return the PEP 723 block of the first code cell; None when it has none.

    :raises DeclarationError: the text is not a notebook, or the cell has two blocks.
    """
    return _block(read_notebook(text, file=file), file)


def _block(notebook: Mapping[str, Any], file: str) -> Block | None:
    cell = _first_code_cell(notebook, file)
    if cell is None:
        return None
    return find_block(cell.source, file=f"{file}, cell {cell.number}")


def kind_of(text: str, *, file: str = "notebook") -> "Kind":
    """Return where the notebook declares; `notebook-cell` when it declares nothing yet.

    A block in the first code cell wins over metadata.

    :raises DeclarationError: the text is not a notebook, or the cell has two blocks.
    """
    return declares(text, file=file) or "notebook-cell"


def declares(text: str, *, file: str = "notebook") -> "Kind | None":
    """Return where the notebook declares something; None when it does not.

    :raises DeclarationError: the text is not a notebook, or the cell has two blocks.
    """
    notebook = read_notebook(text, file=file)
    if _block(notebook, file) is not None:
        return "notebook-cell"
    own = notebook["metadata"].get("envtool")
    return "notebook-metadata" if isinstance(own, dict) and "declaration" in own else None


def lock_text(text: str, *, file: str = "notebook") -> str | None:
    """Return the lock that the notebook carries; None when it carries none.

    :raises DeclarationError: the text is not a notebook, or its lock is not text.
    """
    own = read_notebook(text, file=file)["metadata"].get("envtool")
    if not isinstance(own, dict) or "lock" not in own:
        return None
    lock = own["lock"]
    if isinstance(lock, str):
        return lock
    if isinstance(lock, list) and all(isinstance(line, str) for line in lock):
        return "".join(lock)
    raise one_fault(file, "metadata.envtool.lock is not a list of lines")


def carried_name(text: str, *, file: str = "notebook") -> str | None:
    """Return the name of what an executed copy is a copy of; None when it is no copy.

    :raises DeclarationError: the text is not a notebook.
    """
    own = read_notebook(text, file=file)["metadata"].get("envtool")
    name = own.get("name") if isinstance(own, dict) else None
    return name if isinstance(name, str) and name.isprintable() and "/" not in name else None


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
