"""Interpreters of our own: what one is made of, and its derivations.

Of the closure of Debian's `python3.13` only what it runs with is taken: not what Debian administers
it by (dpkg, debconf, …). Added is what wheels expect of any system, the C++ runtime, and data that
Debian leaves to other packages: certificates, terminals, time zones, the locale C.UTF-8. One of
python-build-standalone brings all but these and the C library, which are Debian's there, too.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from envtool.errors import InterpreterError
from envtool.formats.debian.package import DebianPackage, Package, render_locked
from envtool.formats.debian.suites import release_of
from envtool.formats.locked import Pins
from envtool.formats.nix.derivation import Output
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath
from envtool.plan.instantiate import (
    DEBIAN_INTERPRETER,
    FETCH,
    LIBRARIES,
    LOCAL,
    LOCAL_INTERPRETER,
    UNPACK_DEB,
    UNPACK_STANDALONE,
    Instantiation,
    derivation,
    store_name,
)
from envtool.sources.interpreter import Interpreter, satisfies
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.standalone import StandaloneArchive
    from envtool.machine.debian.archive import Archive
    from envtool.plan.debian.universe import Universe

__all__ = [
    "ALIASES",
    "ClosedPython",
    "add_closed_interpreter",
    "add_deb",
    "add_deb_file",
    "data_of",
    "describe",
    "find_packages",
    "multiarch_of",
    "pin_interpreter",
    "pin_standalone",
]

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
_MACHINES = {"amd64": ("x86_64", "x86_64-linux-gnu"), "arm64": ("aarch64", "aarch64-linux-gnu")}
"""Debian's architecture to Linux's machine, and to what stands in names of extension modules."""


@value
class ClosedPython:
    """An interpreter as the lock pins it: all that it is made of."""

    pins: Pins

    @property
    def packages(self) -> tuple[DebianPackage, ...]:
        """Those of Debian, by name."""
        return self.pins.packages

    @property
    def _program(self) -> DebianPackage:
        found = [each for each in self.packages if _PROGRAM(each.name)]
        if len(found) != 1:
            raise InterpreterError(
                f"the lock pins {len(found)} interpreters where one was expected",
                hint="envtool lock --upgrade",
            )
        return found[0]

    @property
    def version(self) -> str:
        """The interpreter's version, `3.13.5`.

        :raises InterpreterError: there is no interpreter among the packages, or more than one.
        """
        archive = self.pins.archive
        return _upstream(self._program) if archive is None else archive.version

    @property
    def feature(self) -> str:
        """The feature release, `3.13`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def suite(self) -> str:
        """The codename of Debian's release that it comes from, or its C library does."""
        own = self._program if self.pins.archive is None else self._libc
        return release_of(own.suite)

    @property
    def architecture(self) -> str:
        """Debian's word, `amd64`."""
        return self._libc.architecture

    @property
    def glibc(self) -> tuple[int, int]:
        """The version of its C library."""
        major, minor = _upstream(self._libc).split(".")[:2]
        return int(major), int(minor)

    @property
    def _libc(self) -> DebianPackage:
        for package in self.packages:
            if package.name == "libc6":
                return package
        raise InterpreterError("the lock pins no libc6", hint="envtool lock --upgrade")

    @property
    def sha256(self) -> str:
        """Of what holds its program, base 16."""
        archive = self.pins.archive
        return self._program.sha256 if archive is None else archive.sha256


_PROGRAM = re.compile(r"python3\.\d+").fullmatch


def _upstream(package: DebianPackage | Package) -> str:
    """Return upstream's part of the version: `3.13.5` of `3.13.5-2+deb13u1`."""
    version = package.version.rpartition(":")[2]
    found = re.match(r"\d+(?:\.\d+)*(?:~?(?:a|b|rc)\d+)?", version)
    return found[0].replace("~", "") if found else version


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

    found = choose(_MACHINES.get(archive.architecture, ("",))[0], specifier)
    with open_universe(archive, suites or _SUITES[:1], refresh=True) as (universe, opened):
        packages = _closure(_SYSTEM, _DATA, universe)
        return ClosedPython(Pins(pin_all(packages, opened), found))


def _versions(universe: "Universe") -> Iterator[tuple[str, str]]:
    """Yield the feature releases that there are, and their versions; the newest first."""
    for minor in range(_NEWEST, _OLDEST - 1, -1):
        for package in universe.named(f"python3.{minor}")[:1]:
            yield f"3.{minor}", _upstream(package)


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


