"""Pin a closure: from names to packages with size, SHA-256, place and the time of their suite."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from envtool.errors import EnvtoolError
from envtool.formats.debian.package import DebianPackage, Package, pin
from envtool.machine.debian.archive import Archive
from envtool.machine.debian.releases import Suite
from envtool.machine.debian.updates import suites_of
from envtool.plan.debian.closure import Closure, solve
from envtool.plan.debian.failure import DeadEnd, UnsatisfiableError, explain
from envtool.plan.debian.universe import Universe
from envtool.values import value

__all__ = ["Pinned", "open_universe", "pin_all", "pin_closure"]

_SUITES = ("stable", "oldstable", "testing", "unstable")
"""Where a package may be that the suites asked for do not have."""
_ALIKE = 0.85
_NUMBER = re.compile(r"[0-9.]+")


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
    """Give the packages of suites such as `bookworm`, with their updates, seen as one.

    A component must be in the suites that are named; updates may lack it.

    :raises FetchError: a suite is not there, may not be trusted, or no mirror answers.
    """
    with ExitStack() as stack:
        groups = [suites_of(archive, name, refresh=refresh) for name in suites]
        opened = {suite.folder: suite for group in groups for suite in group}
        required = {group[0].folder for group in groups}
        indices = [
            stack.enter_context(archive.packages(suite, component))
            for suite in opened.values()
            for component in components
            if suite.folder in required or archive.has_component(suite, component)
        ]
        yield Universe(indices, archive.architecture), tuple(opened.values())


def pin_closure(
    archive: Archive,
    requests: Sequence[str],
    suites: Sequence[str],
    components: Sequence[str] = ("main",),
    *,
    refresh: bool,
) -> Pinned:
    """Solve the closure of what is asked for, and pin it.

    A failure says, too, which other suite or component has what is missing.

    :raises UnsatisfiableError: there is no closure.
    :raises FormatError: a request is no relation.
    :raises FetchError: a suite is not there, may not be trusted, or no mirror answers.
    """
    with open_universe(archive, suites, components, refresh=refresh) as (universe, opened):
        try:
            closure = solve(requests, universe)
        except UnsatisfiableError as error:
            with ExitStack() as stack:
                elsewhere = _elsewhere(
                    archive,
                    opened,
                    components,
                    universe,
                    dead_end=error.dead_ends[0],
                    stack=stack,
                )
                raise explain(error.dead_ends, universe, elsewhere) from error
    return Pinned(closure, pin_all(closure.packages, opened))


def pin_all(packages: Iterable[Package], suites: Iterable[Suite]) -> tuple[DebianPackage, ...]:
    """Return what a lock says of packages, each of the time of its own suite."""
    times = {(suite.archive, suite.origin("").suite): suite.timestamp for suite in suites}
    return tuple(pin(each, times[each.origin.archive, each.origin.suite]) for each in packages)


def _elsewhere(
    archive: Archive,
    opened: Sequence[Suite],
    components: Sequence[str],
    universe: Universe,
    *,
    dead_end: DeadEnd,
    stack: ExitStack,
) -> dict[str, Universe]:
    """Return where else to look for what is missing: up to the first place that has it.

    What is kept is looked at first; what cannot be had now explains nothing.
    """
    found: dict[str, Universe] = {}
    if dead_end.against:
        return found
    kept = archive.releases.kept()
    known = {suite.origin("").suite for suite in opened}
    for name, suite_name, parts in _places(kept, opened, components):
        if suite_name not in kept and _is_mistyped(dead_end.want.group[0].name, universe):
            break  # megabytes for nothing
        try:
            suite = archive.suite(suite_name, refresh=False)
            if suite.origin("").suite in known and parts == components:
                continue
            indices = [
                stack.enter_context(archive.packages(suite, each))
                for each in parts
                if each in suite.release.components
            ]
        except EnvtoolError:
            continue
        found[name] = Universe(indices, archive.architecture)
        if found[name].candidates(dead_end.want.group):
            break
    return found


def _is_mistyped(name: str, universe: Universe) -> bool:
    """Return whether a package has nearly this name, and not only another number in it."""
    near = universe.near(name, _ALIKE)
    return any(_NUMBER.sub("", each) != _NUMBER.sub("", name) for each in near)


def _places(
    kept: Sequence[str], opened: Sequence[Suite], components: Sequence[str]
) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yield places that may have a package: what a message calls it, the suite, its components."""
    for name in kept:
        yield f"the suite {name}", name, components
    for suite in opened:
        for each in suite.release.components:
            if each not in components:
                yield f"the component {each} of {suite.name}", suite.name, [each]
    for name in _SUITES:
        if name not in kept:
            yield f"the suite {name}", name, components
