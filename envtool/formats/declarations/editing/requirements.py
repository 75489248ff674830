"""Adding and removing requirements in a user's file, leaving everything else as it was.

Comments, order, quotes and layout stay. Entries, keys and tables are put in as text, since only the
text tells to what a comment belongs; `tomlkit` serves where a table is written in another form.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.checked import dotted, near
from envtool.formats.declarations.declaration import PathSource
from envtool.formats.declarations.editing.entries import position, with_entries, without_entries
from envtool.formats.declarations.editing.metadata import add_to_metadata, remove_from_metadata
from envtool.formats.declarations.editing.places import (
    Keys,
    changed,
    dig,
    own_place,
)
from envtool.formats.declarations.editing.toml_insertion import insert_source
from envtool.formats.declarations.requirement import name_of, normalised, why_not_requirement
from envtool.formats.declarations.toml_text import load

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import Kind

__all__ = ["add_requirements", "remove_requirements"]

_Tables = Mapping[str, Any]


def add_requirements(
    text: str,
    *,
    kind: "Kind",
    requirements: Sequence[str],
    environment: str = "default",
    sources: Mapping[str, PathSource] | None = None,
    file: str = "declaration",
) -> str:
    """Return the file's text with the requirements added.

    One that is there already, under the same name and marker, is replaced in its place. A script
    or notebook without a block gets one. `file` is the name that stands in faults.

    :raises DeclarationError: the file or a requirement is not valid, or there is no such
        environment.
    """
    reasons = [why_not_requirement(requirement.strip()) for requirement in requirements]
    faults = [Fault("envtool add", None, "", reason) for reason in reasons if reason]
    if faults:
        raise DeclarationError(faults)
    wanted = [requirement.strip() for requirement in requirements]
    places = {normalised(name): source for name, source in (sources or {}).items()}
    if kind == "notebook-metadata":
        return add_to_metadata(text, wanted, places, environment, file)

    def change(toml: str) -> str:
        place = _place(load(toml, file), kind, environment, file)
        toml = with_entries(toml, place, wanted, position, file)
        for name, source in places.items():
            toml = insert_source(toml, (*own_place(kind), "sources"), name, source)
        return toml

    return changed(text, kind, file, change)


def remove_requirements(
    text: str,
    *,
    kind: "Kind",
    names: Sequence[str],
    environment: str = "default",
    file: str = "declaration",
) -> str:
    """Return the file's text without the requirements of those names, whatever their markers.

    A source that no requirement is left for goes with them.

    :raises DeclarationError: a name is not among the environment's own requirements.
    """
    gone = [normalised(name.strip()) for name in names]
    if kind == "notebook-metadata":
        return remove_from_metadata(text, gone, environment, file)

    def change(toml: str) -> str:
        place = _place(load(toml, file), kind, environment, file)
        hint = _system_hint(toml, gone, file)
        left = without_entries(toml, place, gone, name_of, file, hint=hint)
        return _without_sources(left, kind, gone)

    return changed(text, kind, file, change)


def _place(tables: _Tables, kind: "Kind", environment: str, file: str) -> Keys:
    """Return where the environment's own requirements are written."""
    own = own_place(kind)
    if environment == "default":
        return _default_place(tables, kind, file)
    table = dig(tables, (*own, "env", environment))
    if isinstance(table, dict):
        groups = table.get("groups")
        if "dependencies" not in table and isinstance(groups, list) and len(groups) == 1:
            return _group_place(tables, kind, str(groups[0]))
        return (*own, "env", environment, "dependencies")
    group = _group_place(tables, kind, environment)
    if dig(tables, group) is not None:
        return group
    known = ["default", *(dig(tables, (*own, "env")) or ())]
    raise DeclarationError(
        [
            Fault(
                file,
                None,
                dotted((*own, "env")),
                f"no environment '{environment}'; there are: {', '.join(known)}"
                f"{near(environment, known)}",
            )
        ],
        hint=f"write [{dotted((*own, 'env', environment))}] into the file first",
    )


def _default_place(tables: _Tables, kind: "Kind", file: str) -> Keys:
    if kind != "pyproject.toml":
        return ("dependencies",)
    if isinstance(tables.get("project"), dict):
        if "dependencies" in (dig(tables, ("project", "dynamic")) or ()):
            message = "the dependencies are dynamic: add to the file the build back end reads"
            raise DeclarationError([Fault(file, None, "project.dynamic", message)])
        return ("project", "dependencies")
    # Without [project] only groups are left (PEP 735 has them for projects that are no packages).
    groups = dig(tables, ("tool", "envtool", "groups"))
    return _group_place(tables, kind, str(groups[0]) if groups else "dev")


def _group_place(tables: _Tables, kind: "Kind", name: str) -> Keys:
    around: Keys = ("dependency-groups",)
    if kind not in ("envtool.toml", "pyproject.toml"):
        around = (*own_place(kind), *around)
    written = dig(tables, around)
    for key in written if isinstance(written, dict) else ():
        if normalised(key) == normalised(name):
            return (*around, key)
    return (*around, name)


def _system_hint(toml: str, gone: Sequence[str], file: str) -> str | None:
    """Return how to remove what is a package of Debian; None when nothing of it is one."""
    tables = load(toml, file)
    for place in (("system", "packages"), ("tool", "envtool", "system", "packages")):
        found = dig(tables, place)
        for entry in found if isinstance(found, list) else ():
            if str(entry).partition(" ")[0] in gone:
                return f"envtool remove --system {str(entry).partition(' ')[0]}"
    return None


def _without_sources(toml: str, kind: "Kind", gone: Sequence[str]) -> str:
    import tomlkit

    place = (*own_place(kind), "sources")
    document = tomlkit.parse(toml)
    tables = document.unwrap()
    left = {name_of(each) for each in _listed(tables)}
    written = [
        key
        for key in dig(tables, place) or ()
        if normalised(key) in gone and normalised(key) not in left
    ]
    if not written:
        return toml
    around: Any = document
    for key in place[:-1]:
        around = around[key]
    for key in written:
        del around["sources"][key]
    if not around["sources"]:
        del around["sources"]
    return tomlkit.dumps(document)


def _listed(value: Any) -> list[str]:
    """Return all strings that stand in arrays, at any depth."""
    if isinstance(value, dict):
        return [each for below in value.values() for each in _listed(below)]
    if isinstance(value, list):
        return [each for each in value if isinstance(each, str)] + [
            each for below in value for each in _listed(below)
        ]
    return []
