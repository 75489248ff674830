"""From a declaration to its lock, and what a lock answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envtool.errors import LockError
from envtool.machine import project as projects
from envtool.workspace.entering import Entering

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envtool.formats.changes import Changes
    from envtool.formats.generation import Package
    from envtool.formats.ground import Ground
    from envtool.formats.lock import Lock
    from envtool.formats.locked import LockedLibrary
    from envtool.machine.project import Project
    from envtool.plan.answer import Answer, Request
    from envtool.plan.auditing import Audit
    from envtool.plan.exporting import ExportForm

__all__ = ["Locking"]


class Locking(Entering):
    """Locks, and what they say."""

    def lock(
        self,
        project: Project,
        *,
        upgrade: bool | Sequence[str] = False,
        exclude_newer: str | None = None,
    ) -> tuple[Lock, Changes | None]:
        """Bring the lock up to date and write it; the changes are None when there were none.

        A lock that is damaged, or for a Python that is not here, is written anew.

        :raises ResolutionError: the requirements cannot be satisfied.
        :raises LockError: the lock cannot be written.
        """
        from envtool.formats.changes import compare
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
        grounds = (_ground(before) if before else None, _ground(lock))
        return lock, compare(former, locked_packages(lock), python, grounds)

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

    def export(
        self, project: Project, form: ExportForm, *, hashes: bool = True
    ) -> tuple[str, tuple[str, ...]]:
        """Return the lock in the form of another tool, and what that has no words for.

        `hashes` is for requirements only.

        :raises LockError: there is no lock, it is stale, or the form cannot hold it.
        """
        from envtool.plan.exporting import export, left_behind

        self.check_lock(project)
        lock = self._written_lock(project)
        assert lock is not None, "it was checked"
        declaration = projects.read(project.path, project.kind, project.environment)
        return export(lock, declaration, form, hashes=hashes), left_behind(lock, form)

    def outdated(
        self, project: Project, names: Sequence[str] = (), *, exclude_newer: str | None = None
    ) -> Changes:
        """Return what `upgrade` would change in the lock; nothing is fetched or written.

        :raises LockError: there is no lock, or a name is not in it.
        """
        from envtool.formats.changes import compare
        from envtool.formats.requires import locked_packages
        from envtool.plan.answer import Request

        before = self._check_locked(project, names)
        request = Request(tuple(names) or True, exclude_newer)
        after = self._answer(project, request=request).lock()
        python = (before.python.version, after.python.version)
        # Which libraries the newer ones need is seen when they are locked.
        grounds = (_ground(before).without_libraries(), _ground(after).without_libraries())
        return compare(locked_packages(before), locked_packages(after), python, grounds)

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

    def _libraries(self, project: Project) -> tuple[LockedLibrary, ...]:
        """Return the packages of Debian that the lock has because of libraries."""
        lock = self._written_lock(project)
        return () if lock is None else lock.python.pins.libraries

    def suite(self, project: Project) -> str | None:
        """Return Debian's suite that the lock's interpreter is from; None for the host's."""
        from envtool.plan.closed.python import ClosedPython

        lock = self._written_lock(project)
        pins = None if lock is None else lock.python.pins
        return ClosedPython(pins).suite if pins is not None and pins.packages else None

    def audit(self, project: Project, database: str) -> Audit:
        """Return which packages of the current generation, or of the lock, are vulnerable.

        :raises LockError: there is neither.
        """
        from envtool.plan.auditing import audit

        packages = self.tree(project)
        lock = self._present_lock(project)
        found = [*lock.python.pins.packages, *(each.package for each in lock.python.pins.libraries)]
        if lock.system is not None:
            found += lock.system.packages
        return audit(self.settings, packages, database, debian=found)

    def _present_lock(self, project: Project) -> Lock:
        """Return the lock of the current generation, or what is written before there is one."""
        from envtool.formats import generation
        from envtool.formats.lock import parse

        current = self.profile(project).current()
        if current is not None:
            path = f"{self.physical(current.path)}/{generation.LOCK}"
            with open(path, encoding="utf-8") as file:
                return parse(file.read(), path=path)
        lock = self._written_lock(project)
        if lock is None:
            raise LockError("there is neither a generation nor a lock yet", hint="envtool switch")
        return lock

    def _check_locked(self, project: Project, names: Sequence[str]) -> Lock:
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

    def _answer(
        self, project: Project, text: str | None = None, request: Request | None = None
    ) -> Answer:
        from envtool.plan.answer import answer

        return answer(self.settings, self.reporter, project, text=text, request=request)

    def _completed(self, asked: Answer) -> Answer:
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

    def _written_lock(self, project: Project) -> Lock | None:
        from envtool.formats.lock import parse

        text = projects.read_lock_text(project.path, project.kind, project.environment)
        place = projects.lock_place(project.path, project.kind, project.environment)
        return None if text is None else parse(text, path=place)

    def _write_lock(self, project: Project, asked: Answer) -> None:
        projects.write_lock_text(project.path, project.kind, project.environment, asked.lock_text)


def _ground(lock: Lock) -> Ground:
    from envtool.formats.ground import ground

    return ground(lock.python.pins, lock.system)
