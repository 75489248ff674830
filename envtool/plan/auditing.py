"""Which packages of a lock have known vulnerabilities, by a database that is given."""

import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from envtool.errors import FetchError, FormatError
from envtool.formats import osv
from envtool.formats.debian.package import DebianPackage
from envtool.formats.debian.suites import number_of, release_of
from envtool.formats.generation import Package
from envtool.formats.osv import Vulnerability
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import Settings
from envtool.values import value

__all__ = ["Audit", "Hit", "audit"]

_MOST = 64 << 20
"""Bytes of one entry; the largest known have 1 MB."""


@value
class Hit:
    """A vulnerability of a package that is there."""

    ecosystem: str
    """`PyPI`, or such as `Debian:12`."""
    package: str
    """Of Debian the source package's name."""
    version: str
    vulnerability: Vulnerability
    fixed: str | None
    """The next version with the repair; None when none is known."""
    binaries: tuple[str, ...] = ()
    """Of Debian: the packages made of it that are there; sorted."""


@value
class Audit:
    """What a database knows of an environment."""

    entries: int
    """How many the database has."""
    hits: tuple[Hit, ...]
    """By ecosystem, Python's last, then by package, then by id."""
    unknown: tuple[str, ...] = ()
    """Releases of Debian that have packages there, and no number by which databases know them."""


def audit(
    settings: Settings,
    packages: Sequence[Package],
    database: str,
    *,
    debian: Iterable[DebianPackage] = (),
) -> Audit:
    """Return which of the packages have known vulnerabilities.

    `database` is a path or URL of one entry, of a list of them (JSON), or of a zip of entries; or
    the path of a folder of entries. What has no version is passed over.

    :raises FetchError: it cannot be had.
    :raises FormatError: it is no such database.
    """
    present = _Present(packages, debian)
    count, hits = 0, dict[tuple[str, ...], Hit]()
    with _local(settings, database) as path:
        for place, entry in _entries(path):
            count += 1
            found = osv.read(entry, place)
            for hit in present.hits(found) if found else ():
                hits[hit.ecosystem, hit.package, hit.version, hit.vulnerability.id] = hit
    if not count:
        raise FormatError(f"{database} has no entries", hint="give a folder or zip of OSV entries")
    ordered = (hits[key] for key in sorted(hits, key=lambda key: (key[0] == osv.PYTHON, key)))
    return Audit(count, tuple(ordered), tuple(sorted(present.unknown)))


class _Present:
    """What is there, as databases name it."""

    def __init__(self, packages: Iterable[Package], debian: Iterable[DebianPackage]) -> None:
        self._versions: dict[tuple[str, str], set[str]] = {}
        """Ecosystem and name to the versions that are there."""
        self._binaries: dict[tuple[str, str, str], set[str]] = {}
        """Ecosystem, source package and version to the packages made of it."""
        self.unknown: set[str] = set()
        for each in packages:
            if each.version is not None:
                self._versions.setdefault((osv.PYTHON, each.name), set()).add(each.version)
        for package in debian:
            self._add(package)

    def _add(self, package: DebianPackage) -> None:
        release = release_of(package.suite)
        number = number_of(release)
        if number is None:
            self.unknown.add(release)
            return
        place = f"Debian:{number}", package.source_name
        self._versions.setdefault(place, set()).add(package.source_version)
        self._binaries.setdefault((*place, package.source_version), set()).add(package.name)

    def hits(self, known: Vulnerability) -> Iterator[Hit]:
        """Yield what of it an entry is about."""
        for affected in known.affected:
            place = affected.ecosystem, affected.name
            for version in sorted(self._versions.get(place, ())):
                if affected.has(version):
                    binaries = self._binaries.get((*place, version), ())
                    fixed = affected.fixed_after(version)
                    yield Hit(*place, version, known, fixed, tuple(sorted(binaries)))


@contextmanager
def _local(settings: Settings, database: str) -> Iterator[str]:
    """Lend the database as a path; one that was fetched goes again."""
    if "://" not in database:
        yield database
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="envtool-audit-") as folder:
        target = f"{folder}/database"
        with Fetcher(offline=settings.offline) as fetcher:
            fetcher.fetch(database, target, sha256=None)
        yield target


def _entries(path: str) -> Iterator[tuple[str, object]]:
    try:
        if os.path.isdir(path):
            for name in sorted(os.listdir(path)):
                if name.endswith(".json"):
                    with open(f"{path}/{name}", "rb") as file:
                        yield from _parsed(file.read(_MOST), f"{path}/{name}")
        elif zipfile.is_zipfile(path):
            yield from _zipped(path)
        else:
            with open(path, "rb") as file:
                yield from _parsed(file.read(), path)
    except zipfile.BadZipFile as error:
        raise FormatError(f"{path} is a damaged zip: {error}") from error
    except OSError as error:
        raise FetchError(
            f"the database {path} cannot be read: {error.strerror}",
            hint="give the path or URL of a database of OSV entries",
        ) from error


def _zipped(path: str) -> Iterator[tuple[str, object]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".json"):
                continue
            if member.file_size > _MOST:
                raise FormatError(f"{path}: {member.filename} is too large for an entry")
            yield from _parsed(archive.read(member), f"{path}: {member.filename}")


def _parsed(data: bytes, place: str) -> Iterator[tuple[str, object]]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{place} is not JSON: {error}") from error
    for entry in found if isinstance(found, list) else [found]:
        yield place, entry
