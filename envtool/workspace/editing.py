"""Edits of a declaration, kept only once what they ask for is realised."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from envtool.formats.outcomes import Generation
from envtool.machine import project as projects
from envtool.machine.project import Project
from envtool.workspace.switching import Switching

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import PathSource

__all__ = ["Editing"]


class Editing(Switching):
    """Declarations edited."""

    def add(
        self,
        project: Project,
        requirements: Sequence[str],
        *,
        editable: bool = False,
        system: Sequence[str] = (),
    ) -> tuple[Generation, bool]:
        """Add requirements to the declaration, lock and switch; `.` and `./…` are local projects.

        `system` is packages of Debian to add. Nothing is written before the new environment is
        realised.
        """
        from envtool.formats.declarations.editing.requirements import add_requirements
        from envtool.formats.declarations.editing.system import add_system_packages

        named, sources = self._local(project, requirements, editable=editable)
        kind, environment, file = project.kind, project.environment, project.path

        def edit(text: str) -> str:
            if named:
                text = add_requirements(
                    text,
                    kind=kind,
                    requirements=named,
                    environment=environment,
                    sources=sources,
                    file=file,
                )
            if system:
                text = add_system_packages(
                    text, kind=kind, packages=system, environment=environment, file=file
                )
            return text

        return self._edit(project, edit)

    def remove(
        self, project: Project, names: Sequence[str], *, system: Sequence[str] = ()
    ) -> tuple[Generation, bool]:
        """Remove requirements, and packages of Debian, from the declaration, lock and switch."""
        from envtool.formats.declarations.editing.requirements import remove_requirements
        from envtool.formats.declarations.editing.system import remove_system_packages

        kind, environment, file = project.kind, project.environment, project.path

        def edit(text: str) -> str:
            if names:
                text = remove_requirements(
                    text, kind=kind, names=names, environment=environment, file=file
                )
            if system:
                text = remove_system_packages(
                    text, kind=kind, names=system, environment=environment, file=file
                )
            return text

        return self._edit(project, edit)

    def declare(self, project: Project, declared: str) -> tuple[Generation, bool]:
        """Replace the declaration by another one's TOML, lock and switch."""
        from envtool.formats.declarations.editing.replacing import replace_declaration

        def edit(text: str) -> str:
            return replace_declaration(text, declared, kind=project.kind, file=project.path)

        return self._edit(project, edit)

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
            projects.check_writable(project.path)
            asked = self._completed(self._answer(project, text))
            switched = self._switch(project, asked, (before, text))
        self._keep_consent(project, before, text)
        return switched

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