def add_closed_interpreter(
    made: Instantiation,
    python: ClosedPython,
    drivers: Sequence[tuple[str, str]] = (),
    *,
    headers: bool = False,
) -> StorePath:
    """Add the interpreter and return the `.drv` path of its program on this machine.

    One fetch and one unpack per .deb, one object that holds for every machine, one that is local,
    which leads to the host's GPU `drivers`, too (`envtool.sources.drivers`). With `headers` it is
    one to build packages with.
    """
    machine, abi = _machine(python)
    system = f"{machine}-linux"
    unpacked = [add_deb(made, package) for package in python.packages]
    if python.pins.archive is not None:
        unpacked.append(_unpack_standalone(made, python.pins.archive))
    variables = {
        "packages": json.dumps([made.output(path).full() for path in unpacked]),
        "feature": python.feature,
    }
    name = store_name(f"cpython-{python.version}-{python.pins.source}")
    closed = made.add(derivation(name, DEBIAN_INTERPRETER, variables, unpacked, system=system))
    variables = {
        LOCAL: "1",
        "closed": made.output(closed).full(),
        "version": python.version,
        "abi": abi,
    }
    if drivers:
        variables["drivers"] = json.dumps(dict(drivers), sort_keys=True)
    inputs = [closed]
    if python.pins.libraries:
        inputs.append(_add_libraries(made, python, system))
        variables["libraries"] = made.output(inputs[-1]).full()
    if headers and python.pins.headers:
        inputs += [add_deb(made, each) for each in python.pins.headers]
        found = [made.output(path).full() for path in inputs[-len(python.pins.headers) :]]
        variables["headers"] = json.dumps(found)
    name = store_name(f"cpython-{python.version}-local")
    return made.add(derivation(name, LOCAL_INTERPRETER, variables, inputs, system=system))


def _add_libraries(made: Instantiation, python: ClosedPython, system: str) -> StorePath:
    """Add what joins the libraries that wheels need."""
    unpacked = [add_deb(made, each.package) for each in python.pins.libraries]
    variables = {
        "packages": json.dumps([made.output(path).full() for path in unpacked]),
        "multiarch": multiarch_of(python.packages),
    }
    return made.add(derivation("libraries", LIBRARIES, variables, unpacked, system=system))


def multiarch_of(packages: Sequence[DebianPackage]) -> str:
    """Return the word in folders of libraries, `x86_64-linux-gnu`, for an interpreter's packages.

    :raises InterpreterError: the architecture is not supported.
    """
    return _multiarch(ClosedPython(Pins(tuple(packages))).architecture)[1]


def _machine(python: ClosedPython) -> tuple[str, str]:
    """Return the machine, and the ABI in the names of extension modules."""
    machine, multiarch = _multiarch(python.architecture)
    return machine, f"cpython-{python.feature.replace('.', '')}-{multiarch}"


def _multiarch(architecture: str) -> tuple[str, str]:
    machine, multiarch = _MACHINES.get(architecture, ("", ""))
    if not machine:
        raise InterpreterError(
            f"Debian's interpreters for {architecture} are not supported; "
            f"expected one of {', '.join(sorted(_MACHINES))}"
        )
    return machine, multiarch


def add_deb(made: Instantiation, package: DebianPackage) -> StorePath:
    """Add a package of Debian and return the `.drv` path of what unpacks it."""
    fetch = add_deb_file(made, package)
    variables = {"src": made.output(fetch).full(), "deb": package.filename}
    name = store_name(f"{package.name}-{package.version}")
    return made.add(derivation(name, UNPACK_DEB, variables, [fetch]))


def add_deb_file(made: Instantiation, package: DebianPackage) -> StorePath:
    """Add the fetch of a .deb and return its `.drv` path."""
    digest = Hash("sha256", bytes.fromhex(package.sha256))
    variables = {
        # Where it can be had is each machine's own affair: mirrors come and go.
        "debian": json.dumps(render_locked(package), sort_keys=True),
        "outputHash": package.sha256,
        "outputHashAlgo": "sha256",
        "outputHashMode": "flat",
        "size": str(package.size),
    }
    output = Output(None, fixed=digest)
    return made.add(derivation(store_name(package.filename), FETCH, variables, output=output))


def _unpack_standalone(made: Instantiation, archive: "StandaloneArchive") -> StorePath:
    variables = {
        "url": archive.url,
        "standalone": archive.below,
        "outputHash": archive.sha256,
        "outputHashAlgo": "sha256",
        "outputHashMode": "flat",
    }
    output = Output(None, fixed=Hash("sha256", bytes.fromhex(archive.sha256)))
    fetch = made.add(derivation(store_name(archive.filename), FETCH, variables, output=output))
    variables = {"src": made.output(fetch).full(), "archive": archive.filename}
    name = store_name(f"python-build-standalone-{archive.version}")
    return made.add(derivation(name, UNPACK_STANDALONE, variables, [fetch]))


def describe(python: ClosedPython, physical: str) -> Interpreter:
    """Return what the rest of envtool knows of an interpreter; nothing of it need be realised.

    `physical` is where the output of `add_closed_interpreter` lies on this machine.
    """
    machine, soabi = _machine(python)
    packages = f"lib/python{python.feature}/site-packages"
    return Interpreter(
        executable=f"{physical}/bin/python{python.feature}",
        version=python.version,
        feature=python.feature,
        implementation="cpython",
        abi=f"cp{python.feature.replace('.', '')}",
        soabi=soabi,
        machine=machine,
        glibc=python.glibc,
        platlibdir="lib",
        stdlib=f"{physical}/lib/python{python.feature}",
        purelib=packages,
        platlib=packages,
        sha256=python.sha256,
    )
