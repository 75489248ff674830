"""The one object that the faces use: from a declaration to a generation, and what follows.

Composition only: each step is one of the floors below. What `envtool run` needs of it (opening a
project, its current generation, the change of variables) imports nothing heavy, so the imports of
everything else stand in the methods.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from envtool.errors import LockError, ProfileError
from envtool.formats import entry
from envtool.formats.activation import EnvironmentChange, change
from envtool.formats.changes import Changes, compare
from envtool.formats.generation import Package, Record
from envtool.formats.outcomes import Generation, Pending, Plan
from envtool.machine import profile as profiles
from envtool.machine import project as projects
from envtool.machine.profile import Profile, profile_of
from envtool.machine.project import Project
from envtool.machine.settings import Settings
from envtool.reporting import Reporter, SilentReporter

if TYPE_CHECKING:
    from envtool.build.checking import Checked
    from envtool.formats.declarations.declaration import PathSource
    from envtool.formats.lock import Lock
    from envtool.formats.locked import LockedLibrary
    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.collecting.gc import Collected, GcPlan
    from envtool.machine.collecting.retention import Pruned, Retention
    from envtool.machine.consent import Consent
    from envtool.machine.fetching.fetch import Fetcher
    from envtool.machine.store import Store
    from envtool.plan.answer import Answer, Request
    from envtool.plan.auditing import Audit
    from envtool.plan.evaluate import Evaluation
    from envtool.plan.exporting import ExportForm

__all__ = [
    "Changes",
    "Generation",
    "Package",
    "Pending",
    "Plan",
    "Project",
    "Record",
    "Workspace",
    "compare",
    "open_project",
]


def open_project(start: str, *, file: str | None = None, environment: str = "default") -> Project:
    """Return the project that holds in the folder `start`, or that of an explicit file.

    :raises DeclarationError: there is none.
    """
    path, kind = projects.find(start, file=file)
    return Project(path, kind, environment)


class Workspace:
    """A root, and what can be done in it."""

    def __init__(self, settings: Settings, reporter: Reporter | None = None) -> None:
        self.settings = settings
        self.reporter = reporter or SilentReporter()
        self._store: Store | None = None
        self._held: list[int] = []
        """Descriptors of environments that are about to be entered."""

    @property
    def store(self) -> "Store":
        """The store, opened at first use."""
        from envtool.machine.store import Store

        if self._store is None:
            self._store = Store(self.settings)
        return self._store

    def physical(self, path: "StorePath") -> str:
        """Return where a store path lies on this machine."""
        return f"{self.settings.store}/{path}"

    # Entering: nothing heavy

    def profile(self, project: Project) -> Profile:
        """Return the profile of the project's environment; it may have no generation yet."""
        return profile_of(self.settings, project.path, project.environment)

    def current(self, project: Project) -> tuple[int, Record] | None:
        """Return number and record of the current generation; None when there is none yet."""
        generation = self.profile(project).current()
        if generation is None:
            return None
        return generation.number, self.record(generation.path)

    def generation(self, project: Project, number: int) -> tuple[int, Record]:
        """Return number and record of one of the project's generations.

        :raises ProfileError: there is none of this number, or its object is gone.
        """
        profile = self.profile(project)
        return number, self.record(profile.generation(number).path)

    def is_made_up(self, project: Project) -> bool:
        """Return whether the project was made up from words, so that nothing of it is kept."""
        return profiles.is_made_up(self.settings, project.path)

    def record(self, path: "StorePath") -> Record:
        """Return the record of a generation's store object.

        :raises ProfileError: the object is gone or is no generation.
        """
        from envtool.formats import generation

        place = f"{self.physical(path)}/{generation.RECORD}"
        try:
            with open(place, "rb") as file:
                return generation.parse(file.read(), place)
        except OSError as error:
            raise ProfileError(
                f"{place} cannot be read: {error.strerror}",
                hint="make a new generation: envtool switch",
            ) from error

    def _last_record(self, project: Project) -> Record | None:
        """Return the current generation's record; None when there is none, or it was lost."""
        try:
            current = self.current(project)
        except ProfileError:
            return None
        return current[1] if current else None

    def drifted(self, project: Project, record: Record) -> bool:
        """Say whether the declaration is not the one that the generation came from.

        Comments count as changes only where they change what is asked for.
        """
        text = projects.declaration_text(project.path, project.kind)
        if _sha256(text) == record.declaration_sha256:
            return False
        from envtool.machine.local import answered_digest

        declaration = projects.read(project.path, project.kind, project.environment)
        same = answered_digest(declaration) == record.lock_digest
        return not same or dict(declaration.variables) != record.variables

    def activation(
        self, record: Record, number: int | None, project: Project, *, declared: bool = True
    ) -> EnvironmentChange:
        """Return the change of variables that enters a generation, and keep it from collectors.

        That lasts until this process becomes another, whose variables then do. What the
        declaration itself sets is left out unless `declared`. Without a number it is no generation
        but a trial.

        :raises ProfileError: its Python is gone; the host's would be taken instead.
        """
        environment = self.physical(record.environment)
        # No link keeps what was made up: it has to be open before a collector looks again.
        with self.store.shared() if self.is_made_up(project) else nullcontext():
            if number is not None:
                self._hold(environment, number, project)
        name = "test" if number is None else str(number)
        python = f"{entry.programs(environment)}/python"
        if not os.path.exists(python):
            raise ProfileError(
                f"generation {name} cannot be entered: {os.path.realpath(python)} is not there",
                hint="realise it again: envtool switch",
            )
        variables = record.variables if declared else {}
        return change(
            assign=entry.assigned(environment, name, project.folder, variables),
            unset=entry.REMOVED,
            prepend={"PATH": [entry.programs(environment), *self._system_programs(record)]},
        )

    def declaration_digest(self, project: Project) -> str:
        """Return the SHA-256 of what the file declares, in base 16, as records have it."""
        return _sha256(projects.declaration_text(project.path, project.kind))

    def allow(self, project: Project) -> tuple[dict[str, str], str | None]:
        """Let the declaration as it is, and its current generation, lead the user's shells.

        Return the variables and the hook that are let in.

        :raises DeclarationError: the file cannot be read, or with all its faults.
        """
        declaration = projects.read(project.path, project.kind, project.environment)
        record = self._last_record(project)
        digests = {self.declaration_digest(project)}
        for digest in digests | ({record.declaration_sha256} if record else set()):
            self._consent(project).allow(digest)
        return dict(declaration.variables), declaration.hook

    def deny(self, project: Project) -> None:
        """Let nothing of the declaration lead the user's shells."""
        self._consent(project).deny()

    def _consent(self, project: Project) -> "Consent":
        from envtool.machine.consent import Consent

        return Consent(self.settings, project.path)

    def _keep_consent(self, project: Project, before: str, after: str) -> None:
        """Allow what the user's own edit made of a declaration that was allowed."""
        consent = self._consent(project)
        old, new = (
            _sha256(projects.declaration_text(project.path, project.kind, text=text))
            for text in (before, after)
        )
        if consent.verdict(old) == "allowed":
            consent.allow(new)

    def _open(self, environment: str) -> None:
        with suppress(OSError):
            self._held.append(os.open(environment, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def _system_programs(self, record: Record) -> Sequence[str]:
        """Return what follows on PATH; in a system root they are its own."""
        return () if record.system is None else entry.SYSTEM_PROGRAMS

    def system(self, record: Record) -> str | None:
        """Return where the generation's system root lies; None when it has the host's.

        :raises ProfileError: it is gone.
        """
        if record.system is None:
            return None
        place = self.physical(record.system)
        if not os.path.isdir(f"{place}/usr"):
            raise ProfileError(
                f"the system root {place} is not there", hint="realise it again: envtool switch"
            )
        return place

    def _hold(self, environment: str, number: int, project: Project) -> None:
        """Have the environment open, and see that its generation was not deleted before that.

        A collector looks at links, then at what processes have open (`machine.collecting.gc`).
        """
        self._open(environment)
        try:
            os.readlink(self.profile(project).generation_link(number))
        except FileNotFoundError as error:
            raise ProfileError(
                f"generation {number} cannot be entered: it was deleted a moment ago",
                hint="run the same command again",
            ) from error
        except OSError:
            return  # what cannot be read was not deleted either

    # From a declaration to a generation

    def lock(
        self,
        project: Project,
        *,
        upgrade: bool | Sequence[str] = False,
        exclude_newer: str | None = None,
    ) -> "tuple[Lock, Changes | None]":
        """Bring the lock up to date and write it; the changes are None when there were none.

        A lock that is damaged, or for a Python that is not here, is written anew.

        :raises ResolutionError: the requirements cannot be satisfied.
        :raises LockError: the lock cannot be written.
        """
        from envtool.formats.requires import locked_packages
        from envtool.plan.answer import Request, answer

        try:
            before = self._written_lock(project)
        except LockError:
            before = None
        request = Request(upgrade, exclude_newer, repair=True)
        asked = self._completed(answer(self.settings, self.reporter, project, request=request))
        lock = asked.lock()
        if not asked.changed:
            return lock, None
        self._write_lock(project, asked)
        former = locked_packages(before) if before else []
        python = (before.python.version if before else None, lock.python.version)
        return lock, compare(former, locked_packages(lock), python)

    def export(self, project: Project, form: "ExportForm", *, hashes: bool = True) -> str:
        """Return the lock in the form of another tool; `hashes` is for requirements only.

        :raises LockError: there is no lock, it is stale, or the form cannot hold it.
        """
        from envtool.plan.exporting import export

        self.check_lock(project)
        lock = self._written_lock(project)
        assert lock is not None, "it was checked"
        declaration = projects.read(project.path, project.kind, project.environment)
        return export(lock, declaration, form, hashes=hashes)

    def check_lock(self, project: Project) -> None:
        """Check that the lock answers the declaration.

        :raises LockError: it is missing or stale.
        """
        from envtool.machine.local import answered_digest

        declaration = projects.read(project.path, project.kind, project.environment)
        lock = self._written_lock(project)
        name = os.path.basename(project.path)
        if lock is None:
            raise LockError(f"{name} has no lock", hint="envtool lock")
        if lock.declaration != answered_digest(declaration):
            raise LockError(f"the lock is not for {name} as it is now", hint="envtool lock")

    def plan(self, project: Project) -> Plan:
        """Return what `switch` would do; a stale lock is resolved in memory only."""
        from envtool.build.missing import missing

        asked = self._answer(project)
        if asked.resolved and asked.python.is_pure:
            self.reporter.note("which libraries of Debian come along is seen when it is locked")
        with self.store.using(self.reporter.note):
            planned = self._evaluate(asked)
            todo = missing(self.store, planned.made.derivations, [planned.environment])
        fetch = [_pending(planned, path) for path in todo.fetch]
        sizes = [pending.size for pending in fetch]
        record = self._last_record(project)
        return Plan(
            environment=planned.output,
            fetch=tuple(fetch),
            build=tuple(_pending(planned, path) for path in todo.build),
            changes=_changes(record, self._packages(planned), asked.interpreter.version),
            fetch_size=None if None in sizes else sum(size for size in sizes if size),
            lock_changed=asked.changed,
            up_to_date=record is not None
            and record.environment == planned.output
            and not (todo.fetch or todo.build),
        )

    def build(self, project: Project) -> "StorePath":
        """Realise the environment, write the lock, and return the environment's store path."""
        asked = self._completed(self._answer(project))
        with self.store.using(self.reporter.note):
            planned = self._evaluate(asked)
            self._realise(asked, planned)
        if asked.changed:
            self._write_lock(project, asked)
        return planned.output

    def switch(self, project: Project, *, save_lock: bool = True) -> tuple[Generation, bool]:
        """Make the environment that is asked for the current generation.

        Return it, and whether it is a new one. Without `save_lock` a new lock is kept in the
        generation only: the declaration's folder, or notebook, is not written to.
        """
        asked = self._completed(self._answer(project))
        return self._switch(project, asked, None, save_lock=save_lock)

    def upgrade(
        self, project: Project, names: Sequence[str] = (), *, exclude_newer: str | None = None
    ) -> tuple[Generation, bool]:
        """Lock newer versions, of all packages or of these, and switch.

        :raises LockError: a name is not in the lock.
        """
        from envtool.plan.answer import Request

        self._check_locked(project, names)
        request = Request(tuple(names) or True, exclude_newer)
        asked = self._completed(self._answer(project, request=request))
        return self._switch(project, asked, None)

    def outdated(
        self, project: Project, names: Sequence[str] = (), *, exclude_newer: str | None = None
    ) -> Changes:
        """Return what `upgrade` would change in the lock; nothing is fetched or written.

        :raises LockError: there is no lock, or a name is not in it.
        """
        from envtool.formats.requires import locked_packages
        from envtool.plan.answer import Request

        before = self._check_locked(project, names)
        request = Request(tuple(names) or True, exclude_newer)
        after = self._answer(project, request=request).lock()
        python = (before.python.version, after.python.version)
        return compare(locked_packages(before), locked_packages(after), python)

    def _check_locked(self, project: Project, names: Sequence[str]) -> "Lock":
        """Return the written lock, if it has all of these packages.

        :raises LockError: there is none, or it lacks one.
        """
        from envtool.formats.declarations.requirement import normalised

        lock = self._written_lock(project)
        if lock is None:
            raise LockError("there is no lock yet, so nothing to upgrade", hint="envtool switch")
        known = {package.name for package in lock.packages}
        for name in names:
            if normalised(name) not in known:
                from difflib import get_close_matches

                near = get_close_matches(normalised(name), known, 1)
                hint = f"did you mean {near[0]}?" if near else f"envtool add {name}"
                raise LockError(f"the lock has no package {name}", hint=hint)
        return lock

    def trial(self, project: Project) -> Record:
        """Realise what is asked for and return its record; no generation, no lock is made.

        It is kept from collectors until this process ends or becomes another.
        """
        asked = self._answer(project)
        with self.store.using(self.reporter.note):
            planned = self._evaluate(asked)
            self._realise(asked, planned)
            self._open(self.physical(planned.output))
            return self._record(asked, planned)

    def add(
        self, project: Project, requirements: Sequence[str], *, editable: bool = False
    ) -> tuple[Generation, bool]:
        """Add requirements to the declaration, lock and switch; `.` and `./…` are local projects.

        Nothing is written before the new environment is realised.
        """
        from envtool.formats.declarations.edit import add_requirements

        named, sources = self._local(project, requirements, editable=editable)

        def edit(text: str) -> str:
            return add_requirements(
                text,
                kind=project.kind,
                requirements=named,
                environment=project.environment,
                sources=sources,
                file=project.path,
            )

        return self._edit(project, edit)

    def remove(self, project: Project, names: Sequence[str]) -> tuple[Generation, bool]:
        """Remove requirements from the declaration, lock and switch."""
        from envtool.formats.declarations.edit import remove_requirements

        def edit(text: str) -> str:
            return remove_requirements(
                text,
                kind=project.kind,
                names=names,
                environment=project.environment,
                file=project.path,
            )

        return self._edit(project, edit)

    def declare(self, project: Project, declared: str) -> tuple[Generation, bool]:
        """Replace the declaration by another one's TOML, lock and switch."""
        from envtool.formats.declarations.edit import replace_declaration

        def edit(text: str) -> str:
            return replace_declaration(text, declared, kind=project.kind, file=project.path)

        return self._edit(project, edit)

    # Data

    def fetch(
        self, url: str, sha256: str | None, *, project: Project | None = None
    ) -> "tuple[StorePath, str]":
        """Put a file of the network into the store; return its path and its hash (SRI).

        With its hash it is a fixed output, fetched only if it is not there yet. A project keeps it
        for as long as its declaration exists.

        :raises FetchError: it does not arrive, or is another one.
        """
        from envtool.build.data import fetch_data
        from envtool.machine.collecting.data import keep

        with self.store.using(self.reporter.note), self._fetcher() as fetcher:
            path, found = fetch_data(self.store, fetcher, self.reporter, url, sha256)
            if project is not None:
                with self.store.shared(self.reporter.note):
                    keep(self.settings, project.path, path)
        return path, found.sri

    # Generations

    def difference(
        self, project: Project, before: int | None = None, after: int | None = None
    ) -> tuple[int, int, Changes]:
        """Compare two generations, by default the current one with the one before it.

        Return their numbers and what changed. Given one number only, the other is the current one.

        :raises ProfileError: there is no such generation.
        """
        found = {each.number: each.path for each in self.profile(project).generations()}
        current = self.current(project)
        if after is None:
            after = current[0] if current else 0
        if before is None:
            before = max((number for number in found if number < after), default=after)
        for number in (before, after):
            if number not in found:
                raise ProfileError(f"there is no generation {number}", hint="envtool generations")
        old, new = self.record(found[before]), self.record(found[after])
        return before, after, compare(old.packages, new.packages, (old.python, new.python))

    def generations(self, project: Project) -> list[Generation]:
        """Return the project's generations, oldest first, but for those whose object is lost."""
        from envtool.machine.collecting.roots import users

        used = users(self.settings)
        found: list[Generation] = []
        profile = self.profile(project)
        current = profile.current()
        before: Record | None = None
        for each in profile.generations():
            try:
                record = self.record(each.path)
            except ProfileError as error:
                self.reporter.note(f"generation {each.number} is lost: {error.message}")
                continue
            python = (before.python if before else None, record.python)
            found.append(
                Generation(
                    number=each.number,
                    path=each.path,
                    created=each.created,
                    current=current is not None and each.number == current.number,
                    record=record,
                    changes=compare(before.packages if before else (), record.packages, python),
                    size=self._closure_size(each.path),
                    used_by=tuple(used.get(record.environment, ())),
                )
            )
            before = record
        return found

    def rollback(self, project: Project, number: int | None = None) -> tuple[int, int]:
        """Make an earlier generation (or number N) current; return the numbers from and to.

        :raises ProfileError: there is no such generation.
        """
        profile = self.profile(project)
        if number is None:
            former, now = profile.roll_back()
            return former.number, now.number
        current = profile.current()
        now = profile.switch(number)
        return current.number if current else now.number, now.number

    def sizes(self, project: Project, numbers: Iterable[int]) -> list[int]:
        """Return the bytes of the closures of these generations."""
        profile = self.profile(project)
        return [self._closure_size(profile.generation(number).path) for number in numbers]

    def check_files(self, project: Project) -> None:
        """Check that `restore_files` loses nothing.

        :raises ProfileError: the declaration as it is now is in no generation.
        """
        paths = [each.path for each in self.profile(project).generations()]
        declared = {self.record(path).declaration_sha256 for path in paths}
        if self.declaration_digest(project) not in declared:
            raise ProfileError(
                f"{project.path} as it is now is in no generation, and would be lost",
                hint="envtool switch makes one of it",
            )

    def restore_files(self, project: Project) -> list[str]:
        """Write declaration and lock as the current generation had them; return what was written.

        What is there is overwritten (`check_files`).
        """
        from envtool.formats import generation

        number, record = self._present(project)
        folder = self.physical(self.profile(project).generation(number).path)
        texts = []
        for name in (generation.DECLARATION, generation.LOCK):
            with open(f"{folder}/{name}", encoding="utf-8", errors="surrogatepass") as file:
                texts.append(file.read())
        written = []
        if self.declaration_digest(project) != record.declaration_sha256:
            before = projects.read_text(project.path)
            after = _with_declaration(before, texts[0], project)
            projects.replace_declaration(project.path, before, after)
            written.append(project.path)
        if projects.read_lock_text(project.path, project.kind, project.environment) != texts[1]:
            place = (project.path, project.kind, project.environment)
            written.append(projects.write_lock_text(*place, texts[1]))
        return written

    def _present(self, project: Project) -> tuple[int, Record]:
        current = self.current(project)
        if current is None:
            raise ProfileError("there is no generation yet", hint="envtool switch")
        return current

    def delete_generations(
        self, project: Project, numbers: Iterable[int], *, dry_run: bool = False
    ) -> "list[Pruned]":
        """Forget the generations of these numbers; return them.

        :raises ProfileError: one is the current generation or does not exist; then none goes.
        """
        from envtool.machine.collecting.retention import Pruned

        profile, chosen = self.profile(project), sorted(set(numbers))
        (profile.check_deletion if dry_run else profile.delete)(chosen)
        return [
            Pruned(project.path, profile.name, number, profile.generation_link(number))
            for number in chosen
        ]

    def tree(self, project: Project) -> list[Package]:
        """Return the packages of the current generation, or of the lock before there is one.

        :raises LockError: there is neither.
        """
        current = self.current(project)
        if current is not None:
            return list(current[1].packages)
        lock = self._written_lock(project)
        if lock is None:
            raise LockError("there is neither a generation nor a lock yet", hint="envtool switch")
        from envtool.formats.requires import locked_packages

        return locked_packages(lock)

    def why(self, project: Project, name: str) -> list[tuple[str, ...]]:
        """Return the chains of names that lead from what the declaration asks for to `name`.

        Shortest first; empty when the environment does not have it. It may be a package of Debian
        that joined the lock because of a library (`asked_libraries` says which).
        """
        from envtool.formats.declarations.requirement import normalised
        from envtool.formats.requires import chains, with_libraries

        packages = with_libraries(self.tree(project), self._libraries(project))
        found = chains(packages, normalised(name))
        # Debian's names have signs that those of Python packages do not: `libglib2.0-0`.
        return found or chains(packages, name)

    def asked_libraries(self, project: Project) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Return for which sonames a package asks a package of Debian, by both names."""
        from envtool.formats.requires import askers

        return askers(self._libraries(project))

    def _libraries(self, project: Project) -> "tuple[LockedLibrary, ...]":
        """Return the packages of Debian that the lock has because of libraries."""
        lock = self._written_lock(project)
        return () if lock is None else lock.python.pins.libraries

    def audit(self, project: Project, database: str) -> "Audit":
        """Return which packages of the current generation, or of the lock, are vulnerable.

        :raises LockError: there is neither.
        """
        from envtool.plan.auditing import audit

        return audit(self.settings, self.tree(project), database)

    def check(self, project: Project, *, limit: int | None) -> "Checked":
        """Check that the current generation is complete; the first one is made if there is none.

        `limit` is how many seconds an import may take; None imports nothing.

        :raises ProfileError: a package of it is gone.
        """
        from envtool.build.checking import check

        if self.current(project) is None:
            self.switch(project)
        current = self.current(project)
        assert current is not None, "switching leaves a current generation"
        number, record = current
        environ = self.activation(record, number, project).apply(os.environ)
        declaration = projects.read(project.path, project.kind, project.environment)
        try:
            return check(
                self.settings,
                record,
                environ,
                self.reporter,
                libraries=declaration.libraries,
                limit=limit,
            )
        except OSError as error:
            raise ProfileError(
                f"generation {number} cannot be checked: {error.filename} cannot be read: "
                f"{error.strerror}",
                hint="realise it again: envtool switch",
            ) from error

    # Collecting

    def prune(
        self, retention: "Retention", project: Project | None = None, *, dry_run: bool = False
    ) -> "list[Pruned]":
        """Forget generations that may go, of one project's environment or of all of the root.

        Return them; `dry_run` changes nothing.

        :raises ProfileError: a profile cannot be changed.
        """
        from envtool.machine.collecting import retention as retaining

        if project is None:
            profiles = retaining.find_profiles(self.settings)
        else:
            profiles = iter([(os.path.abspath(project.path), self.profile(project))])
        return retaining.prune(profiles, retention, time.time(), dry_run=dry_run)

    def forget_gone(self, *, dry_run: bool = False) -> "list[Pruned]":
        """Forget all generations of environments whose declaration is gone; return them."""
        from envtool.machine.collecting import data
        from envtool.machine.collecting.retention import forget_gone

        if not dry_run:
            data.forget_gone(self.settings)
        return forget_gone(self.settings, dry_run=dry_run)

    def gc_plan(self, pruned: "Iterable[Pruned]" = (), *, max_freed: int | None = None) -> "GcPlan":
        """Return what nothing needs any more, once these generations are forgotten."""
        from envtool.machine.collecting import gc
        from envtool.machine.collecting.roots import find_roots

        links = {each.link for each in pruned}
        roots = [root for root in find_roots(self.settings) if root.source not in links]
        return gc.plan(self.store, roots, max_freed=max_freed)

    def collect(self, *, max_freed: int | None = None) -> "Collected":
        """Delete what nothing needs any more; with `max_freed` no more than frees so many bytes."""
        from envtool.machine.collecting import gc
        from envtool.reporting import Step

        def expect(count: int, size: int) -> None:
            self.reporter.expect("collect", count, size)

        def deleted(name: str, size: int) -> None:
            step = Step("collect", name, size)
            self.reporter.start(step)
            self.reporter.advance(step, size)
            self.reporter.finish(step)

        return gc.collect(
            self.store,
            max_freed=max_freed,
            on_found=expect,
            on_deleted=deleted,
            on_wait=self.reporter.note,
        )

    # Steps

    def _edit(self, project: Project, edit: Callable[[str], str]) -> tuple[Generation, bool]:
        """Switch to what an edited declaration asks for, one editing process at a time.

        :raises DeclarationError: somebody else, such as an editor, wrote the file meanwhile.
        """
        from envtool.machine.disk import disk_errors
        from envtool.machine.locks import file_lock

        folder = self.profile(project).directory
        with disk_errors(f"lock {project.path}"):
            os.makedirs(folder, exist_ok=True)
        with file_lock(f"{folder}/.edit.lock", project.path, on_wait=self.reporter.note):
            before = projects.read_text(project.path)
            text = edit(before)
            asked = self._completed(self._answer(project, text))
            switched = self._switch(project, asked, (before, text))
        self._keep_consent(project, before, text)
        return switched

    def _evaluate(self, asked: "Answer") -> "Evaluation":
        from envtool.plan.evaluate import evaluate

        return evaluate(asked, self.store)

    def _answer(
        self, project: Project, text: str | None = None, request: "Request | None" = None
    ) -> "Answer":
        from envtool.plan.answer import answer

        return answer(self.settings, self.reporter, project, text=text, request=request)

    def _completed(self, asked: "Answer") -> "Answer":
        """Return the answer with the libraries in its lock that an interpreter of our own lacks.

        Whatever was locked before is complete; the host's interpreter finds what the host has.
        """
        if not (asked.resolved and asked.python.is_pure):
            return asked
        named = asked.declaration.libraries or asked.python.pins.libraries
        if not (asked.lock().packages or named):
            return asked
        from envtool.build.completing import complete

        return complete(asked, self.store, self.reporter)

    def _realise(self, asked: "Answer", planned: "Evaluation") -> None:
        from envtool.build import bytecode
        from envtool.build.missing import missing
        from envtool.build.realise import realise

        store, made = self.store, planned.made
        todo = missing(store, made.derivations, [planned.environment])
        with self._fetcher() if todo.fetch else nullcontext() as fetcher:
            realise(
                store,
                fetcher,
                self.reporter,
                made.derivations,
                planned.environment,
                jobs=self.settings.jobs,
            )
        settings = self.settings
        if settings.optimise_all:
            from envtool.machine.sharing.optimise import optimise_added

            new = (*todo.fetch, *todo.build)
            optimise_added(store, [made.derivations[path].output_path() for path in new])
        bytecode.prepare(settings.cache, settings.store, planned.output, asked.interpreter.stdlib)

    def _fetcher(self) -> "Fetcher":
        from envtool.machine.fetching.fetch import Fetcher

        return Fetcher(offline=self.settings.offline)

    def _switch(
        self,
        project: Project,
        asked: "Answer",
        edit: tuple[str, str] | None,
        *,
        save_lock: bool = True,
    ) -> tuple[Generation, bool]:
        """Realise, then write the edited declaration and the lock, then switch the profile.

        `edit` is the declaration's text as it was and as it becomes.
        """
        from envtool.build.generation import add_generation

        profile = self.profile(project)
        before = self._last_record(project)
        # From what is counted on to the link that makes it a root, no collector takes it.
        with self.store.using(self.reporter.note):
            planned = self._evaluate(asked)
            self._realise(asked, planned)
            if edit is not None:
                projects.replace_declaration(project.path, *edit)
            if asked.changed and save_lock:
                self._write_lock(project, asked)
            record = self._record(asked, planned)
            known = {generation.number for generation in profile.generations()}
            path = add_generation(self.store, record, asked.text, asked.lock_text)
            generation = self._make_current(profile, path)
        made = Generation(
            number=generation.number,
            path=path,
            created=generation.created,
            current=True,
            record=record,
            changes=_changes(before, record.packages, record.python),
            size=self._closure_size(path),
        )
        return made, generation.number not in known

    def _make_current(self, profile: Profile, path: "StorePath") -> "profiles.Generation":
        """Switch the profile to an object in use; no collector looks for roots meanwhile."""
        from envtool.machine.collecting.roots import name_for_nix
        from envtool.machine.disk import disk_errors

        with self.store.shared(self.reporter.note):
            with disk_errors("make a GC root"):
                name_for_nix(self.settings, path)
            return profile.set(path)

    def _record(self, asked: "Answer", planned: "Evaluation") -> Record:
        from envtool.plan.evaluate import environment_name

        declaration, name = asked.declaration, environment_name(asked)
        display = declaration.kernel.display_name if declaration.kernel else None
        packages = self._packages(planned)
        has_kernel = any(package.name == "ipykernel" for package in packages)
        return Record(
            name=name,
            environment=planned.output,
            python=asked.interpreter.version,
            impure=not asked.python.is_pure,
            kind=declaration.kind,
            declaration_sha256=_sha256(asked.text),
            lock_digest=asked.digest,
            variables=dict(declaration.variables),
            hook=declaration.hook,
            kernel=(display or name) if has_kernel else None,
            packages=packages,
            system=planned.system,
        )

    def _packages(self, planned: "Evaluation") -> list[Package]:
        outputs = [package.known.output for package in planned.packages]
        infos = self.store.infos(self.store.valid(outputs))
        return [
            Package(
                name=package.name,
                version=package.version,
                path=package.known.output,
                size=infos[package.known.output].nar_size
                if package.known.output in infos
                else None,
                direct=package.direct,
                requires=package.requires,
            )
            for package in planned.packages
        ]

    def _closure_size(self, path: "StorePath") -> int:
        return sum(info.nar_size for info in self.store.infos(self.store.closure([path])).values())

    def _written_lock(self, project: Project) -> "Lock | None":
        from envtool.formats.lock import parse

        text = projects.read_lock_text(project.path, project.kind, project.environment)
        place = projects.lock_place(project.path, project.kind, project.environment)
        return None if text is None else parse(text, path=place)

    def _write_lock(self, project: Project, asked: "Answer") -> None:
        projects.write_lock_text(project.path, project.kind, project.environment, asked.lock_text)

    def _local(
        self, project: Project, requirements: Sequence[str], *, editable: bool
    ) -> "tuple[list[str], dict[str, PathSource]]":
        """Turn paths among the requirements into names with sources."""
        from envtool.formats.declarations.declaration import PathSource
        from envtool.machine.local import project_name

        named: list[str] = []
        sources: dict[str, PathSource] = {}
        for requirement in requirements:
            if editable or requirement.startswith((".", "/")):
                name = project_name(os.path.abspath(requirement))
                relative = os.path.relpath(os.path.abspath(requirement), project.folder)
                sources[name] = PathSource(relative, editable=editable)
                named.append(name)
            else:
                named.append(requirement)
        return named, sources


def _changes(before: Record | None, packages: Sequence[Package], python: str) -> Changes:
    if before is None:
        return compare((), packages, (None, python))
    return compare(before.packages, packages, (before.python, python))


def _with_declaration(text: str, declared: str, project: Project) -> str:
    """Return a file's text with another declaration; one of TOML is nothing else."""
    if project.kind in ("envtool.toml", "pyproject.toml"):
        return declared
    from envtool.formats.declarations.edit import replace_declaration

    return replace_declaration(text, declared, kind=project.kind, file=project.path)


def _pending(planned: "Evaluation", path: "StorePath") -> Pending:
    variables = planned.made.derivations[path].environment
    size = variables.get("size")
    return Pending(variables.get("wheel", variables["name"]), int(size) if size else None)


def _sha256(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
