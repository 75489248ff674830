"""Debian's archive: its suites, and the indices made of what their Release files vouch for.

    cache/debian/debian/trixie/packages-main-amd64-1-7778d3e3f303/
    cache/debian/debian/trixie/libraries-main-amd64-1-3d3e6930908d

An index is known by the hash that the Release file gives. So what is half-written, altered or from
an older state is never taken for what it should be, and made again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from envtool.errors import FetchError, FormatError, StoreError
from envtool.formats.debian.architecture import of_machine, triplet
from envtool.formats.debian.package import Origin
from envtool.formats.debian.release import Listed
from envtool.machine.debian import index, sonames
from envtool.machine.debian.index import PackageIndex
from envtool.machine.debian.inflate import inflated
from envtool.machine.debian.mirrors import Mirrors, find_mirrors
from envtool.machine.debian.releases import Releases, Suite
from envtool.machine.debian.sonames import SonameIndex
from envtool.machine.fetching.fetch import AbsentError, FetchCancelledError, Fetcher
from envtool.machine.locks import file_lock
from envtool.machine.metadata import delete_tree
from envtool.machine.settings import Settings
from envtool.sources.debian.signature import ArchiveError, read_keys

__all__ = ["Archive", "open_archive"]

_DIGITS = 12
"""Of the hash in the name of an index."""


class Archive:
    """Debian's archive as this machine sees it."""

    def __init__(
        self, releases: Releases, fetcher: Fetcher, mirrors: Mirrors, architecture: str
    ) -> None:
        self.releases = releases
        self.architecture = architecture
        self._fetcher = fetcher
        self._mirrors = mirrors

    def suite(self, name: str, *, refresh: bool) -> Suite:
        """Return a suite, as `Releases.suite` says."""
        return self.releases.suite(name, refresh=refresh)

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
    mirrors = find_mirrors(settings.debian_mirrors, settings.debian_past)
    releases = Releases(
        settings.cache,
        fetcher,
        mirrors,
        keys=read_keys(settings.debian_keys) if settings.debian_keys else None,
        check_age=settings.debian_check_age,
    )
    return Archive(releases, fetcher, mirrors, of_machine(os.uname().machine))


def _opens(folder: str, origin: Origin) -> bool:
    try:
        PackageIndex(folder, origin).close()
    except StoreError:
        return False
    return True
