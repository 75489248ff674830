"""Packages of Debian that supply what wheels lack: found by the index of files, fetched and read.

What a package's library needs in turn is found by reading it, and so is what the plugins need that
the library loads from a folder of its own. Of what Debian says that a package depends on, only data
comes along.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from envtool.build.closed.libraries import candidates, places
from envtool.build.realise import realise_all
from envtool.errors import ResolutionError
from envtool.formats.debian.package import DebianPackage
from envtool.formats.debian.suites import release_of
from envtool.formats.locked import LockedLibrary, Pins
from envtool.machine.debian.archive import open_archive
from envtool.machine.debian.providers import Providers
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.store import Store
from envtool.plan.closed.interpreters import data_of
from envtool.plan.closed.python import ClosedPython, add_deb, multiarch_of
from envtool.plan.debian.pinning import open_universe, pin_all
from envtool.plan.derivations import Instantiation
from envtool.plan.libraries.completeness import Need
from envtool.reporting import Reporter
from envtool.sources.binaries import read_file
from envtool.sources.opened import OPENED
from envtool.values import value

if TYPE_CHECKING:
    from envtool.machine.debian.releases import Suite
    from envtool.plan.debian.universe import Universe

__all__ = ["Found", "Supply"]

_DATA = "data"
"""What is asked for of a package that has no library."""


@value
class Found:
    """A library of a package of Debian."""

    package: str
    path: str
    """On this machine."""


class Supply:
    """The packages that join a lock.

    `own` are names of the interpreter's libraries, `brought` those of the wheels'. Versions that
    the `pins` of the former lock have are kept.
    """

    def __init__(
        self,
        store: Store,
        reporter: Reporter,
        fetcher: Fetcher,
        stack: ExitStack,
        pins: Pins,
        *,
        own: Collection[str],
        brought: Collection[str],
    ) -> None:
        self.store = store
        self.reporter = reporter
        self.fetcher = fetcher
        self.stack = stack
        self.pins = pins
        self.own = frozenset(own)
        self.brought = frozenset(brought)
        self.suite = ClosedPython(pins).suite
        self.multiarch = multiarch_of(pins.packages)
        former = [*(each.package for each in pins.libraries), *pins.headers]
        self.former = {each.name: each for each in former}
        self.unpacked: dict[str, DebianPackage] = {}
        self.pinned: dict[str, DebianPackage] = {}
        """Those that are taken."""
        self.trees: dict[str, str] = {}
        """Package to where it lies unpacked."""
        self.asking: dict[str, set[str]] = {}
        """Package to who asks it for what."""
        self.found: dict[str, Found] = {}
        """By soname."""
        self.nobody: set[str] = set()
        """Sonames that the suite does not have."""
        self._universe: tuple[Universe, tuple[Suite, ...]] | None = None
        self.archive = open_archive(store.settings, fetcher)
        self.providers = Providers(self.archive, self.suite)

    def locked(self) -> tuple[LockedLibrary, ...]:
        """Return what is taken, by name."""
        return tuple(
            LockedLibrary(self.pinned[name], tuple(sorted(self.asking[name])))
            for name in sorted(self.pinned)
        )

    def folders(self) -> Iterator[str]:
        """Yield where the libraries lie that are taken."""
        for name in self.pinned:
            yield from candidates(self.trees[name], self.multiarch)
        for found in self.found.values():
            yield os.path.dirname(found.path)

    def find_all(self, needs: Iterable[Need]) -> None:
        """Find who has the libraries, and what those need in turn."""
        wanted: dict[str, set[str]] = {}
        spare = {one.soname for one in needs} - {one.soname for one in needs if one.essential}
        for one in needs:
            soname = self._alternative(one)
            if soname is None:
                self.nobody.add(one.soname)
            else:
                wanted.setdefault(soname, set()).add(one.wheel)
        while wanted:
            wanted = self._find(wanted, spare)

    def _alternative(self, need: Need) -> str | None:
        """Return which of the names will do that code opens one of; the first that there is."""
        names = [need.soname]
        for opened in OPENED.get(need.wheel, ()) if need.file is None else ():
            if opened.sonames[0] == need.soname:
                names = list(opened.sonames)
        there = self.providers.find(names)
        return next((name for name in names if name in there), None)

    def _find(self, wanted: Mapping[str, set[str]], spare: set[str]) -> dict[str, set[str]]:
        """Add the packages that have these, and return what their libraries need and nobody has.

        What only plugins need is left out if it needs in turn what wheels bring: a plugin of Qt
        for which the wheel has no library would get one of Debian's Qt, beside the wheel's own.
        """
        there = self.providers.find(wanted)
        self.nobody |= wanted.keys() - there.keys()
        self._unpack({library.package for library in there.values()})
        needed: dict[str, set[str]] = {}
        for soname, library in list(there.items()):
            path = f"{self.trees[library.package]}/{library.path}"
            if soname in spare and not self.brought.isdisjoint(_needed(path)):
                self.nobody.add(soname)
                del there[soname]
                continue
            self.found[soname] = Found(library.package, path)
            self.pinned[library.package] = self.unpacked[library.package]
            asking = self.asking.setdefault(library.package, set())
            asking |= {f"{who} {soname}" for who in wanted[soname]}
        for soname in there:
            package = there[soname].package
            for each in (*_needed(self.found[soname].path), *self._needed_by_plugins(package)):
                if each not in self.own | self.nobody:
                    if soname in spare:
                        spare.add(each)
                    needed.setdefault(each, set()).add(package)
        for soname in needed.keys() & self.found.keys():
            package = self.found[soname].package
            others = needed.pop(soname) - {package}
            self.asking[package] |= {f"{who} {soname}" for who in others}
        return needed

    def _needed_by_plugins(self, package: str) -> set[str]:
        """Return what a package's libraries need of others when they load their own plugins."""
        found = places(self.trees[package], self.multiarch)
        plugins = (path for path, place in found if "/" in place and not os.path.islink(path))
        return {soname for path in plugins for soname in _needed(path)}

    def _unpack(self, names: Iterable[str]) -> None:
        new = sorted(set(names) - self.trees.keys())
        made = Instantiation()
        paths = {}
        for name in new:
            self.unpacked[name] = self.pin(name)
            paths[name] = add_deb(made, self.unpacked[name])
        realise_all(
            self.store,
            self.fetcher,
            self.reporter,
            made.derivations,
            list(paths.values()),
            jobs=self.store.settings.jobs,
        )
        for name, path in paths.items():
            self.trees[name] = self.store.physical(made.output(path))

    def pin(self, name: str) -> DebianPackage:
        """Return a package as the former lock has it, or as the release has it now.

        :raises ResolutionError: it has none of this name.
        """
        former = self.former.get(name)
        if former is not None and release_of(former.suite) == self.suite:
            return former
        universe, suites = self._opened()
        found = universe.named(name)
        if not found:
            raise ResolutionError(
                f"Debian's index of files names a package {name}, which {self.suite} does not have",
                hint="envtool lock --upgrade",
            )
        return pin_all(found[:1], suites)[0]

    def _opened(self) -> "tuple[Universe, tuple[Suite, ...]]":
        """Return the packages of the release, and its suites."""
        if self._universe is None:
            opening = open_universe(self.archive, [self.suite], refresh=False)
            universe, opened = self.stack.enter_context(opening)
            self._universe = universe, opened
        return self._universe

    def find_data(self) -> None:
        """Add the packages with data that those with libraries depend on."""
        below = sorted(self.pinned)
        for name in below:
            for each in self._data_of(name):
                if each not in self.asking:
                    self.pinned[each] = self.pin(each)
                    below.append(each)
                self.asking.setdefault(each, set()).add(f"{name} {_DATA}")

    def _data_of(self, name: str) -> Sequence[str]:
        """Return packages with data that one depends on; of one that is kept, as the lock says."""
        if self.pinned[name] == self.former.get(name):
            return [
                each.package.name for each in self.pins.libraries if f"{name} {_DATA}" in each.asked
            ]
        universe, _ = self._opened()
        return data_of(name, universe, {each.name for each in self.pins.packages})


def _needed(path: str) -> tuple[str, ...]:
    elf = read_file(path)
    return elf.dynamic.needed if elf and elf.dynamic else ()
