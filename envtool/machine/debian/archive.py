"""Debian's archive: its suites, verified and kept, and the indices made of what they vouch for.

    cache/debian/debian/trixie/InRelease
    cache/debian/debian/trixie/packages-main-amd64-1-7778d3e3f303/
    cache/debian/debian/trixie/libraries-main-amd64-1-3d3e6930908d

Everything hangs on the InRelease file: its signature is verified whenever it is read, and an index
is known by the hash that it gives. So what is half-written, altered or from an older state is never
taken for what it should be, and made again.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from envtool.errors import FetchError, FormatError, StoreError
from envtool.formats.debian.architecture import of_machine, triplet
from envtool.formats.debian.package import Origin
from envtool.formats.debian.release import Listed, Release, parse, timestamp
from envtool.machine.debian import index, sonames
from envtool.machine.debian.index import PackageIndex
from envtool.machine.debian.inflate import inflated
from envtool.machine.debian.mirrors import (
    Mirrors,
    UnknownSuiteError,
    archive_of,
    find_mirrors,
)
from envtool.machine.debian.sonames import SonameIndex
from envtool.machine.disk import disk_errors
from envtool.machine.fetching.addresses import without_secrets
from envtool.machine.fetching.fetch import AbsentError, FetchCancelledError, Fetcher
from envtool.machine.locks import file_lock
from envtool.machine.metadata import delete_tree
from envtool.machine.settings import Settings
from envtool.sources.debian.signature import (
    ArchiveError,
    Key,
    archive_keys,
    read_keys,
    verify,
    verify_detached,
)
from envtool.values import value

__all__ = ["Archive", "Suite", "open_archive"]

MOST_RELEASE = 16 << 20
"""Bytes of a Release file; those of Debian have 200 KB."""
_SKEW = 86400
"""Seconds that a Release file may be ahead of the machine's clock."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*").fullmatch
_DIGITS = 12
"""Of the hash in the name of an index."""


@value
class Suite:
    """A suite whose Release file has been verified."""

    name: str
    """As it was asked for, such as `stable` or `trixie`."""
    archive: str
    release: Release
    folder: str
    """Where it is kept."""

    @property
    def timestamp(self) -> str:
        """When the suite was made, as locks write it."""
        return timestamp(self.release.date)

    def origin(self, component: str) -> Origin:
        """Return where the packages of a component come from."""
        return Origin(self.archive, self.release.codename or self.name, component)


