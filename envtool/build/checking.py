"""Check that an environment is complete: by reading its libraries, and by importing its modules."""

import os
import sys
from collections.abc import Mapping, Sequence

from envtool.build import importing
from envtool.build.importing import Attempt, Importer
from envtool.errors import EnvtoolError, SandboxError
from envtool.formats.generation import Record
from envtool.machine.isolating import sandbox
from envtool.machine.isolating.data import data_views
from envtool.machine.isolating.sandbox import View
from envtool.machine.libraries import libraries_of
from envtool.machine.settings import Settings
from envtool.plan.libraries.completeness import Need, is_driver, judge, lacks
from envtool.plan.libraries.reading import Unpacked, read_wheels
from envtool.reporting import Reporter
from envtool.values import value

__all__ = ["Checked", "Mend", "check"]


@value
class Mend:
    """What provides a library."""

    package: str
    """Of Debian."""
    suite: str
    """Its codename."""
    command: str | None
    """What gets it onto this machine; None where that would not help, or is not known."""
    declaration: str | None
    """A line of the declaration that gets it into the closure of an interpreter of our own."""


@value
class Checked:
    """What was found."""

    files: int
    """ELF files read."""
    lacks: tuple[Need, ...]
    attempts: tuple[Attempt, ...]
    mends: Mapping[str, Mend]
    """By soname; what nobody has is not in it."""
    isolated: bool
    """Modules were imported in an empty root."""

    @property
    def essential(self) -> tuple[Need, ...]:
        """Return the lacks that keep something from working which is not just a plugin."""
        return tuple(one for one in self.lacks if one.essential and not is_driver(one.soname))

    @property
    def failures(self) -> tuple[Attempt, ...]:
        """Return the imports that failed, but for the optional ones."""
        failed = (each for each in self.attempts if each.error is not None)
        return tuple(each for each in failed if each not in self.optional)

    @property
    def optional(self) -> tuple[Attempt, ...]:
        """Return the imports that want a module of a package that nothing requires.

        So it is with parts of a package that are for users of another one. Of such a package
        something else can be imported.
        """
        working = {each.package for each in self.attempts if each.error is None}
        return tuple(
            each
            for each in self.attempts
            if each.wants is not None
            and each.package in working
            and each.wants.partition(".")[0] not in sys.stdlib_module_names
        )

    @property
    def is_complete(self) -> bool:
        """Say whether nothing is missing that matters."""
        return not self.essential and not self.failures


def check(
    settings: Settings,
    record: Record,
    environ: Mapping[str, str],
    reporter: Reporter,
    *,
    libraries: Sequence[str] = (),
    limit: int | None = None,
    suite: str | None = None,
) -> Checked:
    """Check a generation's environment, whose variables `environ` are when it is entered.

    `libraries` are sonames that the declaration says are opened by name. `limit` is how many
    seconds an import may take; None imports nothing. `suite` is Debian's that an interpreter of our
    own is from.

    :raises OSError: a package is not in the store.
    """
    python = f"{settings.store}/{record.environment}/bin/python"
    wheels = [
        Unpacked(each.name, f"{settings.store}/{each.path}", each.requires)
        for each in record.packages
        if each.path is not None
    ]
    machine = libraries_of(python, environ, store=os.path.realpath(settings.store))
    program = machine.open(machine.program) if machine.starts_programs else None
    contents = read_wheels(wheels, libraries, loader=program.interpreter if program else None)
    needs = judge(contents, machine)
    lacking = lacks(needs)
    attempts: tuple[Attempt, ...] = ()
    importer = _importer(settings, record, reporter, environ=environ, limit=limit or 0)
    if limit is not None:
        direct = {each.name for each in record.packages if each.direct}
        modules = _modules([each for each in wheels if each.name in direct])
        attempts = importer.try_all(modules, reporter, jobs=settings.jobs)
    sonames = {one.soname for one in lacking if one.version is None and not is_driver(one.soname)}
    sonames |= {each.soname for each in attempts if each.soname and not is_driver(each.soname)}
    return Checked(
        files=sum(len(each.binaries) for each in contents),
        lacks=lacking,
        attempts=attempts,
        mends=_mends(settings, sonames, reporter, suite=suite),
        isolated=importer.bwrap is not None and limit is not None,
    )


def _modules(wheels: Sequence[Unpacked]) -> list[tuple[str, str]]:
    """Return the modules to try, behind the name of their package."""
    return [(each.name, module) for each in wheels for module in importing.modules(each.folder)]


def _importer(
    settings: Settings,
    record: Record,
    reporter: Reporter,
    *,
    environ: Mapping[str, str],
    limit: int,
) -> Importer:
    """Return what imports: in an empty root if that can be, since the host's is not to matter."""
    python = f"{settings.store}/{record.environment}/bin/python"
    if not record.impure and limit:
        try:
            bwrap = sandbox.require(settings.path)
        except SandboxError as error:
            reporter.note(f"modules are imported in the root of this machine: {error.message}")
        else:
            variables = {**record.variables, "PATH": os.path.dirname(python)}
            bytecode = View(f"{settings.cache}/bytecode")
            views = (View(settings.store), bytecode, *data_views(python))
            return Importer(python, variables, limit, bwrap, views)
    return Importer(python, environ, limit)


def _mends(
    settings: Settings, sonames: set[str], reporter: Reporter, *, suite: str | None
) -> Mapping[str, Mend]:
    """Return which package of Debian has each library; what cannot be looked up is left out.

    `suite` is that of an interpreter of our own; None for the host's.
    """
    if not sonames:
        return {}
    from envtool.machine.debian.archive import open_archive
    from envtool.machine.debian.providers import Providers, host_suite
    from envtool.machine.fetching.fetch import Fetcher

    host = host_suite() if suite is None else None
    asked = suite or host or "stable"
    try:
        with Fetcher(offline=settings.offline) as fetcher:
            found = Providers(open_archive(settings, fetcher), asked).find(sonames)
    except EnvtoolError as error:
        reporter.note(f"who has these libraries cannot be looked up: {error.message}")
        return {}
    return {
        soname: Mend(
            each.package,
            asked,
            f"apt install {each.package}" if host else None,
            f'libraries = ["{soname}"]' if suite else None,
        )
        for soname, each in found.items()
    }
