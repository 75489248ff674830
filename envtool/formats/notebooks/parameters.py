"""Parameters of a notebook, in papermill's form.

The cell with the tag `parameters` holds the defaults; behind it stands, once values are given, a cell
with the tag `injected-parameters` that assigns them. Without such a cell the values come first, but
behind the cell that declares, which stays the first.
"""

import ast
import json
import keyword
import math
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from envtool.errors import Fault, KernelError
from envtool.formats.declarations.inline import find_block

__all__ = ["assignments", "defaults", "inject", "read_file", "read_value"]

DEFAULTS = "parameters"
INJECTED = "injected-parameters"


def read_value(text: str) -> Any:
    """Return the value that a word of the command line means: a number, True, False, None, or text."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def read_file(text: str, *, file: str) -> dict[str, Any]:
    """Return the parameters of a file: TOML, or JSON if that is its ending.

    :raises KernelError: it is neither.
    """
    try:
        found = json.loads(text) if file.endswith(".json") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        fault = Fault(file, None, "", f"no parameters: {error}")
        raise KernelError(str(fault), hint="write TOML, or JSON into a .json") from error
    if not isinstance(found, dict):
        raise KernelError(f"{file}: no parameters: expected an object")
    return found


def assignments(parameters: Mapping[str, Any]) -> str:
    """Return Python that assigns the values.

    :raises KernelError: a name cannot be a variable's, or a value has no Python literal.
    """
    lines = ["# Parameters"]
    for name, value in parameters.items():
        if not name.isidentifier() or keyword.iskeyword(name):
            raise KernelError(f"{name!r} cannot be the name of a parameter")
        lines.append(f"{name} = {_literal(name, value)}")
    return "\n".join(lines)


def _literal(name: str, value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, list):
        return f"[{', '.join(_literal(name, each) for each in value)}]"
    if isinstance(value, dict):
        pairs = (f"{key!r}: {_literal(name, each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    raise KernelError(f"the parameter {name} is a {type(value).__name__}: write it as text")


def defaults(cells: Sequence[Mapping[str, Any]]) -> set[str] | None:
    """Return the names that the notebook's own parameters have; None when it has no such cell."""
    at = _tagged(cells, DEFAULTS)
    if at is None:
        return None
    try:
        tree = ast.parse(_source(cells[at]))
    except SyntaxError:
        return set()
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def inject(
    cells: Sequence[Mapping[str, Any]], cell: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Return the cells with one that assigns parameters at its place; an older one goes."""
    kept = [each for each in cells if INJECTED not in _tags(each)]
    at = _tagged(kept, DEFAULTS)
    if at is None:
        at = _declaring(kept)
    place = 0 if at is None else at + 1
    tagged = {**cell, "metadata": {**cell.get("metadata", {}), "tags": [INJECTED]}}
    return [*kept[:place], tagged, *kept[place:]]


def _declaring(cells: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the place of the cell that declares; None when the notebook does so elsewhere."""
    first = next((at for at, each in enumerate(cells) if each.get("cell_type") == "code"), None)
    if first is None or find_block(_source(cells[first]), file="notebook") is None:
        return None
    return first


def _tagged(cells: Sequence[Mapping[str, Any]], tag: str) -> int | None:
    return next((at for at, each in enumerate(cells) if tag in _tags(each)), None)


def _tags(cell: Mapping[str, Any]) -> Sequence[str]:
    found = cell.get("metadata", {}).get("tags", [])
    return found if isinstance(found, list) else []


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)
