"""Opening a project, and the change of variables that enters its generation; nothing heavy.

`envtool run` needs no more than this, so the imports of everything else stand in the methods.
"""

from __future__ import annotations

import os

from envtool.errors import DeclarationError, ProfileError
from envtool.formats import entry
from envtool.machine import profile as profiles
from envtool.machine import project as projects
from envtool.machine.profile import Profile, profile_of
from envtool.machine.project import Project
from envtool.reporting import Reporter, SilentReporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from envtool.formats.activation import EnvironmentChange
    from envtool.formats.generation import Record
    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.consent import Consent
    from envtool.machine.settings import Settings
    from envtool.machine.store import Store

__all__ = ["Entering", "open_project", "text_digest"]


def open_project(start: str, *, file: str | None = None, environment: str = "default") -> Project:
    """Return the project that holds in the folder `start`, or that of an explicit file.

    :raises DeclarationError: there is none.
    """
    path, kind = projects.find(start, file=file)
    return Project(path, kind, environment)


class Entering:
    """A root, and the projects in it as they are."""

    def __init__(self, settings: Settings, reporter: Reporter | None = None) -> None:
        self.settings = settings
        self.reporter = reporter or SilentReporter()
        self._store: Store | None = None
        self._held: list[int] = []
        """Descriptors of environments that are about to be entered."""

    @property
    def store(self) -> Store:
        """The store, opened at first use."""
        from envtool.machine.store import Store

        if self._store is None:
            self._store = Store(self.settings)
        return self._store

    def physical(self, path: StorePath) -> str:
        """Return where a store path lies on this machine."""
        return f"{self.settings.store}/{path}"

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

    def record(self, path: StorePath) -> Record:
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

    def is_made_up(self, project: Project) -> bool:
        """Return whether the project was made up from words, so that nothing of it is kept."""
        return profiles.is_made_up(self.settings, project.path)

    def drifted(self, project: Project, record: Record) -> bool:
        """Say whether the declaration is not the one that the generation came from.

        Comments count as changes only where they change what is asked for.
        """
        text = projects.declaration_text(project.path, project.kind)
        if text_digest(text) == record.declaration_sha256:
            return False
        from envtool.machine.local import answered_digest

        try:
            declaration = projects.read(project.path, project.kind, project.environment)
        except DeclarationError:
            return True  # such as half-way through an edit; `switch` tells all its faults
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
        if number is not None:
            self._keep(environment, number, project)
        name = "test" if number is None else str(number)
        python = f"{entry.programs(environment)}/python"
        if not os.path.exists(python):
            raise ProfileError(
                f"generation {name} cannot be entered: {os.path.realpath(python)} is not there",
                hint="realise it again: envtool switch",
            )
        variables = record.variables if declared else {}
        from envtool.formats.activation import change

        return change(
            assign=entry.assigned(environment, name, project.folder, variables),
            unset=entry.REMOVED,
            prepend={"PATH": [entry.programs(environment), *self._system_programs(record)]},
        )

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

    def _system_programs(self, record: Record) -> Sequence[str]:
        """Return what follows on PATH; in a system root they are its own."""
        return () if record.system is None else entry.SYSTEM_PROGRAMS

    def _open(self, environment: str) -> None:
        try:
            descriptor = os.open(environment, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        self._held.append(descriptor)

    def _keep(self, environment: str, number: int, project: Project) -> None:
        """Keep a generation that is about to be entered from collectors."""
        if not self.is_made_up(project):
            self._hold(environment, number, project)
            return
        # No link keeps what was made up: it has to be open before a collector looks again.
        with self.store.shared():
            self._hold(environment, number, project)

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

    def declaration_digest(self, project: Project) -> str:
        """Return the SHA-256 of what the file declares, in base 16, as records have it."""
        return text_digest(projects.declaration_text(project.path, project.kind))

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

    def _consent(self, project: Project) -> Consent:
        from envtool.machine.consent import Consent

        return Consent(self.settings, project.path)

    def _keep_consent(self, project: Project, before: str, after: str) -> None:
        """Allow what the user's own edit made of a declaration that was allowed."""
        consent = self._consent(project)
        old, new = (
            text_digest(projects.declaration_text(project.path, project.kind, text=text))
            for text in (before, after)
        )
        if consent.verdict(old) == "allowed":
            consent.allow(new)


def text_digest(text: str) -> str:
    """Return the SHA-256 of a declaration's text, in base 16, as records have it."""
    from envtool.formats.digest import sha256

    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
