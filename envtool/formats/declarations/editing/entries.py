"""Entries of a list in a declaration: put in, replaced and taken out by what they name."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.checked import dotted, near
from envtool.formats.declarations.editing.places import Keys, dig
from envtool.formats.declarations.editing.toml_arrays import (
    append_entry,
    delete_entry,
    replace_entry,
)
from envtool.formats.declarations.editing.toml_insertion import insert_array
from envtool.formats.declarations.requirement import identity, why_not_requirement
from envtool.formats.declarations.toml_text import load

__all__ = ["added", "position", "refuse_absent", "with_entries", "without_entries"]

_Position = Callable[[Sequence[str], str], int | None]
"""Which of the entries a new one takes the place of; None: it is one more."""


def position(entries: Sequence[str], requirement: str) -> int | None:
    """Return the number of the entry of the same name and marker; None when there is none."""
    sought = identity(requirement)
    for number, entry in enumerate(entries):
        if why_not_requirement(entry) is None and identity(entry) == sought:
            return number
    return None


def added(entries: Iterable[Any], wanted: Sequence[str], position: _Position) -> list[Any]:
    """Return the entries with those that are wanted added, or replaced in their place.

    What is no string stays, for the reader of the declaration to refuse.
    """
    found = [*entries]
    for entry in wanted:
        at = position([str(each) for each in found], entry)
        if at is None:
            found.append(entry)
        else:
            found[at] = entry
    return found


def refuse_absent(
    names: Iterable[str],
    gone: Sequence[str],
    file: str,
    key: str,
    *,
    what: str = "requirement",
    hint: str | None = None,
) -> None:
    """Refuse to remove what is not there; `what` is what such an entry is called.

    :raises DeclarationError: with a fault for each absent name.
    """
    there = [*names]
    absent = [name for name in gone if name not in there]
    if absent:
        raise DeclarationError(
            [
                Fault(file, None, key, f"no {what} '{name}' to remove{near(name, there)}")
                for name in absent
            ],
            hint=hint,
        )


def with_entries(
    toml: str, place: Keys, wanted: Sequence[str], position: _Position, file: str
) -> str:
    """Return the TOML with entries added to the array at a place, or replaced in their place.

    :raises DeclarationError: there is something else than an array of strings.
    """
    if dig(load(toml, file), place) is None:
        return insert_array(toml, place, list(dict.fromkeys(wanted)))
    for entry in wanted:
        at = position(_entries(toml, place, file), entry)
        if at is None:
            toml = append_entry(toml, place, entry)
        else:
            toml = replace_entry(toml, place, at, entry)
    return toml


def without_entries(
    toml: str,
    place: Keys,
    gone: Sequence[str],
    name: Callable[[str], str],
    file: str,
    *,
    what: str = "requirement",
    hint: str | None = None,
) -> str:
    """Return the TOML without the entries of the array at a place that have those names.

    :raises DeclarationError: one is not there, as `refuse_absent` says it.
    """
    is_there = dig(load(toml, file), place) is not None
    names = [name(entry) for entry in _entries(toml, place, file)] if is_there else []
    refuse_absent(names, gone, file, dotted(place), what=what, hint=hint)
    for number in range(len(names) - 1, -1, -1):
        if names[number] in gone:
            toml = delete_entry(toml, place, number)
    return toml


def _entries(toml: str, place: Keys, file: str) -> list[str]:
    entries = dig(load(toml, file), place)
    if isinstance(entries, list):
        return [str(entry) for entry in entries]
    raise DeclarationError([Fault(file, None, dotted(place), "expected an array of strings")])
