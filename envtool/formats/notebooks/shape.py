"""What has to be so in a notebook before it is executed and its outputs are compared.

Notebooks that are not quite what nbformat 4's schema says are common, and Jupyter opens them. Only
what would stop us half-way is a fault here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.notebook import read_notebook

__all__ = ["check_shape"]

_FORMAT = 4
_SURROGATE = re.compile("[\ud800-\udfff]")
_DATA = frozenset({"display_data", "execute_result"})


def check_shape(text: str, *, file: str) -> None:
    """Refuse a notebook that cannot be executed.

    :raises DeclarationError: with every fault of it.
    """
    notebook = read_notebook(text, file=file)
    faults = [Fault(place, None, "", message) for place, message in _faults(notebook, file)]
    if faults:
        raise DeclarationError(faults)


def _faults(notebook: Mapping[str, Any], file: str) -> Iterator[tuple[str, str]]:
    if notebook["nbformat"] != _FORMAT:
        yield file, f"nbformat {notebook['nbformat']} is newer than 4, which is the newest we know"
    if not isinstance(notebook.get("nbformat_minor", 0), int):
        yield file, "'nbformat_minor' is not a number"
    for number, cell in enumerate(notebook["cells"], 1):
        for message in _faults_of_cell(cell):
            yield f"{file}, cell {number}", message


def _faults_of_cell(cell: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(cell.get("cell_type"), str):
        yield "'cell_type' is not text"
    source: Any = cell.get("source")
    metadata = cell.get("metadata")
    if not _is_text(source):
        yield "'source' is not text"
    elif cell.get("cell_type") == "code" and _SURROGATE.search("".join(source)):
        yield "'source' has half a surrogate pair, which no kernel can be told"
    if not isinstance(metadata, dict):
        yield "'metadata' is not an object"
    elif not isinstance(metadata.get("tags", []), list):
        yield "'tags' is not a list"
    attachments = cell.get("attachments", {})
    if not isinstance(attachments, dict) or not all(map(_is_object, attachments.values())):
        yield "'attachments' is not an object of objects"
    outputs = cell.get("outputs", [])
    if not isinstance(outputs, list):
        yield "'outputs' is not a list"
        return
    for number, output in enumerate(outputs, 1):
        fault = _fault_of_output(output)
        if fault is not None:
            yield f"output {number}: {fault}"


def _fault_of_output(output: Any) -> str | None:
    if not isinstance(output, dict):
        return "not an object"
    kind = output.get("output_type")
    if not isinstance(kind, str):
        return "'output_type' is not text"
    if kind in _DATA and not isinstance(output.get("data", {}), dict):
        return "'data' is not an object"
    if kind == "stream" and not _is_text(output.get("text", "")):
        return "'text' is not text"
    return None


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(line, str) for line in value)
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)
