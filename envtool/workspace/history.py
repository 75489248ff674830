"""What generations there are, going back to one, and whether one is complete."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from envtool.errors import ProfileError
from envtool.formats.changes import Changes, compare
from envtool.formats.generation import Record
from envtool.formats.ground import Ground
from envtool.formats.outcomes import Generation
from envtool.machine import project as projects
from envtool.machine.project import Project
from envtool.workspace.switching import Switching

if TYPE_CHECKING:
    from envtool.build.checking import Checked
    from envtool.machine.collecting.retention import Pruned

__all__ = ["History"]


class History(Switching):
    """Generations asked for, compared, restored and deleted."""

    def generations(self, project: Project) -> list[Generation]:
        """Return the project's generations, oldest first, but for those whose object is lost."""
        from envtool.machine.collecting.roots import users

        used = users(self.settings)
        found: list[Generation] = []
        profile = self.profile(project)
        current = profile.current()
        before: tuple[Record, Ground] | None = None
        for each in profile.generations():
            try:
                record = self.record(each.path)
                stands_on = self._ground(record, each.path)
            except ProfileError as error:
                self.reporter.note(f"generation {each.number} is lost: {error.message}")
                continue
            found.append(
                Generation(
                    number=each.number,
                    path=each.path,
                    created=each.created,
                    current=current is not None and each.number == current.number,
                    record=record,
                    changes=_compared(before, (record, stands_on)),
                    size=self._closure_size(each.path),
                    used_by=tuple(used.get(record.environment, ())),
                )
            )
            before = (record, stands_on)
        return found

    def difference(
        self, project: Project, before: int | None = None, after: int | None = None
    ) -> tuple[int, int, Changes]:
        """Compare two generations, by default the current one with the one before it.

        Return their numbers and what changed. Given one number only, the other is the current one;
        the first generation is compared with itself.

        :raises ProfileError: there is no such generation.
        """
        found = {each.number: each.path for each in self.profile(project).generations()}
        current = self.current(project)
        if not found:
            raise ProfileError("there is no generation yet", hint="envtool switch")
        if after is None:
            after = current[0] if current else max(found)
        if before is None:
            before = max((number for number in found if number < after), default=after)
        for number in (before, after):
            if number not in found:
                raise ProfileError(f"there is no generation {number}", hint="envtool generations")
        old, new = self.record(found[before]), self.record(found[after])
        former = (old, self._ground(old, found[before]))
        return before, after, _compared(former, (new, self._ground(new, found[after])))

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
                suite=None if record.impure else self.suite(project),
            )
        except OSError as error:
            raise ProfileError(
                f"generation {number} cannot be checked: {error.filename} cannot be read: "
                f"{error.strerror}",
                hint="realise it again: envtool switch",
            ) from error


def _with_declaration(text: str, declared: str, project: Project) -> str:
    """Return a file's text with another declaration; one of TOML is nothing else."""
    if project.kind in ("envtool.toml", "pyproject.toml"):
        return declared
    from envtool.formats.declarations.editing.replacing import replace_declaration

    return replace_declaration(text, declared, kind=project.kind, file=project.path)


def _compared(before: tuple[Record, Ground] | None, after: tuple[Record, Ground]) -> Changes:
    new, now = after
    if before is None:
        return compare((), new.packages, (None, new.python), (None, now))
    old, former = before
    return compare(old.packages, new.packages, (old.python, new.python), (former, now))
