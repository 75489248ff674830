"""Declarations in a notebook that do not count: blocks left open, or in a later cell.

They are no faults to PEP 723 and to other tools, so a notebook with them is read as if they were
not there; but somebody meant something by them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.inline import find_block, has_unclosed_block
from envtool.formats.declarations.notebook import read_notebook

__all__ = ["astray"]

_MARK = "# /// script"


def astray(text: str, *, file: str) -> list[Fault]:
    """Return what looks like a declaration and is none; cells with `%%envtool` are meant to be so.

    :raises DeclarationError: the text is not a notebook.
    """
    return list(_found(read_notebook(text, file=file), file))


def _found(notebook: Mapping[str, Any], file: str) -> Iterator[Fault]:
    first: int | None = None
    for number, cell in enumerate(notebook["cells"], 1):
        if cell.get("cell_type") != "code":
            continue
        first = first or number
        source = _source(cell)
        if _MARK not in source or source.startswith("%%"):
            continue
        line, place = has_unclosed_block(source), f"{file}, cell {number}"
        if not _has_block(source):
            if line is not None:
                yield Fault(place, line, "", "the block is not closed by `# ///`")
        elif number != first:
            told = f"a `# /// script` block counts in the first code cell only, which is cell {first}"
            yield Fault(place, line, "", told)


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _has_block(source: str) -> bool:
    try:
        return find_block(source, file="") is not None
    except DeclarationError:
        return True  # two of them
