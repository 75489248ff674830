"""Interpreters of our own, as a lock pins them, and the derivations that make one."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envtool.errors import InterpreterError
from envtool.formats.debian.package import DebianPackage, Package, render_locked
from envtool.formats.debian.suites import release_of
from envtool.formats.locked import Pins
from envtool.formats.nix.derivation import Output
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath
from envtool.plan.derivations import (
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
from envtool.sources.interpreter import Interpreter
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.standalone import StandaloneArchive

__all__ = [
    "MACHINES",
    "ClosedPython",
    "add_closed_interpreter",
    "add_deb",
    "add_deb_file",
    "describe",
    "multiarch_of",
    "upstream",
]

MACHINES = {"amd64": ("x86_64", "x86_64-linux-gnu"), "arm64": ("aarch64", "aarch64-linux-gnu")}
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
        return upstream(self._program) if archive is None else archive.version

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
        major, minor = upstream(self._libc).split(".")[:2]
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


def upstream(package: DebianPackage | Package) -> str:
    """Return upstream's part of the version: `3.13.5` of `3.13.5-2+deb13u1`."""
    version = package.version.rpartition(":")[2]
    found = re.match(r"\d+(?:\.\d+)*(?:~?(?:a|b|rc)\d+)?", version)
    return found[0].replace("~", "") if found else version


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
    machine, multiarch = MACHINES.get(architecture, ("", ""))
    if not machine:
        raise InterpreterError(
            f"Debian's interpreters for {architecture} are not supported; "
            f"expected one of {', '.join(sorted(MACHINES))}"
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
