"""Pin a closure: from names to packages with size, SHA-256, place and the time of their suite."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from envtool.errors import EnvtoolError
from envtool.formats.debian.package import DebianPackage, Package, pin
from envtool.machine.debian.archive import Archive, Suite
from envtool.plan.debian.closure import Closure, solve
from envtool.plan.debian.failure import UnsatisfiableError, explain
from envtool.plan.debian.universe import Universe
from envtool.values import value

__all__ = ["Pinned", "open_universe", "pin_closure"]


@value
class Pinned:
    """A closure with what a lock says of each of its packages."""

    closure: Closure
    packages: tuple[DebianPackage, ...]
    """In the order of the closure's."""


@contextmanager
def open_universe(
    archive: Archive,
    suites: Sequence[str],
    components: Sequence[str] = ("main",),
    *,
    refresh: bool,
) -> Iterator[tuple[Universe, tuple[Suite, ...]]]:
    """Give the packages of suites, such as `bookworm` and `bookworm-security`, seen as one.

    :raises FetchError: a suite is not there, may not be trusted, or no mirror answers.
    """
    with ExitStack() as stack:
        opened = tuple(archive.suite(name, refresh=refresh) for name in suites)
        indices = [
            stack.enter_context(archive.packages(suite, component))
            for suite in opened
            for component in components
        ]
        yield Universe(indices, archive.architecture), opened


def pin_closure(
    archive: Archive,
    requests: Sequence[str],
    suites: Sequence[str],
    components: Sequence[str] = ("main",),
    *,
    refresh: bool,
) -> Pinned:
    """Solve the closure of what is asked for, and pin it.

    A failure says, too, which of the suites that were asked for before has what is missing.

    :raises UnsatisfiableError: there is no closure.
    :raises FormatError: a request is no relation.
    :raises FetchError: a suite is not there, may not be trusted, or no mirror answers.
    """
    with open_universe(archive, suites, components, refresh=refresh) as (universe, opened):
        try:
            closure = solve(requests, universe)
        except UnsatisfiableError as error:
            with _others(archive, opened, components) as elsewhere:
                raise explain(error.dead_ends, universe, elsewhere) from error
    times = {(suite.archive, suite.origin("").suite): suite.timestamp for suite in opened}
    return Pinned(closure, tuple(_pinned(package, times) for package in closure.packages))


def _pinned(package: Package, times: Mapping[tuple[str, str], str]) -> DebianPackage:
    return pin(package, times[package.origin.archive, package.origin.suite])


@contextmanager
def _others(
    archive: Archive, opened: Sequence[Suite], components: Sequence[str]
) -> Iterator[Mapping[str, Universe]]:
    """Give the other suites that are kept; one that cannot be had now explains nothing."""
    known = {suite.origin("").suite for suite in opened}
    found: dict[str, Universe] = {}
    with ExitStack() as stack:
        for name in archive.kept():
            try:
                suite = archive.suite(name, refresh=False)
                if suite.origin("").suite in known:
                    continue
                indices = [
                    stack.enter_context(archive.packages(suite, each)) for each in components
                ]
            except EnvtoolError:
                continue
            found[name] = Universe(indices, archive.architecture)
        yield found
