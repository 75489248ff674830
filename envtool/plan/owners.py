"""Which packages of Debian have a file: a shared library or a program."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from typing import TYPE_CHECKING

from envtool.formats.debian.contents import Library
from envtool.formats.debian.package import Package
from envtool.machine.debian.archive import open_archive
from envtool.machine.debian.providers import best
from envtool.machine.debian.releases import Suite
from envtool.machine.debian.sonames import SonameIndex
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import Settings
from envtool.plan.debian.opening import codenames, indices_of, releases_of, shown
from envtool.plan.debian.universe import Universe
from envtool.reporting import Reporter
from envtool.values import value

if TYPE_CHECKING:
    from envtool.errors import EnvtoolError

__all__ = ["Files", "Owner", "search_files"]

_NEAR = 3


@value
class Owner:
    """A package that has a file."""

    file: Library
    package: Package | None
    """None: the suite's packages have none of this name, as after a change of one of the two."""
    suite: str


@value
class Files:
    """What a search for a file found."""

    name: str
    owners: tuple[Owner, ...]
    suites: tuple[str, ...]
    near: tuple[str, ...]
    failures: tuple[str, ...]


def search_files(
    settings: Settings,
    reporter: Reporter,
    name: str,
    suites: Sequence[str],
    components: Sequence[str],
    *,
    refresh: bool = False,
    now: Callable[[], float] = time.time,
) -> Files:
    """Return which packages of Debian have a shared library or a program.

    `name` is a file's name, such as `libGL.so.1` or `dot`, or its path.

    :raises FetchError: a suite cannot be had.
    """
    failures: list[EnvtoolError] = []
    path, _, base = name.rpartition("/")
    owners: list[Owner] = []
    near: set[str] = set()
    with Fetcher(offline=settings.offline) as fetcher:
        archive = open_archive(settings, fetcher)
        groups = list(releases_of(archive, suites, failures, refresh=refresh, now=now))
        for group in groups:
            with ExitStack() as stack:
                opened = [
                    stack.enter_context(index)
                    for _, index in indices_of(archive, group, components, reporter)
                ]
                universe = Universe(opened, archive.architecture)
                # Debian makes indices of files of releases; those of their updates are empty.
                for component in components:
                    kept = archive.has_libraries(group[0], component)
                    label = f"files of {group[0].name}/{component}"
                    with shown(reporter, label, kept=kept):
                        libraries = archive.libraries(group[0], component)
                    owners += _owners(base, path, group[0], libraries, universe)
                    if not owners:
                        near.update(get_close_matches(base, libraries.near(base), _NEAR))
    return Files(
        name=name,
        owners=tuple(owners),
        suites=codenames(suite for group in groups for suite in group),
        near=() if owners else tuple(get_close_matches(base, sorted(near), _NEAR, 0)),
        failures=tuple(map(str, failures)),
    )


def _owners(
    base: str, path: str, suite: Suite, libraries: SonameIndex, packages: Universe
) -> Iterator[Owner]:
    found = libraries.find(base)
    taken = best(base, found)
    ordered = sorted(found, key=lambda each: each != taken)
    for file in (*ordered, *libraries.find_program(base)):
        if path and not f"/usr/{file.path.removeprefix('usr/')}".endswith(f"{path}/{base}"):
            continue
        package = next(iter(packages.named(file.package)), None)
        yield Owner(file, package, suite.origin("").suite)
