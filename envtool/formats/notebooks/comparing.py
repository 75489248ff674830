"""Comparing the outputs of two runs of a notebook, cell by cell.

Text has to be the same but for its numbers, which may differ within a tolerance, and for what no run
can repeat (`chance`), in SVG, HTML and scripts names by lot (`markup`). Images are compared as an eye
would (`images`), sound, films and PDF by their bytes. A cell with the tag `varies` is not
compared.
"""

import base64
import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from envtool.formats.notebooks.chance import without_chance
from envtool.formats.notebooks.images import compare_images
from envtool.formats.notebooks.markup import comparable
from envtool.values import value

__all__ = ["VARIES", "CellReport", "Tolerance", "compare_cells"]

VARIES = frozenset({"varies", "nbval-ignore-output"})
"""Tags of cells that say another thing each time."""
Status = Literal["same", "differs", "varies"]

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?(?!\w)")
_PDF_DATE = re.compile(rb"/(?:Creation|Mod)Date \(D:[^)]{0,40}\)")
_SHOWN = 6
"""Lines of a difference that a report has."""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_SVG = "image/svg+xml"
_BINARY = ("image/", "audio/", "video/", "application/pdf")


@value
class Tolerance:
    """How far apart what counts as the same may be."""

    relative: float = 1e-6
    absolute: float = 1e-12
    image: float = 0.05
    """Of the range of a colour, for the mean of a block of 8 by 8 pixels."""


@value
class CellReport:
    """What became of one code cell."""

    number: int
    """Counted from 1 among all cells."""
    title: str
    """Its first line."""
    status: Status
    differences: tuple[str, ...]


def compare_cells(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], tolerance: Tolerance
) -> list[CellReport]:
    """Compare the code cells of two runs of one notebook: the same cells, in order."""
    reports = []
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        source = _text(old.get("source", ""))
        if old.get("cell_type") != "code" or not source.strip():
            continue
        tags = old.get("metadata", {}).get("tags")
        differences = tuple(_compare(old, new, tolerance))
        status: Status = "differs" if differences else "same"
        if isinstance(tags, list) and any(tag in tags for tag in VARIES):
            status, differences = "varies", ()
        reports.append(CellReport(number, _title(source), status, differences))
    return reports


def _title(source: str) -> str:
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith(("#", "%"))), lines[0])


def _compare(
    old: Mapping[str, Any], new: Mapping[str, Any], tolerance: Tolerance
) -> Iterator[str]:
    before, after = _merged(old.get("outputs", [])), _merged(new.get("outputs", []))
    for at in range(max(len(before), len(after))):
        if at >= len(after):
            yield f"an output is missing now: {_kind(before[at])}"
        elif at >= len(before):
            yield f"an output is new: {_kind(after[at])}{_told(after[at])}"
        elif _kind(before[at]) != _kind(after[at]):
            yield f"{_kind(before[at])} became {_kind(after[at])}{_told(after[at])}"
        else:
            yield from _compare_outputs(before[at], after[at], tolerance)


