"""Open suites and their indices for a question: as they are today, or else as last seen.

Indices are kept, so that an answer takes milliseconds; once a day the archive is asked whether
there are newer ones.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from envtool.errors import EnvtoolError, FetchError
from envtool.formats.debian.suites import release_of
from envtool.machine.debian.archive import Archive
from envtool.machine.debian.index import PackageIndex
from envtool.machine.debian.releases import Suite
from envtool.machine.debian.updates import suites_of
from envtool.machine.fetching.fetch import FetchCancelledError
from envtool.reporting import Reporter, Step

__all__ = ["codenames", "indices_of", "releases_of", "shown"]

FRESH = 86400
"""Seconds for which a kept suite will do."""


@contextmanager
def shown(reporter: Reporter, label: str, *, kept: bool) -> Iterator[None]:
    """Tell that an index is being fetched, unless it is kept: that takes seconds."""
    step = Step("fetch", label)
    if not kept:
        reporter.start(step)
    yield
    if not kept:
        reporter.finish(step)


def indices_of(
    archive: Archive, group: Sequence[Suite], components: Sequence[str], reporter: Reporter
) -> Iterator[tuple[Suite, PackageIndex]]:
    """Yield the indices of a release and of its updates, as far as these have the components."""
    for suite in group:
        for component in components:
            if suite is not group[0] and not archive.has_component(suite, component):
                continue
            kept = archive.has_packages(suite, component)
            with shown(reporter, f"packages of {suite.name}/{component}", kept=kept):
                found = archive.packages(suite, component)
            yield suite, found


def releases_of(
    archive: Archive,
    names: Sequence[str],
    failures: list[EnvtoolError],
    *,
    refresh: bool,
    now: Callable[[], float],
) -> Iterator[tuple[Suite, ...]]:
    """Yield suites, each with its updates, as they are today, or else as they were last seen."""
    for name in dict.fromkeys(names):
        seen = archive.releases.seen(name)
        try:
            fresh = seen is not None and now() - seen < FRESH
            yield suites_of(archive, name, refresh=refresh or not fresh)
        except FetchCancelledError:
            raise
        except FetchError as error:
            if seen is None or refresh:
                raise
            yield suites_of(archive, name, refresh=False)
            failures.append(error)


def codenames(suites: Iterable[Suite]) -> tuple[str, ...]:
    """Return the codenames of the releases that suites belong to."""
    return tuple(dict.fromkeys(release_of(suite.origin("").suite) for suite in suites))
