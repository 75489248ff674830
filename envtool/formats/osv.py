"""Known vulnerabilities in the Open Source Vulnerability format.

<https://ossf.github.io/osv-schema/>. Of an entry only what concerns packages of the Python package
index (`PyPI`) or of a release of Debian (`Debian:12`) is read. Those of Debian are source packages,
and their versions have Debian's order.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

from envtool.errors import FormatError
from envtool.formats.debian.version import key
from envtool.formats.declarations.requirement import normalised
from envtool.values import value

__all__ = ["PYTHON", "Affected", "Vulnerability", "read"]

PYTHON = "PyPI"
_DEBIAN = "Debian:"


@value
class Affected:
    """The versions of one package that an entry is about."""

    ecosystem: str
    """`PyPI`, or such as `Debian:12`."""
    name: str
    """Normalised (PEP 503); of Debian the source package's."""
    versions: frozenset[str]
    ranges: tuple[tuple[tuple[str, str], ...], ...]
    """Of each range its events, such as (`introduced`, `0`), (`fixed`, `2.1`), in order."""

    def has(self, version: str) -> bool:
        """Say whether a version is affected; one without an order, only if it is listed."""
        if version in self.versions:
            return True
        try:
            return any(_within(version, events, self._order) for events in self.ranges)
        except (InvalidVersion, FormatError):
            return False

    def fixed_after(self, version: str) -> str | None:
        """Return the first version after this one that has the repair; None when none is known."""
        order = self._order
        fixed = [at for events in self.ranges for kind, at in events if kind == "fixed"]
        try:
            later = [each for each in fixed if order(each) > order(version)]
        except (InvalidVersion, FormatError):
            return None
        return min(later, key=order, default=None)

    @property
    def _order(self) -> "_Order":
        return _order_of(self.ecosystem)


@value
class Vulnerability:
    """One entry."""

    id: str
    aliases: tuple[str, ...]
    """Other names of the same, such as a CVE."""
    summary: str
    affected: tuple[Affected, ...]
    """Entries of other ecosystems have none."""


def read(entry: object, place: str) -> Vulnerability | None:
    """Return an entry of the database; None for one that was withdrawn.

    :raises FormatError: it is not of the format.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise FormatError(f"{place} is not of the Open Source Vulnerability format")
    if entry.get("withdrawn"):
        return None
    try:
        affected = tuple(_affected(entry.get("affected") or []))
        # Debian's entries name what they are made of as what is upstream of them.
        names = (*(entry.get("aliases") or ()), *(entry.get("upstream") or ()))
        aliases = tuple(dict.fromkeys(map(str, names)))
    except (AttributeError, KeyError, TypeError, InvalidVersion, FormatError) as error:
        raise FormatError(f"{place}: {entry['id']} is not of the format: {error}") from error
    details = str(entry.get("details") or "").strip().partition("\n")[0]
    return Vulnerability(entry["id"], aliases, str(entry.get("summary") or details), affected)


def _affected(entries: list[Mapping[str, Any]]) -> Iterator[Affected]:
    for entry in entries:
        package = entry.get("package") or {}
        ecosystem = str(package.get("ecosystem"))
        if ecosystem != PYTHON and not ecosystem.startswith(_DEBIAN):
            continue
        ranges = [
            tuple(_events(each["events"], _order_of(ecosystem)))
            for each in entry.get("ranges") or ()
            if each.get("type") in {"ECOSYSTEM", "SEMVER"}
        ]
        versions = frozenset(map(str, entry.get("versions") or ()))
        name = normalised(package["name"]) if ecosystem == PYTHON else str(package["name"])
        yield Affected(ecosystem, name, versions, tuple(ranges))


_Order = Callable[[str], Any]
"""From a version to what sorts as it does."""


def _order_of(ecosystem: str) -> _Order:
    return Version if ecosystem == PYTHON else _debian_order


def _debian_order(version: str) -> object:
    # In the format "0" is before every version; of Debian's, 0~1 is before 0.
    return () if version == "0" else (key(version),)


def _events(events: list[Mapping[str, str]], order: _Order) -> Iterator[tuple[str, str]]:
    """Yield the events of a range in the order of their versions, `introduced` first."""
    pairs = [(kind, str(at)) for event in events for kind, at in event.items() if kind != "limit"]
    yield from sorted(pairs, key=lambda pair: (order(pair[1]), pair[0] != "introduced"))


def _within(version: str, events: tuple[tuple[str, str], ...], order: _Order) -> bool:
    inside, place = False, order(version)
    for kind, at in events:
        if kind == "introduced" and place >= order(at):
            inside = True
        elif (kind == "fixed" and place >= order(at)) or (
            kind == "last_affected" and place > order(at)
        ):
            inside = False
    return inside
