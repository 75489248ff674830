"""From an environment in the store to a generation of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from envtool.errors import ProfileError
from envtool.formats.changes import Changes, compare
from envtool.formats.generation import LOCK, Package, Record
from envtool.formats.ground import HOST, Ground, ground, read_ground
from envtool.formats.outcomes import Generation, Pending, Plan
from envtool.machine import profile as profiles
from envtool.machine import project as projects
from envtool.machine.profile import Profile
from envtool.machine.project import Project
from envtool.workspace.entering import text_digest
from envtool.workspace.realising import Realising

if TYPE_CHECKING:
    from envtool.formats.nix.storepath import StorePath
    from envtool.plan.answer import Answer
    from envtool.plan.evaluate import Evaluation

__all__ = ["Switching"]


class Switching(Realising):
    """Generations made of environments."""

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
            changes=self._changes(self._last_generation(project), self._packages(planned), asked),
            fetch_size=None if None in sizes else sum(size for size in sizes if size),
            lock_changed=asked.changed,
            up_to_date=record is not None
            and record.environment == planned.output
            and not (todo.fetch or todo.build),
        )

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
        before = self._last_generation(project)
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
            changes=self._changes(before, record.packages, asked),
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
            declaration_sha256=text_digest(asked.text),
            lock_digest=asked.digest,
            variables=dict(declaration.variables),
            hook=declaration.hook,
            kernel=(display or name) if has_kernel else None,
            packages=packages,
            system=planned.system,
        )

    def _packages(self, planned: "Evaluation") -> list[Package]:
        outputs = [package.known.output for package in planned.packages]
        sizes = self.store.database.sizes(self.store.valid(outputs))
        return [
            Package(
                name=package.name,
                version=package.version,
                path=package.known.output,
                size=sizes.get(package.known.output),
                direct=package.direct,
                requires=package.requires,
            )
            for package in planned.packages
        ]

    def _last_generation(self, project: Project) -> "tuple[Record, Ground] | None":
        """Return the current one, and what it stands on; None when there is none, or it is lost."""
        record, current = self._last_record(project), self.profile(project).current()
        if record is None or current is None:
            return None
        return record, self._ground(record, current.path)

    def _ground(self, record: Record, path: "StorePath") -> "Ground":
        """Return what a generation stands on, by the lock that it keeps."""
        if record.impure and record.system is None:
            return HOST
        place = f"{self.physical(path)}/{LOCK}"
        try:
            with open(place, encoding="utf-8") as file:
                return read_ground(file.read(), place)
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(
                f"{place} cannot be read: {error}", hint="envtool store verify --repair"
            ) from error

    def _changes(
        self,
        before: "tuple[Record, Ground] | None",
        packages: Sequence[Package],
        asked: "Answer",
    ) -> Changes:
        now, version = ground(asked.python.pins, asked.system), asked.interpreter.version
        if before is None:
            return compare((), packages, (None, version), (None, now))
        record, former = before
        if asked.resolved:
            # Which libraries are needed is not known yet.
            former, now = former.without_libraries(), now.without_libraries()
        return compare(record.packages, packages, (record.python, version), (former, now))

    def _closure_size(self, path: "StorePath") -> int:
        from envtool.machine.asking.queries import closure_size

        return closure_size(self.store.database, path)


def _pending(planned: "Evaluation", path: "StorePath") -> Pending:
    variables = planned.made.derivations[path].environment
    size = variables.get("size")
    return Pending(variables.get("wheel", variables["name"]), int(size) if size else None)
