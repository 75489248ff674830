"""Release files of Debian's suites: fetched, verified, judged and kept.

    cache/debian/debian/trixie/InRelease

All else of a suite hangs on it, so its signature is verified whenever it is read, and one that is
of another suite, too old, or older than what was seen before is refused.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from envtool.errors import FetchError, FormatError
from envtool.formats.debian.package import Origin
from envtool.formats.debian.release import Release, parse, timestamp
from envtool.machine.debian.mirrors import Mirrors, UnknownSuiteError, archive_of
from envtool.machine.disk import disk_errors
from envtool.machine.fetching.addresses import without_secrets
from envtool.machine.fetching.fetch import AbsentError, FetchCancelledError, Fetcher
from envtool.machine.metadata import delete_tree
from envtool.sources.debian.signature import (
    ArchiveError,
    Key,
    archive_keys,
    verify,
    verify_detached,
)
from envtool.values import value

__all__ = ["Releases", "Suite"]

MOST_RELEASE = 16 << 20
"""Bytes of a Release file; those of Debian have 200 KB."""
_SKEW = 86400
"""Seconds that a Release file may be ahead of the machine's clock."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*").fullmatch


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


class Releases:
    """The suites of Debian's archive, as this machine may trust them.

    `keys` are whom to trust, by default Debian. `check_age` off lets suites pass that are past
    their Valid-Until, as in mirrors that keep one state. `now` gives seconds since 1970.
    """

    def __init__(
        self,
        cache: str,
        fetcher: Fetcher,
        mirrors: Mirrors,
        *,
        keys: Sequence[Key] | None = None,
        check_age: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
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


def _parsed(text: str, shown: str) -> Release:
    try:
        return parse(text, shown)
    except FormatError as error:
        raise ArchiveError(str(error)) from error
