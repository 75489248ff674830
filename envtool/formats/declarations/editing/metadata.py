"""Adding and removing requirements in the declaration that a notebook's metadata holds."""

from collections.abc import Mapping
from typing import Any

from envtool.errors import one_fault
from envtool.formats.declarations import notebook
from envtool.formats.declarations.declaration import PathSource
from envtool.formats.declarations.editing import cells
from envtool.formats.declarations.editing.entries import added, position, refuse_absent
from envtool.formats.declarations.requirement import name_of, normalised

__all__ = ["add_to_metadata", "remove_from_metadata"]


def _metadata(text: str, environment: str, file: str) -> dict[str, Any]:
    own = notebook.read_notebook(text, file=file)["metadata"].get("envtool", {})
    if not isinstance(own, dict):
        raise one_fault(file, "metadata.envtool is not an object")
    declaration = own.get("declaration")
    if environment != "default":
        raise one_fault(file, f"no environment '{environment}': a notebook is one environment")
    if declaration is not None and not isinstance(declaration, dict):
        raise one_fault(file, "metadata.envtool.declaration is not an object")
    declaration = declaration or {}
    for key, kind in (("dependencies", list), ("sources", dict)):
        if not isinstance(declaration.get(key, kind()), kind):
            raise one_fault(file, f"metadata.envtool.declaration.{key} is of the wrong type")
    return declaration


def add_to_metadata(
    text: str, wanted: list[str], places: Mapping[str, PathSource], environment: str, file: str
) -> str:
    """Return the notebook with requirements and sources added or replaced in their place."""
    declaration = _metadata(text, environment, file)
    entries = added(declaration.get("dependencies", []), wanted, position)
    sources = {
        key: value
        for key, value in declaration.get("sources", {}).items()
        if normalised(key) not in places
    }
    for name, source in places.items():
        sources[name] = {"path": source.path, "editable": source.editable}
    return cells.with_dependencies(text, entries, sources, file=file)


def remove_from_metadata(text: str, gone: list[str], environment: str, file: str) -> str:
    """Return the notebook without the requirements of those normalised names."""
    declaration = _metadata(text, environment, file)
    entries = [str(entry) for entry in declaration.get("dependencies", [])]
    names = [name_of(entry) for entry in entries]
    refuse_absent(names, gone, file, "metadata.envtool.declaration.dependencies")
    kept = [entry for entry in entries if name_of(entry) not in gone]
    sources = {
        key: value
        for key, value in declaration.get("sources", {}).items()
        if normalised(key) not in gone
    }
    return cells.with_dependencies(text, kept, sources, file=file)
