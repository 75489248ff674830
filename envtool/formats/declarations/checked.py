"""A user's tables, read key by key while every fault is gathered.

A `Table` hands out values of the expected type and notes what is wrong on the way, so that one
reading reports all faults of a file. Where a fault stands is known by its place, a tuple of keys
and array positions; the line is looked up only when there is a fault to report.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from envtool.errors import DeclarationError, Fault
from envtool.values import value

__all__ = ["Faults", "Place", "Table", "dotted", "near"]

Place = tuple[str | int, ...]
"""Keys and array positions (counted from 0) from the file's root down to a value."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TYPE_NAMES = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "an array",
    dict: "a table",
    type(None): "null",
}


def dotted(place: Place) -> str:
    """Return the place as a dotted key, quoted where TOML would; array positions are left out."""
    keys = [part for part in place if isinstance(part, str)]
    return ".".join(key if _BARE_KEY.fullmatch(key) else f'"{key}"' for key in keys)


def near(word: str, candidates: Collection[str]) -> str:
    """Return `; did you mean 'x'?` for the candidate nearest to the word, or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word.lower(), sorted(candidates), n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""


class Faults:
    """What was found wrong so far."""

    def __init__(self, found: Iterable[tuple[Place, str]] = ()) -> None:
        self.found = list(found)

    def add(self, place: Place, message: str) -> None:
        """Note one fault; the same fault of the same place is noted once."""
        if (place, message) not in self.found:
            self.found.append((place, message))

    def located(self, file: str, line_of: Callable[[Place], int | None]) -> DeclarationError:
        """Return all faults as one error, in the order of their lines."""
        faults = [
            Fault(file, line_of(place), dotted(place), message) for place, message in self.found
        ]
        return DeclarationError(sorted(faults, key=lambda fault: fault.line or 0))


def _name_of_type(value: object) -> str:
    return _TYPE_NAMES.get(type(value), "a date or time")


@value
class Table:
    """One table of the user's, its place in the file, and where its faults go."""

    values: Mapping[str, Any]
    place: Place
    faults: Faults

    def fault(self, key: str, message: str) -> None:
        """Note what is wrong with one of this table's keys."""
        self.faults.add((*self.place, key), message)

    def refuse_unknown(
        self, known: Collection[str], elsewhere: Mapping[str, str] | None = None
    ) -> None:
        """Note every key that is not known; `elsewhere` tells where some others belong."""
        for key in self.values:
            if key in known:
                continue
            if elsewhere and key in elsewhere:
                self.fault(key, elsewhere[key])
            else:
                self.fault(key, f"unknown key{near(key, known)}")

    def string(self, key: str, *, example: str = "") -> str | None:
        """Return a string without surrounding blanks; None when absent or faulty."""
        value = self.values.get(key)
        if key not in self.values:
            return None
        if not isinstance(value, str):
            self.wrong_type(key, "a string", value, example)
            return None
        return value.strip()

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a boolean, the default when absent or faulty."""
        value = self.values.get(key, default)
        if isinstance(value, bool):
            return value
        self.wrong_type(key, "true or false", value)
        return default

    def items(self, key: str) -> list[tuple[Place, Any]]:
        """Return an array's items with their places; empty when absent or faulty."""
        value = self.values.get(key, [])
        if isinstance(value, list):
            return [((*self.place, key, number), item) for number, item in enumerate(value)]
        self.wrong_type(key, "an array of strings", value)
        return []

    def strings(self, key: str) -> list[tuple[Place, str]]:
        """Return an array's strings with their places, leaving out what is not a string."""
        found = []
        for place, item in self.items(key):
            if isinstance(item, str):
                found.append((place, item.strip()))
            else:
                self.faults.add(place, f"expected a string, found {_name_of_type(item)}")
        return found

    def words(self, key: str, pattern: str, unlike: str) -> list[tuple[Place, str]]:
        """Return an array's strings that match a pattern as a whole, with their places.

        `unlike` says what the others are not, as in `'x' is not a name`.
        """
        found = []
        for place, word in self.strings(key):
            if re.fullmatch(pattern, word):
                found.append((place, word))
            else:
                self.faults.add(place, f"{word!r} is not {unlike}")
        return found

    def table(self, key: str) -> "Table | None":
        """Return the table below a key; None when absent or faulty."""
        if key not in self.values:
            return None
        value = self.values[key]
        if isinstance(value, dict):
            return Table(value, (*self.place, key), self.faults)
        self.wrong_type(key, "a table", value)
        return None

    def tables(self) -> Iterator[tuple[str, "Table"]]:
        """Yield each key with the table below it, noting the keys that hold something else."""
        for key in self.values:
            table = self.table(key)
            if table is not None:
                yield key, table

    def wrong_type(self, key: str, expected: str, value: object, example: str = "") -> None:
        """Note that a key holds a value of another type."""
        such_as = f' such as "{example}"' if example else ""
        self.fault(key, f"expected {expected}{such_as}, found {_name_of_type(value)}")
