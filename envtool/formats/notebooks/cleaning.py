"""Taking out of a notebook what a run put in, and changing no other byte."""

from envtool.formats.declarations import json_spans
from envtool.formats.declarations.editing.cells import without_own
from envtool.formats.declarations.notebook import read_notebook

__all__ = ["cleaned"]

_OF_A_RUN = ("execution", "envtool")
"""Keys of a cell's metadata: nbclient's times, and ours."""


def cleaned(text: str, *, lock: bool = False, file: str = "notebook") -> str:
    """Return the notebook without outputs, counts and the record of its run; with `lock` its lock.

    :raises DeclarationError: the text is not a notebook.
    """
    read_notebook(text, file=file)
    text = _without_outputs(text)
    for key in ("run", "lock") if lock else ("run",):
        text = without_own(text, key)
    return text


def _without_outputs(text: str) -> str:
    at = len(text) - len(text.lstrip(" \t\r\n"))
    found = [each for each in json_spans.members(text, at) if each.key == "cells"]
    pieces, done = [], 0
    for cell in json_spans.elements(text, found[-1].value):
        pieces += [text[done : cell.start], _clean_cell(text[cell.start : cell.end])]
        done = cell.end
    return "".join([*pieces, text[done:]])


def _clean_cell(cell: str) -> str:
    members = {each.key: each for each in json_spans.members(cell, 0)}
    if "outputs" not in members:
        return cell
    edits = {"outputs": "[]", "execution_count": "null"}
    if "metadata" in members:
        inner = members["metadata"]
        edits["metadata"] = _without_times(cell[inner.value : inner.end])
    # From the end, so that what stands before keeps its place.
    for member in sorted(members.values(), key=lambda each: each.start, reverse=True):
        if (new := edits.get(member.key)) is not None and not _same(cell, member, new):
            cell = json_spans.replace(cell, member, new)
    return cell


def _same(cell: str, member: json_spans.Member, new: str) -> bool:
    """Say whether an empty list is that already, however it is laid out."""
    return "".join(cell[member.value : member.end].split()) == new


def _without_times(metadata: str) -> str:
    if not metadata.startswith("{"):
        return metadata
    for key in _OF_A_RUN:
        if any(each.key == key for each in json_spans.members(metadata, 0)):
            metadata = json_spans.remove_member(metadata, 0, key)
    return metadata
