"""Release files: what a suite is, from when, and the SHA-256 of each of its indices.

Described by "Debian Repository Format" of Debian's wiki. The text that is parsed here must have
been verified before (`envtool.sources.debian.signature`).
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from envtool.errors import FormatError
from envtool.formats.debian.control import Stanza, parse_stanza
from envtool.values import value

__all__ = ["TIMESTAMP", "Listed", "Release", "parse", "timestamp"]

_DATE = re.compile(
    r"(?:[A-Za-z]{3}, *)?([0-9]{1,2}) +([A-Z][a-z]{2}) +([0-9]{4})"
    r" +([0-9]{2}):([0-9]{2}):([0-9]{2}) +(?:(?:UTC|GMT|Z)|([+-])([0-9]{2})([0-9]{2}))"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LINE = re.compile(r"([0-9a-f]{64})\s+([0-9]+)\s+(\S+)")

TIMESTAMP = "%Y%m%dT%H%M%SZ"
"""How archives of archives write a time, for `strftime`: `20250520T000000Z`."""


@value
class Listed:
    """An index that a Release file vouches for."""

    path: str
    """Below the suite's folder, such as `main/binary-amd64/Packages.xz`."""
    sha256: str
    """Hexadecimal."""
    size: int
    """Bytes."""


@value
class Release:
    """What a Release file says."""

    origin: str
    suite: str
    """What the suite is at the time, such as `stable`; may be empty."""
    codename: str
    """What it will always be, such as `trixie`."""
    version: str
    """Such as `13.2`; empty for suites that are not released."""
    date: int
    """Seconds since 1970."""
    valid_until: int | None
    """Seconds since 1970; None: it does not age."""
    by_hash: bool
    """Whether indices can be had by their hash, too."""
    architectures: tuple[str, ...]
    components: tuple[str, ...]
    files: Mapping[str, Listed]
    """By path."""

    def find(self, stem: str, endings: tuple[str, ...]) -> Listed | None:
        """Return the index of this path with the first of the endings that there is."""
        return next(
            (self.files[stem + each] for each in endings if stem + each in self.files), None
        )


def parse(text: str, place: str = "Release") -> Release:
    """Return what a Release file says; its SHA256 table is the only one that counts.

    :raises FormatError: a field that is needed is missing or has another form.
    """
    stanza = parse_stanza(text, place)
    if not (stanza.get("suite") or stanza.get("codename")):
        raise FormatError(f"{place}: has neither Suite nor Codename")
    return Release(
        origin=stanza.get("origin", ""),
        suite=stanza.get("suite", ""),
        codename=stanza.get("codename", ""),
        version=stanza.get("version", ""),
        date=_time(stanza, "date", place),
        valid_until=_time(stanza, "valid-until", place) if "valid-until" in stanza else None,
        by_hash=stanza.get("acquire-by-hash", "no") == "yes",
        architectures=tuple(stanza.get("architectures", "").split()),
        # The security archive writes updates/main for what its folders call main.
        components=tuple(each.rpartition("/")[2] for each in stanza.get("components", "").split()),
        files={each.path: each for each in _files(stanza, place)},
    )


def timestamp(seconds: int) -> str:
    """Return a time as archives of archives write it: `20250520T000000Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime(TIMESTAMP)


def _time(stanza: Stanza, field: str, place: str) -> int:
    text = stanza.get(field, "")
    try:
        return _seconds(text.strip())
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{place}: {field.title()} is {text!r}, which is no date") from error


def _seconds(text: str) -> int:
    """Return a date of RFC 2822; `email.utils` reads them too, but takes 10 ms to load.

    :raises ValueError: it is none.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    day, month, year, hour, minute, second, sign, hours, minutes = found.groups()
    moment = datetime(
        *(int(year), _MONTHS.index(month) + 1, int(day)),
        *(int(hour), int(minute), int(second)),
        tzinfo=UTC,
    )
    ahead = (int(hours) * 60 + int(minutes)) * 60 if sign else 0
    return int(moment.timestamp()) - (-ahead if sign == "-" else ahead)


def _files(stanza: Stanza, place: str) -> Iterator[Listed]:
    if "sha256" not in stanza:
        raise FormatError(f"{place}: has no SHA256 table")
    for line in stanza["sha256"].split("\n"):
        if not line:
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None or ".." in found[3].split("/") or found[3].startswith("/"):
            raise FormatError(f"{place}: {line.strip()[:100]!r} is no line of a SHA256 table")
        yield Listed(found[3], found[1], int(found[2][:18]))
