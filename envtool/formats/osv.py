"""Known vulnerabilities in the Open Source Vulnerability format.

<https://ossf.github.io/osv-schema/>. Of an entry only what concerns packages of the Python package
index is read.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

from envtool.errors import FormatError
from envtool.formats.declarations.requirement import normalised
from envtool.values import value

__all__ = ["Affected", "Vulnerability", "read"]

_ECOSYSTEM = "PyPI"


@value
class Affected:
    """The versions of one package that an entry is about."""

    name: str
    """Normalised (PEP 503)."""
    versions: frozenset[str]
    ranges: tuple[tuple[tuple[str, str], ...], ...]
    """Of each range its events, such as (`introduced`, `0`), (`fixed`, `2.1`), in order."""

    def has(self, version: str) -> bool:
        """Say whether a version is affected; one that is no PEP 440 version, only if listed."""
        if version in self.versions:
            return True
        try:
            return any(_within(Version(version), events) for events in self.ranges)
        except InvalidVersion:
            return False

    def fixed_after(self, version: str) -> str | None:
        """Return the first version after this one that has the repair; None when none is known."""
        fixed = [Version(at) for events in self.ranges for kind, at in events if kind == "fixed"]
        later = [each for each in fixed if each > Version(version)]
        return str(min(later)) if later else None


@value
class Vulnerability:
    """One entry."""

    id: str
    aliases: tuple[str, ...]
    """Other names of the same, such as a CVE."""
    summary: str
    affected: tuple[Affected, ...]
    """Of the Python package index; entries of other ecosystems have none."""


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
        aliases = tuple(str(each) for each in entry.get("aliases") or ())
    except (AttributeError, KeyError, TypeError, InvalidVersion) as error:
        raise FormatError(f"{place}: {entry['id']} is not of the format: {error}") from error
    details = str(entry.get("details") or "").strip().partition("\n")[0]
    return Vulnerability(entry["id"], aliases, str(entry.get("summary") or details), affected)


def _affected(entries: list[Mapping[str, Any]]) -> Iterator[Affected]:
    for entry in entries:
        package = entry.get("package") or {}
        if package.get("ecosystem") != _ECOSYSTEM:
            continue
        ranges = [
            tuple(_events(each["events"]))
            for each in entry.get("ranges") or ()
            if each.get("type") in {"ECOSYSTEM", "SEMVER"}
        ]
        versions = frozenset(map(str, entry.get("versions") or ()))
        yield Affected(normalised(package["name"]), versions, tuple(ranges))


def _events(events: list[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the events of a range in the order of their versions, `introduced` first."""
    pairs = [(kind, str(at)) for event in events for kind, at in event.items() if kind != "limit"]
    yield from sorted(pairs, key=lambda pair: (Version(pair[1]), pair[0] != "introduced"))


def _within(version: Version, events: tuple[tuple[str, str], ...]) -> bool:
    inside = False
    for kind, at in events:
        if kind == "introduced" and version >= Version(at):
            inside = True
        elif (kind == "fixed" and version >= Version(at)) or (
            kind == "last_affected" and version > Version(at)
        ):
            inside = False
    return inside
