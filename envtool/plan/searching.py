"""Search packages by words: Debian's by name or summary, the index's by its exact name.

What cannot be reached is told beside what was found.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Protocol

from envtool.errors import EnvtoolError, FetchError, FormatError, StoreError
from envtool.formats.debian.package import Package
from envtool.formats.debian.suites import release_of
from envtool.formats.debian.version import compare
from envtool.machine.debian.archive import open_archive
from envtool.machine.debian.index import Found, PackageIndex
from envtool.machine.debian.releases import Suite
from envtool.machine.fetching.fetch import FetchCancelledError, Fetcher
from envtool.machine.fetching.index import configured_index
from envtool.machine.fetching.projects import Project, find_project
from envtool.machine.settings import Settings
from envtool.plan.debian.opening import codenames, indices_of, releases_of
from envtool.plan.debian.universe import Universe
from envtool.reporting import Reporter
from envtool.sources.pages import is_name
from envtool.values import value

__all__ = ["Packages", "beginnings", "search"]

_SILENCE = 10.0
"""Seconds of silence after which the index says nothing."""
_NEAR = 3


@value
class Packages:
    """What a search for words found."""

    words: tuple[str, ...]
    debian: tuple[Package, ...]
    """The best first."""
    total: int
    """How many of Debian's there are; perhaps more than are given."""
    suites: tuple[str, ...]
    """The codenames of the releases that were searched."""
    project: Project | None
    """The index's, of exactly this name."""
    near: tuple[str, ...]
    """If nothing was found: names of Debian's packages that are nearly the word."""
    failures: tuple[str, ...]
    """What could not be asked, and why."""


class _Indexed(Protocol):
    def search(self, word: str) -> Iterable[Found]: ...
    def named(self, name: str) -> Sequence[Package]: ...


def search(
    settings: Settings,
    reporter: Reporter,
    words: Sequence[str],
    suites: Sequence[str],
    components: Sequence[str],
    *,
    refresh: bool = False,
    most: int | None = None,
    index: str | None = None,
    now: Callable[[], float] = time.time,
) -> Packages:
    """Return the packages of Debian that have all the words in their name or summary.

    And the project of the package index whose name is the only word. `most` limits Debian's.

    :raises FetchError: nothing could be asked.
    """
    failures: list[EnvtoolError] = []
    with (
        Fetcher(offline=settings.offline, retries=1, timeout=_SILENCE) as fetcher,
        ThreadPoolExecutor(1) as pool,
        ExitStack() as stack,
    ):
        asked = pool.submit(_project, settings, words, index, fetcher, now)
        opened: list[tuple[Suite, PackageIndex]] = []
        try:
            archive = open_archive(settings, fetcher)
            for group in releases_of(archive, suites, failures, refresh=refresh, now=now):
                for suite, found in indices_of(archive, group, components, reporter):
                    opened.append((suite, stack.enter_context(found)))
        except FetchError as error:
            failures.append(error)
        project = _answer(asked, failures)
        if not opened and project is None and failures:
            raise failures[0]
        hits = _newest(_ranked(words, [index for _, index in opened]))
        near = () if hits or project or len(words) != 1 else _near(words[0], opened)
        return Packages(
            words=tuple(words),
            debian=tuple(_packages(hits[:most])),
            total=len(hits),
            suites=codenames(suite for suite, _ in opened),
            project=project,
            near=near,
            failures=tuple(map(str, failures)),
        )


def beginnings(settings: Settings, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield names of Debian's packages that begin so, with their release, of what is kept."""
    if not prefix:
        return
    found: dict[tuple[str, str], None] = {}
    with Fetcher(offline=True) as fetcher:
        archive = open_archive(settings, fetcher)
        for name in archive.releases.kept():
            with suppress(FetchError, StoreError):
                suite = archive.suite(name, refresh=False)
                with archive.packages(suite, "main") as index:
                    found |= dict.fromkeys(
                        (each, release_of(suite.name)) for each in index.names(prefix)
                    )
    yield from found


def _project(
    settings: Settings,
    words: Sequence[str],
    index: str | None,
    fetcher: Fetcher,
    now: Callable[[], float],
) -> Project | None:
    if len(words) != 1 or not is_name(words[0]):
        return None
    url = index or configured_index(os.environ) or _default_index(settings)
    if url is None:
        return None
    return find_project(words[0], url, settings.cache, fetcher, now=now)


def _default_index(settings: Settings) -> str | None:
    """Return uv's own index, which is asked for once and then kept."""
    from envtool.plan.resolving.uv import Uv, run

    path = f"{settings.cache}/projects/index"
    with suppress(OSError), open(path, encoding="utf-8") as file:
        return file.read()
    url = Uv(settings.cache, os.environ, runner=run).index_url()
    with suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
            file.write(url or "")
        os.replace(f"{path}.{os.getpid()}", path)
    return url


def _answer(asked: "Future[Project | None]", failures: list[EnvtoolError]) -> Project | None:
    try:
        return asked.result()
    except FetchCancelledError:
        raise
    except FetchError as error:
        failures.append(error)
        return None


def _ranked(words: Sequence[str], indices: Sequence[_Indexed]) -> list[tuple[Found, _Indexed]]:
    """Return what has all the words: by name before by summary, the closer the better."""
    wanted = sorted((word.lower() for word in words), key=len, reverse=True)

    def rank(hit: tuple[Found, _Indexed]) -> tuple[int, int, str]:
        name = hit[0].name
        if name in wanted:
            return 0, 0, name
        if name.startswith(wanted[0]):
            return 1, len(name), name
        if all(word in name for word in wanted):
            return 2, len(name), name
        return 3, 0, name

    hits = [
        (found, index)
        for index in indices
        for found in index.search(wanted[0])
        if all(_has(found, word) for word in wanted[1:])
    ]
    return sorted(hits, key=rank)


def _newest(hits: Sequence[tuple[Found, _Indexed]]) -> list[tuple[Found, _Indexed]]:
    """Return of each package of a release the newest version, where that is first found."""
    best: dict[tuple[str, str], tuple[Found, _Indexed]] = {}
    for hit in hits:
        place = hit[0].name, release_of(hit[0].origin.suite)
        if place not in best or _is_newer(hit[0], best[place][0]):
            best[place] = hit
    return list(best.values())


def _is_newer(one: Found, other: Found) -> bool:
    with suppress(FormatError):
        return compare(one.version, other.version) > 0
    return False


def _has(found: Found, word: str) -> bool:
    return word in found.name or word in found.summary.lower()


def _packages(hits: Iterable[tuple[Found, _Indexed]]) -> Iterator[Package]:
    for found, index in hits:
        with suppress(FormatError):  # one that is malformed spoils no other
            yield from (each for each in index.named(found.name) if each.version == found.version)


def _near(word: str, opened: Sequence[tuple[Suite, PackageIndex]]) -> tuple[str, ...]:
    return tuple(Universe([index for _, index in opened], "").near(word.lower()))