def _merged(outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the outputs, pieces of one stream joined: where a stream breaks is chance."""
    merged: list[dict[str, Any]] = []
    for output in outputs:
        if output.get("output_type") != "stream":
            merged.append(dict(output))
            continue
        name, text = output.get("name"), _text(output.get("text", ""))
        same = [
            each
            for each in merged[-2:]
            if each.get("output_type") == "stream" and each["name"] == name
        ]
        if same:
            same[0]["text"] += text
        else:
            merged.append({"output_type": "stream", "name": name, "text": text})
    return merged


def _kind(output: Mapping[str, Any]) -> str:
    match output.get("output_type"):
        case "stream":
            return f"text on {output.get('name')}"
        case "error":
            return f"the error {output.get('ename')}"
        case "execute_result" | "display_data":
            return "a result" if output["output_type"] == "execute_result" else "a display"
        case other:
            return str(other)


def _told(output: Mapping[str, Any]) -> str:
    return f": {output.get('evalue')}" if output.get("output_type") == "error" else ""


def _compare_outputs(
    old: Mapping[str, Any], new: Mapping[str, Any], tolerance: Tolerance
) -> Iterator[str]:
    if "data" not in old:
        key = "evalue" if old.get("output_type") == "error" else "text"
        yield from _compare_texts(_kind(old), _text(old[key]), _text(new[key]), tolerance)
        return
    for mime in sorted({*old["data"], *new["data"]}):
        if mime not in new["data"] or mime not in old["data"]:
            yield f"{mime} is {'missing now' if mime in old['data'] else 'new'}"
        else:
            yield from _compare_data(mime, old["data"][mime], new["data"][mime], tolerance)


def _compare_data(mime: str, old: Any, new: Any, tolerance: Tolerance) -> Iterator[str]:
    if mime == _WIDGET or old == new:
        return
    if mime != _SVG and mime.startswith(_BINARY):
        yield from _compare_bytes(mime, _bytes(old), _bytes(new), tolerance)
    elif _is_text(mime, old) and _is_text(mime, new):
        first, second = _text(old), _text(new)
        if mime not in ("text/plain", "text/markdown", "text/latex"):
            first, second = comparable(first, second)
        yield from _compare_texts(mime, first, second, tolerance)
    elif not _close(old, new, tolerance):
        yield f"{mime} differs"


def _compare_bytes(mime: str, old: bytes, new: bytes, tolerance: Tolerance) -> Iterator[str]:
    if mime.startswith("image/"):
        told = compare_images(old, new, tolerance.image)
        if told is not None:
            yield f"{mime} {told}"
    elif _PDF_DATE.sub(b"", old) != _PDF_DATE.sub(b"", new):
        yield f"{mime} differs by its bytes"


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode("".join(_text(value).split()), validate=True)
    except ValueError:
        return _text(value).encode()


def _compare_texts(what: str, old: str, new: str, tolerance: Tolerance) -> Iterator[str]:
    old, new = without_chance(old), without_chance(new)
    if old == new or _same_text(old, new, tolerance):
        return
    lines = _differing(old.splitlines(), new.splitlines(), tolerance)
    rest = f"\n… and {len(lines) - _SHOWN} more lines" if len(lines) > _SHOWN else ""
    shown = "\n".join(lines[:_SHOWN]) or "only in the ends of its lines"
    yield f"{what} differs\n{shown}{rest}"


def _same_text(old: str, new: str, tolerance: Tolerance) -> bool:
    """Say whether two texts are the same but for numbers that are close."""
    if _NUMBER.sub("0", old) != _NUMBER.sub("0", new):
        return False
    pairs = zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=True)
    return all(one == other or _close_words(one, other, tolerance) for one, other in pairs)


def _close_words(one: str, other: str, tolerance: Tolerance) -> bool:
    if not any(mark in one + other for mark in ".eE"):
        return False  # whole numbers count things
    first, second = float(one), float(other)
    return math.isfinite(first) and _near(first, second, tolerance)


def _near(one: float, other: float, tolerance: Tolerance) -> bool:
    return math.isclose(one, other, rel_tol=tolerance.relative, abs_tol=tolerance.absolute)


def _differing(old: list[str], new: list[str], tolerance: Tolerance) -> list[str]:
    """Return the lines of a diff, without those that count as the same."""
    lines: list[str] = []
    start = len(os.path.commonprefix([old, new]))
    old, new = old[start:], new[start:]
    # Lines that come often count as landmarks only while there are few: else it is quadratic.
    matcher = difflib.SequenceMatcher(None, old, new)
    for kind, start, end, first, last in matcher.get_opcodes():
        if kind == "equal":
            continue
        before, after = old[start:end], new[first:last]
        if len(before) == len(after):
            pairs = list(zip(before, after, strict=True))
            pairs = [pair for pair in pairs if not _same_text(*pair, tolerance)]
            before, after = [one for one, _ in pairs], [other for _, other in pairs]
        lines += [f"- {line}" for line in before]
        lines += [f"+ {line}" for line in after]
    return lines


def _close(old: Any, new: Any, tolerance: Tolerance) -> bool:
    """Say whether two JSON values are the same but for numbers that are close."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_close(old[k], new[k], tolerance) for k in old)
    if isinstance(old, list) and isinstance(new, list):
        pairs = zip(old, new, strict=False)
        return len(old) == len(new) and all(_close(*pair, tolerance) for pair in pairs)
    if isinstance(old, float) or isinstance(new, float):
        numbers = isinstance(old, int | float) and isinstance(new, int | float)
        return numbers and (_near(old, new, tolerance) or (old != old and new != new))  # noqa: PLR0124 - NaN
    return bool(old == new)


def _is_text(mime: str, data: Any) -> bool:
    """Say whether data is text; in JSON a list is a list, and not of lines."""
    return isinstance(data, str if "json" in mime else str | list)


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)
