"""Choose the interpreter that a declaration asks for: one of the host, or one of Debian's.

An interpreter of Debian is known before any of it is realised: the lock pins what it is made of.
"""

import os
from typing import TYPE_CHECKING

from envtool.machine.settings import Settings
from envtool.plan.instantiate import Instantiation, add_interpreter
from envtool.sources.interpreter import Interpreter, find, satisfies
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.debian.package import DebianPackage
    from envtool.formats.declarations.declaration import Declaration
    from envtool.formats.nix.storepath import StorePath

__all__ = ["Chosen", "closed_interpreter", "host_interpreter", "pin"]


@value
class Chosen:
    """An interpreter, and what it is made of."""

    interpreter: Interpreter
    packages: "tuple[DebianPackage, ...]" = ()
    """Of Debian; none for the host's."""

    @property
    def is_pure(self) -> bool:
        """Say whether it is the same on every machine."""
        return bool(self.packages)

    def add(self, made: Instantiation) -> "StorePath":
        """Add its derivations and return the `.drv` path that environments build on."""
        if not self.packages:
            return add_interpreter(made, self.interpreter)
        from envtool.plan.closed import ClosedPython, add_closed_interpreter

        return add_closed_interpreter(made, ClosedPython(self.packages))


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


def closed_interpreter(settings: Settings, packages: "tuple[DebianPackage, ...]") -> Chosen:
    """Return the interpreter that is made of these packages of Debian.

    :raises InterpreterError: they make none.
    """
    from envtool.plan.closed import ClosedPython, add_closed_interpreter, describe

    python = ClosedPython(packages)
    made = Instantiation()
    output = made.output(add_closed_interpreter(made, python))
    return Chosen(describe(python, f"{settings.store}/{output}"), packages)


def pin(
    settings: Settings,
    declaration: "Declaration",
    former: "tuple[DebianPackage, ...]" = (),
    *,
    upgrade: bool = False,
) -> Chosen:
    """Return the interpreter of Debian that a declaration asks for.

    The `former` one is kept if it still satisfies it; else, or to `upgrade`, it is as Debian's
    archive has it now.

    :raises InterpreterError: the suites have none that satisfies it.
    :raises FetchError: a suite is not there, may not be trusted, or no mirror answers.
    """
    suites = declaration.debian or ()
    if former and not upgrade and _is_kept(former, declaration.python, suites):
        return closed_interpreter(settings, former)
    from envtool.machine.debian.archive import open_archive
    from envtool.machine.fetching.fetch import Fetcher
    from envtool.plan.closed import pin_interpreter

    with Fetcher(offline=settings.offline) as fetcher:
        found = pin_interpreter(open_archive(settings, fetcher), declaration.python, suites)
    return closed_interpreter(settings, _merged(found.packages, former))


def _merged(
    found: "tuple[DebianPackage, ...]", former: "tuple[DebianPackage, ...]"
) -> "tuple[DebianPackage, ...]":
    """Return what was found, but what did not change as the lock has it: of the time it was."""
    before = {(each.name, each.sha256, each.suite): each for each in former}
    return tuple(before.get((each.name, each.sha256, each.suite), each) for each in found)


def _is_kept(
    former: "tuple[DebianPackage, ...]", specifier: str | None, suites: tuple[str, ...]
) -> bool:
    from envtool.plan.closed import ALIASES, ClosedPython

    python = ClosedPython(former)
    fits = specifier is None or satisfies(python.version, specifier)
    # Which codename an alias has is the archive's to say: `envtool lock --upgrade` asks it.
    return fits and (not suites or suites[0] == python.suite or suites[0] in ALIASES)
