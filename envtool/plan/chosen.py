"""Choose the interpreter that a declaration asks for: one of the host, or one of our own.

An interpreter of our own is known before any of it is realised: the lock pins what it is made of.
"""

import os
from typing import TYPE_CHECKING

from envtool.errors import InterpreterError
from envtool.formats.locked import Pins
from envtool.machine.settings import Settings
from envtool.plan.derivations import Instantiation
from envtool.plan.instantiate import add_interpreter
from envtool.sources.interpreter import Interpreter, find, satisfies
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import Declaration
    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.debian.archive import Archive

__all__ = ["Chosen", "closed_interpreter", "host_interpreter", "pin", "updates"]


@value
class Chosen:
    """An interpreter, and what it is made of."""

    interpreter: Interpreter
    pins: Pins = Pins()
    drivers: tuple[tuple[str, str], ...] = ()
    """Name and path of libraries of the host's GPU driver that an interpreter of our own loads."""

    @property
    def is_pure(self) -> bool:
        """Say whether it is the same on every machine."""
        return self.pins.source != "host"

    def add(self, made: Instantiation) -> "StorePath":
        """Add its derivations and return the `.drv` path that packages are built with."""
        return self._add(made, (), headers=True)

    def add_entered(self, made: Instantiation) -> "StorePath":
        """Add its derivations and return the `.drv` path of an environment's own interpreter."""
        return self._add(made, self.drivers, headers=False)

    def add_programs(self, made: Instantiation, entered: "StorePath") -> None:
        """Let the environment join its wheels with programs that start where it does.

        `entered` is what `add_entered` returned.
        """
        if self.pins.programs:
            from envtool.plan.closed.programs import add_programs

            add_programs(made, self.pins.programs, entered, self.interpreter)

    def _add(
        self, made: Instantiation, drivers: tuple[tuple[str, str], ...], *, headers: bool
    ) -> "StorePath":
        if not self.is_pure:
            return add_interpreter(made, self.interpreter)
        from envtool.plan.closed.python import ClosedPython, add_closed_interpreter

        return add_closed_interpreter(made, ClosedPython(self.pins), drivers, headers=headers)


def host_interpreter(settings: Settings, specifier: str | None, prefer: str | None) -> Chosen:
    """Return the host's interpreter for a specifier, preferring a feature release.

    :raises InterpreterError: there is none.
    """
    return Chosen(
        find(
            specifier,
            prefer=prefer,
            environ=os.environ,
            cache_path=f"{settings.cache}/interpreters.json",
        )
    )


def closed_interpreter(settings: Settings, pins: Pins, *, host_drivers: bool = False) -> Chosen:
    """Return the interpreter that is made of what a lock pins.

    With `host_drivers` it loads the libraries of the host's GPU driver.

    :raises InterpreterError: that makes none.
    """
    from envtool.plan.closed.python import ClosedPython, add_closed_interpreter, describe

    python = ClosedPython(pins)
    made = Instantiation()
    drivers: tuple[tuple[str, str], ...] = ()
    if host_drivers:
        from envtool.sources.drivers import find_drivers

        drivers = find_drivers(os.uname().machine, settings.driver_folders)
    output = made.output(add_closed_interpreter(made, python, drivers))
    return Chosen(describe(python, f"{settings.store}/{output}"), pins, drivers)


def pin(
    settings: Settings, declaration: "Declaration", former: Pins, *, upgrade: bool = False
) -> Pins:
    """Return what the interpreter of our own that a declaration asks for is made of.

    The `former` one is kept if it still satisfies it; else, or to `upgrade`, it is as its source
    has it now.

    :raises InterpreterError: no source has one that satisfies it.
    :raises FetchError: a suite is not there, may not be trusted, or no mirror answers.
    """
    if not upgrade and _is_kept(former, declaration):
        return former
    from envtool.machine.debian.archive import open_archive
    from envtool.machine.fetching.fetch import Fetcher

    with Fetcher(offline=settings.offline) as fetcher:
        found = _found(open_archive(settings, fetcher), declaration)
    return _merged(found, former)


def _found(archive: "Archive", declaration: "Declaration") -> Pins:
    """Return the interpreter of the first source that has one that satisfies."""
    from envtool.plan.closed.interpreters import pin_interpreter, pin_standalone

    failures: list[InterpreterError] = []
    for source in declaration.closed:
        try:
            if source == "standalone":
                return pin_standalone(archive, declaration.python).pins
            return pin_interpreter(archive, declaration.python, declaration.suites).pins
        except InterpreterError as error:
            failures.append(error)
    raise InterpreterError(
        "\n".join(error.message for error in failures), hint=failures[-1].hint
    ) from failures[-1]


def _merged(found: Pins, former: Pins) -> Pins:
    """Return what was found, but what did not change as the lock has it: of the time it was."""
    before = {(each.name, each.sha256, each.suite): each for each in former.packages}
    packages = (before.get((each.name, each.sha256, each.suite), each) for each in found.packages)
    return Pins(tuple(packages), found.archive)


def updates(former: Pins, now: Pins) -> list[str]:
    """Return a line for each package of the interpreter that its suite has a newer version of."""
    from envtool.formats.debian.suites import release_of

    before = {(each.name, release_of(each.suite)): each.version for each in former.packages}
    found = ((each, before.get((each.name, release_of(each.suite)))) for each in now.packages)
    return [
        f"the interpreter's {each.name}: {version} -> {each.version}"
        for each, version in found
        if version not in {None, each.version}
    ]


def _is_kept(former: Pins, declaration: "Declaration") -> bool:
    from envtool.formats.debian.suites import release_of
    from envtool.plan.closed.interpreters import ALIASES
    from envtool.plan.closed.python import ClosedPython

    if former.source not in declaration.closed:
        return False
    python, specifier, suites = ClosedPython(former), declaration.python, declaration.suites
    fits = specifier is None or satisfies(python.version, specifier)
    # Which codename an alias has is the archive's to say: `envtool lock --upgrade` asks it.
    return fits and (not suites or release_of(suites[0]) == python.suite or suites[0] in ALIASES)
