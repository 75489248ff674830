"""Adding and removing packages of Debian in `[system] packages`, everything else left as it was."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations import notebook
from envtool.formats.declarations.checked import dotted, one_fault
from envtool.formats.declarations.editing.entries import refuse_absent
from envtool.formats.declarations.editing.places import changed, dig, entries_at, own_place
from envtool.formats.declarations.editing.toml_arrays import (
    append_entry,
    delete_entry,
    replace_entry,
)
from envtool.formats.declarations.editing.toml_insertion import insert_array
from envtool.formats.declarations.system_table import DEBIAN_PACKAGE
from envtool.formats.declarations.toml_text import load

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import Kind

__all__ = ["add_system_packages", "remove_system_packages"]

_SYSTEM = ("system", "packages")


def add_system_packages(
    text: str,
    *,
    kind: "Kind",
    packages: Sequence[str],
    environment: str = "default",
    file: str = "declaration",
) -> str:
    """Return the file's text with packages of Debian added: `git`, or `git (>= 1:2.39)`.

    One that is there already under the same name is replaced in its place.

    :raises DeclarationError: the file or a name is not valid, or the environment is not the
        default one, whose system packages all have.
    """
    wanted = [package.strip() for package in packages]
    faults = [
        Fault("--system", None, "", f"'{each}' is not the name of a package of Debian")
        for each in wanted
        if not re.fullmatch(DEBIAN_PACKAGE, each)
    ]
    if faults:
        raise DeclarationError(faults, hint="envtool search NAME finds what there is")
    _refuse_named(environment, file)
    if kind == "notebook-metadata":
        entries = _entries_of_metadata(text, file)
        names = [_name(entry) for entry in entries]
        for package in wanted:
            if _name(package) in names:
                entries[names.index(_name(package))] = package
            else:
                entries.append(package)
        return notebook.with_system_packages(text, entries, file=file)
    return changed(text, kind, file, _adding((*own_place(kind), *_SYSTEM), wanted, file))


def _adding(place: tuple[str, ...], wanted: Sequence[str], file: str) -> Callable[[str], str]:
    def change(toml: str) -> str:
        if dig(load(toml, file), place) is None:
            return insert_array(toml, place, list(dict.fromkeys(wanted)))
        for package in wanted:
            names = [_name(entry) for entry in entries_at(toml, place, file)]
            if _name(package) in names:
                toml = replace_entry(toml, place, names.index(_name(package)), package)
            else:
                toml = append_entry(toml, place, package)
        return toml

    return change


def remove_system_packages(
    text: str,
    *,
    kind: "Kind",
    names: Sequence[str],
    environment: str = "default",
    file: str = "declaration",
) -> str:
    """Return the file's text without the packages of Debian of those names.

    :raises DeclarationError: one is not among what is declared; what only comes along is not.
    """
    gone = [name.strip() for name in names]
    _refuse_named(environment, file)
    if kind == "notebook-metadata":
        entries = _entries_of_metadata(text, file)
        _refuse_absent(entries, gone, file, "metadata.envtool.declaration.system.packages")
        kept = [entry for entry in entries if _name(entry) not in gone]
        return notebook.with_system_packages(text, kept, file=file)
    return changed(text, kind, file, _removing((*own_place(kind), *_SYSTEM), gone, file))


def _removing(place: tuple[str, ...], gone: Sequence[str], file: str) -> Callable[[str], str]:
    def change(toml: str) -> str:
        is_there = dig(load(toml, file), place) is not None
        entries = entries_at(toml, place, file) if is_there else []
        _refuse_absent(entries, gone, file, dotted(place))
        for number in range(len(entries) - 1, -1, -1):
            if _name(entries[number]) in gone:
                toml = delete_entry(toml, place, number)
        return toml

    return change


def _refuse_absent(entries: Sequence[str], gone: Sequence[str], file: str, key: str) -> None:
    names = [_name(entry) for entry in entries]
    refuse_absent(names, gone, file, key, what="system package")


def _refuse_named(environment: str, file: str) -> None:
    if environment != "default":
        message = f"system packages are of the whole file: '{environment}' has none of its own"
        raise DeclarationError([Fault(file, None, "system", message)], hint="leave -e out")


def _entries_of_metadata(text: str, file: str) -> list[str]:
    metadata = notebook.read_notebook(text, file=file)["metadata"]
    entries = dig(metadata, ("envtool", "declaration", *_SYSTEM))
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise one_fault(file, "metadata.envtool.declaration.system.packages is of the wrong type")
    return [str(entry) for entry in entries]


def _name(package: str) -> str:
    """Return the name that an entry such as `git (>= 1:2.39)` begins with."""
    return package.strip().partition(" ")[0]
