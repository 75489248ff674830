"""A release of Debian as it is today: its suite, that of its updates, that of its security updates.

Not every mirror has all three, and not every suite has the other two: sid has not. What was there
once must be there again, though, else a mirror could withhold updates by denying that there are
any.
"""

from envtool.formats.debian.suites import later_suites, release_of
from envtool.machine.debian.archive import Archive
from envtool.machine.debian.mirrors import UnknownSuiteError
from envtool.machine.debian.releases import Suite
from envtool.sources.debian.signature import ArchiveError

__all__ = ["suites_of"]


def suites_of(archive: Archive, name: str, *, refresh: bool) -> tuple[Suite, ...]:
    """Return the suite of this name and, of a release, those of its updates that there are.

    With `refresh` as they are now, else as they were last seen. A name such as
    `trixie-security` stands for itself only.

    :raises FetchError: one is not there that should be, may not be trusted, or no mirror answers.
    """
    is_new = refresh or archive.releases.seen(name) is None
    suite = archive.suite(name, refresh=refresh)
    if release_of(name) != name:
        return (suite,)
    later = later_suites(suite.origin("").suite)
    found = (_later(archive, each, is_new=is_new, refresh=refresh) for each in later)
    return (suite, *(each for each in found if each is not None))


def _later(archive: Archive, name: str, *, is_new: bool, refresh: bool) -> Suite | None:
    seen = archive.releases.seen(name)
    if seen is None and not is_new:
        return None
    try:
        return archive.suite(name, refresh=refresh)
    except UnknownSuiteError as error:
        if seen is None:
            return None
        raise ArchiveError(
            f"the suite {name} is gone, without which updates would be missed: {error}",
            hint=f"ask another mirror; to do without it, delete {archive.releases.place(name)}",
        ) from error
