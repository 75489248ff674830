"""Adding and removing packages of Debian in `[system] packages`, everything else left as it was."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envtool.errors import DeclarationError, Fault, one_fault
from envtool.formats.declarations import notebook
from envtool.formats.declarations.editing import cells
from envtool.formats.declarations.editing.entries import (
    added,
    refuse_absent,
    with_entries,
    without_entries,
)
from envtool.formats.declarations.editing.places import changed, dig, own_place
from envtool.formats.declarations.system_table import DEBIAN_PACKAGE

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import Kind

__all__ = ["add_system_packages", "remove_system_packages"]

_SYSTEM = ("system", "packages")
_WHAT = "system package"


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
        return cells.with_system_packages(text, added(entries, wanted, _position), file=file)
    place = (*own_place(kind), *_SYSTEM)
    return changed(
        text, kind, file, lambda toml: with_entries(toml, place, wanted, _position, file)
    )


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
        key = "metadata.envtool.declaration.system.packages"
        refuse_absent(map(_name, entries), gone, file, key, what=_WHAT)
        kept = [entry for entry in entries if _name(entry) not in gone]
        return cells.with_system_packages(text, kept, file=file)
    place = (*own_place(kind), *_SYSTEM)
    return changed(
        text,
        kind,
        file,
        lambda toml: without_entries(toml, place, gone, _name, file, what=_WHAT),
    )


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


def _position(entries: Sequence[str], package: str) -> int | None:
    """Return the number of the entry of the same name; None when there is none."""
    names = [_name(entry) for entry in entries]
    return names.index(_name(package)) if _name(package) in names else None


def _name(package: str) -> str:
    """Return the name that an entry such as `git (>= 1:2.39)` begins with."""
    return package.strip().partition(" ")[0]
