"""Where each kind of file keeps its declaration's TOML, and changing it there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from envtool.formats.declarations import notebook
from envtool.formats.declarations.editing import cells
from envtool.formats.declarations.inline import find_block, with_content
from envtool.formats.declarations.toml_text import load

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import Kind

__all__ = ["Keys", "changed", "changed_notebook", "dig", "own_place"]

Keys = tuple[str, ...]


def own_place(kind: "Kind") -> Keys:
    """Return below which keys a kind of file has what only envtool reads."""
    return () if kind == "envtool.toml" else ("tool", "envtool")


def changed(text: str, kind: "Kind", file: str, change: Callable[[str], str]) -> str:
    """Return the text with its TOML changed, wherever the kind keeps it."""
    if kind == "notebook-cell":
        return changed_notebook(text, file, change)
    if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
        return changed(text.replace("\r\n", "\n"), kind, file, change).replace("\n", "\r\n")
    if kind == "script":
        block = find_block(text, file=file)
        if block is not None:
            load(block.content, file, block.line - 1)
        return with_content(text, change(block.content if block else ""), file=file)
    return change(text)


def changed_notebook(text: str, file: str, change: Callable[[str], str]) -> str:
    """Return the notebook with the TOML of its first code cell changed, or in a new cell."""
    cell = notebook.first_code_cell(text, file=file)
    block = notebook.declaration_block(text, file=file)
    if cell is not None and (block is not None or not cell.source.strip()):
        source = cell.source if block is not None else ""
        made = changed(source, "script", f"{file}, cell {cell.number}", change)
        if not source.endswith("\n"):
            made = made.removesuffix("\n")
        return cells.with_source(text, cell.number, made)
    # A cell of its own: the first one may begin with a cell magic, which must stay its first line.
    source = with_content("", change(""), file=file).rstrip("\n")
    number = cell.number if cell else len(notebook.read_notebook(text, file=file)["cells"]) + 1
    return cells.with_code_cell_before(text, number, source, file=file)


def dig(tables: Any, place: Keys) -> Any:
    """Return what tables hold at a place; None when they hold nothing there."""
    for key in place:
        if not isinstance(tables, dict):
            return None
        tables = tables.get(key)
    return tables
