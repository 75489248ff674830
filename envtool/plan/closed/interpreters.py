"""Which packages of Debian an interpreter of our own is made of, and which one is chosen.

Of the closure of Debian's `python3.13` only what it runs with is taken: not what Debian administers
it by (dpkg, debconf, …). Added is what wheels expect of any system, the C++ runtime, and data that
Debian leaves to other packages: certificates, terminals, time zones, the locale C.UTF-8. One of
python-build-standalone brings all but these and the C library, which are Debian's there, too.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from envtool.errors import InterpreterError
from envtool.formats.debian.package import Package
from envtool.formats.locked import Pins
from envtool.plan.closed.python import MACHINES, ClosedPython, upstream
from envtool.sources.interpreter import satisfies

if TYPE_CHECKING:
    from envtool.machine.debian.archive import Archive
    from envtool.plan.debian.universe import Universe

__all__ = ["ALIASES", "data_of", "find_packages", "pin_interpreter", "pin_standalone"]

_ADMINISTRATION = frozenset(
    {
        *("debconf", "debconf-2.0", "dpkg", "install-info", "perl-base", "readline-common", "tar"),
        *("gcc-12-base", "gcc-13-base", "gcc-14-base", "gcc-15-base", "libc-bin", "mime-support"),
    }
)
"""What packages depend on for their installation, or for nothing that a program opens."""
_CARETAKERS = _ADMINISTRATION | {
    "adduser",
    "init-system-helpers",
    "lsb-base",
    "sensible-utils",
    "ucf",
}
"""What libraries' packages depend on for their maintainer scripts."""
_RUNTIME = ("libgcc-s1", "libstdc++6")
"""What wheels link to and never bring (PEP 600)."""
_SYSTEM = ("libc6", "libcrypt1", *_RUNTIME)
"""What an interpreter links to that brings its other libraries itself."""
_DATA = ("ca-certificates", "libc-bin", "ncurses-base", "tzdata")
"""Taken without what they depend on."""
_SUITES = ("stable", "oldstable")
ALIASES = frozenset({"stable", "oldstable", "oldoldstable", "testing", "unstable"})
"""Names of suites that mean another one some day."""
_OLDEST, _NEWEST = 9, 40
"""Minor versions of Python that are looked for."""
_SPLIT = ("python3-distutils", "python3-lib2to3")
"""Parts of the standard library before 3.12 that Debian keeps apart."""
_SPLIT_UNTIL = 12


def find_packages(feature: str, universe: "Universe") -> tuple[Package, ...]:
    """Return what the interpreter of a feature release (`3.13`) is made of; sorted by name.

    :raises InterpreterError: there is none in these suites.
    :raises ResolutionError: its dependencies cannot be had together.
    """
    program = f"python{feature}"
    if not universe.named(program):
        raise InterpreterError(f"there is no {program} in the suites of Debian that are looked at")
    split = _SPLIT if int(feature.split(".")[1]) < _SPLIT_UNTIL else ()
    return _closure([program, *_RUNTIME], (*_DATA, *split), universe)


def _closure(
    roots: Sequence[str], alone: Sequence[str], universe: "Universe"
) -> tuple[Package, ...]:
    """Return what the roots run with, and beside it what is taken without its dependencies."""
    from envtool.plan.debian.closure import solve

    closure = solve(roots, universe)
    needed = _reached(roots, closure.edges)
    found = {each.name: each for each in closure.packages if each.name in needed}
    for name in alone:
        for package in universe.named(name)[:1]:
            found.setdefault(name, package)
    return tuple(found[name] for name in sorted(found))


def data_of(name: str, universe: "Universe", known: Collection[str]) -> list[str]:
    """Return the packages with data that one with libraries depends on.

    Nothing that is compiled is in a package that does not depend on the C library.
    """
    found: dict[str, None] = {}
    for package in universe.named(name)[:1]:
        for group in package.depends:
            for candidate in universe.candidates(group)[:1]:
                needs = {each.name for alternatives in candidate.depends for each in alternatives}
                if candidate.name not in _CARETAKERS | {*known} and needs.isdisjoint(_SYSTEM):
                    found[candidate.name] = None
    return list(found)


def pin_interpreter(
    archive: "Archive", specifier: str | None, suites: Sequence[str] = ()
) -> ClosedPython:
    """Return the newest interpreter that satisfies a PEP 440 specifier (None is any), pinned.

    It is taken, as it is now, from the first of the suites that has one, by default Debian's
    stable and oldstable.

    :raises InterpreterError: they have none; it says what they have.
    :raises FetchError: a suite is not there, may not be trusted, or no mirror answers.
    """
    from envtool.plan.debian.pinning import open_universe, pin_all

    seen: list[str] = []
    for suite in suites or _SUITES:
        with open_universe(archive, [suite], refresh=True) as (universe, opened):
            versions = dict(_versions(universe))
            fitting = [
                feature
                for feature, version in versions.items()
                if specifier is None or satisfies(version, specifier)
            ]
            if fitting:
                packages = find_packages(fitting[0], universe)
                return ClosedPython(Pins(pin_all(packages, opened)))
        seen.append(f"  {suite}: {', '.join(versions.values()) or 'none'}")
    wanted = f"CPython {specifier}" if specifier else "CPython"
    raise InterpreterError(
        f"no interpreter of Debian is {wanted}; found:\n" + "\n".join(seen),
        hint='ask for one of these, name a suite with interpreter = "debian/SUITE", '
        'or write interpreter = "standalone", which has others',
    )


def pin_standalone(
    archive: "Archive", specifier: str | None, suites: Sequence[str] = ()
) -> ClosedPython:
    """Return the newest interpreter of python-build-standalone that satisfies, pinned.

    Its C library and data are those of Debian, by default of stable.

    :raises InterpreterError: there is none; it says which there are.
    :raises FetchError: a suite is not there, may not be trusted, or no mirror answers.
    """
    from envtool.plan.debian.pinning import open_universe, pin_all
    from envtool.sources.standalone import choose

    found = choose(MACHINES.get(archive.architecture, ("",))[0], specifier)
    with open_universe(archive, suites or _SUITES[:1], refresh=True) as (universe, opened):
        packages = _closure(_SYSTEM, _DATA, universe)
        return ClosedPython(Pins(pin_all(packages, opened), found))


def _versions(universe: "Universe") -> Iterator[tuple[str, str]]:
    """Yield the feature releases that there are, and their versions; the newest first."""
    for minor in range(_NEWEST, _OLDEST - 1, -1):
        for package in universe.named(f"python3.{minor}")[:1]:
            yield f"3.{minor}", upstream(package)


def _reached(roots: Sequence[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    """Return what the roots lead to, without going through what only administers."""
    found: set[str] = set()
    below = list(roots)
    while below:
        name = below.pop()
        if name not in found and name not in _ADMINISTRATION:
            found.add(name)
            below += edges.get(name, ())
    return found