class Archive:
    """Debian's archive as this machine sees it.

    `keys` are whom to trust, by default Debian. `check_age` off lets suites pass that are past
    their Valid-Until, as in mirrors that keep one state. `now` gives seconds since 1970.
    """

    def __init__(
        self,
        cache: str,
        fetcher: Fetcher,
        mirrors: Mirrors,
        architecture: str,
        *,
        keys: Sequence[Key] | None = None,
        check_age: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.architecture = architecture
        self._cache = f"{cache}/debian"
        self._fetcher = fetcher
        self._mirrors = mirrors
        self._keys = tuple(archive_keys() if keys is None else keys)
        self._check_age = check_age
        self._now = now

    def kept(self) -> tuple[str, ...]:
        """Return the names of the suites that have been asked for before; sorted."""
        found: set[str] = set()
        with suppress(OSError):
            for archive in os.listdir(self._cache):
                with suppress(OSError):
                    found.update(os.listdir(f"{self._cache}/{archive}"))
        return tuple(sorted(name for name in found if self.seen(name) is not None))

    def seen(self, name: str) -> float | None:
        """Return when a suite was last fetched, in seconds since 1970; None if it is not kept."""
        try:
            return os.stat(f"{self.place(name)}/InRelease").st_mtime
        except OSError:
            return None

    def place(self, name: str) -> str:
        """Return the folder where a suite is kept, if it is."""
        return f"{self._cache}/{archive_of(name)}/{name}"

    def suite(self, name: str, *, refresh: bool) -> Suite:
        """Return a suite; with `refresh` as it is now, else as it was last seen.

        It is fetched, too, if it was never seen or is past its time; offline never.

        :raises UnknownSuiteError: there is none of the name, or none can be asked for.
        :raises ArchiveError: there is none that may be trusted.
        :raises FetchError: no mirror answers.
        """
        if not _NAME(name):
            raise ArchiveError(f"{name!r} is no name of a suite, such as trixie or stable")
        kept = self._kept(name)
        if self._fetcher.offline and kept is not None:
            return kept
        if kept is not None and not refresh and not self._is_aged(kept.release):
            return kept
        return self._refreshed(name, kept)

    def packages(self, suite: Suite, component: str) -> PackageIndex:
        """Return the index of a component's packages; the caller closes it.

        :raises ArchiveError: the suite has no such component or architecture.
        :raises FetchError: no mirror has the file that the suite vouches for.
        """
        listed, folder = self._packages_of(suite, component)
        with suppress(StoreError):
            return PackageIndex(folder, suite.origin(component))
        with self._making(folder, suite, f"packages-{component}") as is_made:
            if not is_made or not _opens(folder, suite.origin(component)):
                with self._fetched(suite, listed) as path:
                    index.build(b"".join(inflated(path)), folder)
        return PackageIndex(folder, suite.origin(component))

    def libraries(self, suite: Suite, component: str) -> SonameIndex:
        """Return the index of a component's shared libraries.

        :raises ArchiveError: the suite has no such component or architecture.
        :raises FetchError: no mirror has the file that the suite vouches for.
        """
        listed, place = self._libraries_of(suite, component)
        with suppress(StoreError, FormatError):
            return SonameIndex(place)
        with (
            self._making(place, suite, f"libraries-{component}"),
            self._fetched(suite, listed) as path,
        ):
            sonames.build(inflated(path), triplet(self.architecture), place)
        return SonameIndex(place)

    def has_component(self, suite: Suite, component: str) -> bool:
        """Return whether a suite has packages of a component for this architecture."""
        try:
            self._packages_of(suite, component)
        except ArchiveError:
            return False
        return True

    def has_packages(self, suite: Suite, component: str) -> bool:
        """Return whether an index of packages is kept, so that it is there at once."""
        return os.path.exists(self._packages_of(suite, component)[1])

    def has_libraries(self, suite: Suite, component: str) -> bool:
        """Return whether an index of libraries is kept, so that it is there at once."""
        return os.path.exists(self._libraries_of(suite, component)[1])

    def _packages_of(self, suite: Suite, component: str) -> tuple[Listed, str]:
        """Return what the suite vouches for, and where what is made of it is kept."""
        listed = self._listed(suite, component, f"binary-{self.architecture}/Packages")
        return listed, self._place(suite, f"packages-{component}", index.VERSION, listed)

    def _libraries_of(self, suite: Suite, component: str) -> tuple[Listed, str]:
        listed = self._listed(suite, component, f"Contents-{self.architecture}")
        return listed, self._place(suite, f"libraries-{component}", sonames.VERSION, listed)

    def _kept(self, name: str) -> Suite | None:
        """Return a suite as it was last seen; None if it is not there, or not whole."""
        folder = self.place(name)
        path = f"{folder}/InRelease"
        try:
            text = self._verified(path, f"{folder}/Release.gpg", path)
            return Suite(name, archive_of(name), parse(text, path), folder)
        except (OSError, ArchiveError, FormatError):
            return None

    def _verified(self, path: str, signature: str, place: str) -> str:
        """Return the text of a Release file with its signature inside, or beside."""
        now = int(self._now())
        with open(path, "rb") as file:
            data = file.read()
        if b"-----BEGIN PGP SIGNED MESSAGE-----" in data or not os.path.exists(signature):
            return verify(data, self._keys, place, now=now)
        with open(signature, "rb") as file:
            return verify_detached(data, file.read(), self._keys, place, now=now)

    def _refreshed(self, name: str, kept: Suite | None) -> Suite:
        if self._fetcher.offline:
            raise UnknownSuiteError(
                f"the suite {name!r} has never been fetched, and envtool works offline",
                hint="run it again without --offline",
            )
        failures: list[FetchError] = []
        for base in self._mirrors.of(archive_of(name)):
            try:
                return self._from_mirror(base, name, kept)
            except FetchCancelledError:
                raise
            except FetchError as error:
                failures.append(error)
        if all(isinstance(each, AbsentError) for each in failures):
            raise UnknownSuiteError(
                f"there is no suite {name!r}: {failures[0]}",
                hint="Debian's suites are named stable, testing, trixie, bookworm-updates, …",
            )
        # What is wrong says more than what is absent.
        raise min(failures, key=lambda each: (isinstance(each, AbsentError), 0))

    def _from_mirror(self, base: str, name: str, kept: Suite | None) -> Suite:
        """Fetch a suite's Release file, judge it and keep it."""
        folder = self.place(name)
        scratch = f"{self._cache}/{name}.{os.getpid()}.part"
        url = f"{base}/dists/{name}"
        shown = without_secrets(f"{url}/InRelease")
        with disk_errors("keep a Release file"):
            try:
                os.makedirs(scratch, exist_ok=True)
                self._fetch_release(url, scratch)
                text = self._verified(f"{scratch}/InRelease", f"{scratch}/Release.gpg", shown)
                suite = Suite(name, archive_of(name), _parsed(text, shown), folder)
                self._judge(suite, kept, shown)
                os.makedirs(folder, exist_ok=True)
                for file in sorted(os.listdir(scratch), reverse=True):  # the signature first
                    os.replace(f"{scratch}/{file}", f"{folder}/{file}")
            finally:
                delete_tree(scratch)
        return suite

    def _fetch_release(self, url: str, folder: str) -> None:
        """Fetch InRelease or, where there is none, Release and its signature."""
        try:
            self._fetch_text(f"{url}/InRelease", f"{folder}/InRelease")
        except AbsentError as absent:
            try:
                self._fetch_text(f"{url}/Release.gpg", f"{folder}/Release.gpg")
                self._fetch_text(f"{url}/Release", f"{folder}/InRelease")
            except AbsentError:
                raise absent from None

    def _fetch_text(self, url: str, path: str) -> None:
        arrived = 0

        def count(size: int) -> None:
            nonlocal arrived
            arrived += size
            if arrived > MOST_RELEASE:
                raise ArchiveError(f"{without_secrets(url)} is larger than any Release file")

        self._fetcher.fetch(url, path, sha256=None, on_bytes=count)

    def _judge(self, suite: Suite, kept: Suite | None, shown: str) -> None:
        """Raise unless a Release file is that of the suite, and neither old nor older."""
        release = suite.release
        if suite.name not in {release.suite, release.codename}:
            said = " or ".join(filter(None, (release.codename, release.suite)))
            raise ArchiveError(
                f"{shown} is signed, but for the suite {said}, not for {suite.name}",
                hint="do not use this mirror: it gives one suite for another",
            )
        if self._is_aged(release):
            raise ArchiveError(
                f"{shown} counted until {timestamp(release.valid_until or 0)}: it is old",
                hint="ask another mirror; if this one keeps an old state on purpose: "
                "export ENVTOOL_DEBIAN_CHECK_AGE=0",
            )
        if self._check_age and release.date > self._now() + _SKEW:
            raise ArchiveError(
                f"{shown} is of {timestamp(release.date)}, which is yet to come",
                hint="set the machine's clock",
            )
        if kept is not None and release.date < kept.release.date:
            raise ArchiveError(
                f"{shown} is of {timestamp(release.date)}, older than what was seen before "
                f"({kept.timestamp})",
                hint=f"ask another mirror; to go back on purpose, delete {suite.folder}/InRelease",
            )

    def _is_aged(self, release: Release) -> bool:
        until = release.valid_until
        return self._check_age and until is not None and until < self._now()

    def _listed(self, suite: Suite, component: str, stem: str) -> Listed:
        release = suite.release
        if component not in release.components:
            raise ArchiveError(
                f"the suite {suite.name} has no component {component!r}",
                hint=f"it has {', '.join(release.components)}",
            )
        if self.architecture not in release.architectures:
            raise ArchiveError(
                f"the suite {suite.name} has no architecture {self.architecture!r}",
                hint=f"it has {', '.join(release.architectures)}",
            )
        found = release.find(f"{component}/{stem}", (".xz", ".gz", ""))
        if found is None:
            raise ArchiveError(f"the suite {suite.name} has no {component}/{stem}")
        return found

    def _place(self, suite: Suite, kind: str, version: int, listed: Listed) -> str:
        name = f"{kind}-{self.architecture}-{version}-{listed.sha256[:_DIGITS]}"
        return f"{suite.folder}/{name}"

    @contextmanager
    def _making(self, place: str, suite: Suite, kind: str) -> Iterator[bool]:
        """Hold the lock of an index; tell whether it is there. Older ones go afterwards."""
        with file_lock(f"{suite.folder}/{kind}.lock", f"the index {kind} of {suite.name}"):
            yield os.path.exists(place)
            older = f"{kind}-{self.architecture}-"
            for name in os.listdir(suite.folder):
                if name.startswith(older) and name != os.path.basename(place):
                    delete_tree(f"{suite.folder}/{name}")

    @contextmanager
    def _fetched(self, suite: Suite, listed: Listed) -> Iterator[str]:
        """Give the path of an index that has been fetched, and delete it afterwards."""
        path = f"{suite.folder}/{listed.sha256[:_DIGITS]}.{os.getpid()}.fetched"
        try:
            self._fetch(suite, listed, path)
            yield path
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _fetch(self, suite: Suite, listed: Listed, path: str) -> None:
        failures: list[FetchError] = []
        for url in self._urls(suite, listed):
            try:
                self._fetcher.fetch(url, path, sha256=listed.sha256, size=listed.size)
            except FetchCancelledError:
                raise
            except FetchError as error:
                failures.append(error)
            else:
                return
        first = next((each for each in failures if not isinstance(each, AbsentError)), failures[0])
        raise ArchiveError(
            f"{listed.path} of {suite.name} cannot be had: {first}",
            hint="the mirror may be changing right now: try again in a few minutes",
        ) from first

    def _urls(self, suite: Suite, listed: Listed) -> Iterator[str]:
        """Yield where an index may be; by its hash it does not change while it is fetched."""
        folder, _, _ = listed.path.rpartition("/")
        for base in self._mirrors.of(suite.archive):
            above = f"{base}/dists/{suite.name}"
            if suite.release.by_hash:
                yield f"{above}/{folder}/by-hash/SHA256/{listed.sha256}"
            yield f"{above}/{listed.path}"


def open_archive(settings: Settings, fetcher: Fetcher) -> Archive:
    """Return Debian's archive as the settings, the host's apt and this machine would have it.

    :raises ArchiveError: the file of keys that is named cannot be used.
    :raises EnvtoolError: Debian has no such architecture.
    """
    return Archive(
        settings.cache,
        fetcher,
        find_mirrors(settings.debian_mirrors, settings.debian_past),
        of_machine(os.uname().machine),
        keys=read_keys(settings.debian_keys) if settings.debian_keys else None,
        check_age=settings.debian_check_age,
    )


def _parsed(text: str, shown: str) -> Release:
    try:
        return parse(text, shown)
    except FormatError as error:
        raise ArchiveError(str(error)) from error


def _opens(folder: str, origin: Origin) -> bool:
    try:
        PackageIndex(folder, origin).close()
    except StoreError:
        return False
    return True
