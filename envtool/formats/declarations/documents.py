"""The tables of a declaration's file, decoded, and the way from a place in them to its line."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from envtool.errors import DeclarationError, one_fault
from envtool.formats.declarations.checked import Faults, Place
from envtool.formats.declarations.toml_text import load
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import Kind

__all__ = ["Document", "read_document"]

_ADD = "envtool add NAME writes a first one"


@value
class Document:
    """The decoded tables of a file, and how a place in them becomes file and line."""

    values: Mapping[str, Any]
    place: Place
    file: str
    line_of: Callable[[Place], int | None]


def read_document(text: str, path: str, kind: "Kind") -> Document:
    """Return the tables that declare, out of the text of a file.

    :raises DeclarationError: it is not of the kind's format, or declares nothing.
    """
    return _DOCUMENTS[kind](text, path)


def _toml_document(text: str, file: str, lines_before: int = 0) -> Document:
    def line_of(place: Place) -> int | None:
        from envtool.formats.declarations import toml_lines  # only a fault pays for it

        line = toml_lines.line_of(toml_lines.scan(text), place)
        return None if line is None else line + lines_before

    return Document(load(text, file, lines_before), (), file, line_of)


def _inline_document(script: str, file: str) -> Document:
    from envtool.formats.declarations.inline import find_block, has_unclosed_block

    block = find_block(script, file=file)
    if block is not None:
        return _toml_document(block.content, file, block.line - 1)
    line = has_unclosed_block(script)
    absence = "no `# /// script` block" if line is None else "the block is not closed by `# ///`"
    error = one_fault(file, absence, line=line)
    raise DeclarationError(error.faults, hint=_ADD if line is None else None)


def _cell_document(text: str, path: str) -> Document:
    from envtool.formats.declarations.notebook import first_code_cell

    cell = first_code_cell(text, file=path)
    if cell is None:
        raise DeclarationError(one_fault(path, "the notebook has no code cell").faults, hint=_ADD)
    return _inline_document(cell.source, f"{path}, cell {cell.number}")


def _metadata_document(text: str, path: str) -> Document:
    from envtool.formats.declarations import json_spans
    from envtool.formats.declarations.notebook import read_notebook

    metadata = read_notebook(text, file=path)["metadata"]
    place = ("metadata", "envtool", "declaration")
    below = metadata.get("envtool", {})
    if not isinstance(below, dict) or "declaration" not in below:
        raise DeclarationError(one_fault(path, "the notebook declares nothing").faults, hint=_ADD)
    if not isinstance(below["declaration"], dict):
        error = Faults([(place, "expected an object with the keys of envtool.toml")])
        raise error.located(path, lambda at: json_spans.line_of(text, at))
    return Document(below["declaration"], place, path, lambda at: json_spans.line_of(text, at))


_DOCUMENTS: Mapping["Kind", Callable[[str, str], Document]] = {
    "envtool.toml": _toml_document,
    "pyproject.toml": _toml_document,
    "script": _inline_document,
    "notebook-cell": _cell_document,
    "notebook-metadata": _metadata_document,
}
