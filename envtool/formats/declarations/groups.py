"""Dependency groups (PEP 735) and extras: named lists of requirements that include each other.

A list is read when it is asked for: PEP 735 wants groups that nobody uses left unexamined.
"""

from collections.abc import Iterator

from envtool.formats.declarations.checked import Place, Table, near
from envtool.formats.declarations.requirement import NAME, name_of, normalised, why_not_requirement

__all__ = ["Extras", "Groups"]


class Groups:
    """The groups of one file, by normalised name."""

    def __init__(self, table: Table | None) -> None:
        self._table = table
        self._written: dict[str, str] = {}
        self._known: dict[str, tuple[str, ...]] = {}
        for name in table.values if table else ():
            self._admit(name)

    def _admit(self, name: str) -> None:
        assert self._table is not None
        if not NAME.fullmatch(name):
            self._table.fault(name, "not a group's name: letters, digits and ._- only")
        elif normalised(name) in self._written:
            self._table.fault(name, f"the same group as '{self._written[normalised(name)]}'")
        else:
            self._written[normalised(name)] = name

    def __contains__(self, name: str) -> bool:
        return normalised(name) in self._written

    def __iter__(self) -> Iterator[str]:
        return iter(self._written.values())

    def requirements(self, name: str, asked: Place, table: Table) -> tuple[str, ...]:
        """Return the group's requirements, included groups in their place.

        `asked` is where the group is asked for: a group that does not exist is a fault there.
        """
        return self._expanded(name, asked, table, ())

    def _expanded(
        self, name: str, asked: Place, table: Table, path: tuple[str, ...]
    ) -> tuple[str, ...]:
        key = normalised(name)
        if key in path:
            circle = " -> ".join([*path[path.index(key) :], key])
            table.faults.add(asked, f"the group includes itself: {circle}")
            return ()
        if key not in self._written or self._table is None:
            table.faults.add(asked, f"no group '{name}'{near(name, list(self))}")
            return ()
        if key not in self._known:
            items = self._table.items(self._written[key])
            found = [
                word for place, item in items for word in self._item(item, place, (*path, key))
            ]
            # Without doubles: groups that include each other twice must not double at each step.
            self._known[key] = tuple(dict.fromkeys(found))
        return self._known[key]

    def _item(self, item: object, place: Place, path: tuple[str, ...]) -> Iterator[str]:
        assert self._table is not None
        if isinstance(item, str):
            reason = why_not_requirement(item.strip())
            if reason is None:
                yield item.strip()
            else:
                self._table.faults.add(place, reason)
        elif isinstance(item, dict) and list(item) == ["include-group"]:
            included = item["include-group"]
            if isinstance(included, str):
                yield from self._expanded(included, place, self._table, path)
            else:
                self._table.faults.add(place, "include-group expects the name of a group")
        else:
            self._table.faults.add(
                place, "expected a requirement or { include-group = 'NAME' } (PEP 735)"
            )


class Extras:
    """The optional dependencies of one project; an extra may name others of its own project."""

    def __init__(self, table: Table | None, project: str) -> None:
        self._table = table
        self._project = project
        names = table.values if table else ()
        self._written = {normalised(name): name for name in names}

    def requirements(self, name: str, asked: Place, table: Table) -> tuple[str, ...]:
        """Return the extra's requirements; `asked` is where it is asked for."""
        return tuple(self._expanded(name, asked, table, set()))

    def _expanded(self, name: str, asked: Place, table: Table, seen: set[str]) -> Iterator[str]:
        key = normalised(name)
        if key in seen:
            return
        seen.add(key)
        if key not in self._written or self._table is None:
            table.faults.add(asked, f"no extra '{name}'{near(name, list(self._written.values()))}")
            return
        for place, requirement in self._table.strings(self._written[key]):
            reason = why_not_requirement(requirement)
            if reason is not None:
                self._table.faults.add(place, reason)
            elif name_of(requirement) == self._project and ";" not in requirement:
                for extra in _extras_of(requirement):
                    yield from self._expanded(extra, place, self._table, seen)
            else:
                yield requirement


def _extras_of(requirement: str) -> list[str]:
    from packaging.requirements import Requirement

    return sorted(Requirement(requirement).extras)
