"""A notebook's declaration and lock, read from the text of its .ipynb.

Every kernel's start reads its notebook, so this room imports next to nothing.
"""

from __future__ import annotations

import gc

from envtool.errors import one_fault
from envtool.formats.declarations.inline import Block, find_block
from envtool.formats.plain_json import loads
from envtool.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from envtool.errors import DeclarationError
    from envtool.formats.declarations.declaration import Kind

__all__ = [
    "CodeCell",
    "carried_name",
    "declaration_block",
    "declares",
    "first_code_cell",
    "kind_of",
    "lock_text",
    "read_notebook",
]

_FIRST_FORMAT = 4


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
        return loads(text)
    except RecursionError:
        raise one_fault(file, "not a notebook: nested too deeply") from None
    except ValueError as error:
        raise _unreadable(error, file) from error
    finally:
        if was_enabled:
            gc.enable()


def _unreadable(error: ValueError, file: str) -> DeclarationError:
    import json

    if isinstance(error, json.JSONDecodeError):
        return one_fault(file, f"not JSON: {error.msg}", line=error.lineno)
    # A number of more digits than Python converts.
    return one_fault(file, f"not JSON that can be read: {error}")


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


def kind_of(text: str, *, file: str = "notebook") -> Kind:
    """Return where the notebook declares; `notebook-cell` when it declares nothing yet.

    A block in the first code cell wins over metadata.

    :raises DeclarationError: the text is not a notebook, or the cell has two blocks.
    """
    return declares(text, file=file) or "notebook-cell"


def declares(text: str, *, file: str = "notebook") -> Kind | None:
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
