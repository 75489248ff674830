"""What a kernel is to become: the environment of a declaration, known at once or found out."""

from __future__ import annotations

import os
import sys

from envtool.errors import DeclarationError, EnvtoolError, KernelError, LockError
from envtool.kernel.entry import Entry, entry, entry_of
from envtool.kernel.finding import (
    find_notebook,
    find_project,
    is_opened,
    is_vscode,
    notebook_told,
)
from envtool.machine.project import Project, read_lock_text, read_text
from envtool.machine.settings import load
from envtool.workspace.entering import Entering, open_project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Declared", "Found", "Goal"]


class Goal:
    """No environment at all: there is something to be told only."""

    project: Project | None = None
    """What is to be realised; None while only a cell can say."""

    is_asked = True
    """Whether the user wants it built, and did more than open a notebook."""

    def learn(self, code: str, *, silent: bool) -> None:
        """Hear what a client executes: it may say which notebook, or what it declares.

        :raises EnvtoolError: nothing does.
        """

    def entry(self) -> Entry | None:
        """Return how the kernel is started; None when its environment is to be built before.

        :raises EnvtoolError: it can neither be entered nor built.
        """
        return None

    def built(self) -> Entry:
        """Return how the kernel is started after its environment was built.

        :raises EnvtoolError: it cannot be entered.
        """
        raise KernelError("nothing was declared that could be built")

    def python(self) -> str:
        """Return the version that kernel_info tells before there is a kernel."""
        return ".".join(map(str, sys.version_info[:3]))


class _Known(Goal):
    """The environment of one project, once it is known."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.workspace = Entering(load(environ))

    def entry(self) -> Entry | None:
        """Enter the current generation, where it answers."""
        if self.project is None:
            return None
        return entry(self.workspace, self.project, self.environ)

    def built(self) -> Entry:
        """Enter the current generation."""
        assert self.project is not None, "nothing else is built"
        current = self.workspace.current(self.project)
        if current is None:
            raise EnvtoolError(
                f"the generation of {self.project.path} was deleted a moment ago",
                hint="restart the kernel",
            )
        return entry_of(self.workspace, self.project, *current, self.environ)

    def python(self) -> str:
        """Return the feature release that the lock is for, else our own version."""
        try:
            return self._locked_python() or super().python()
        except (DeclarationError, LockError):
            return super().python()

    def _locked_python(self) -> str | None:
        if self.project is None:
            return None
        from envtool.formats.lock_head import read_head

        path = self.project.path
        text = read_lock_text(path, self.project.kind, self.project.environment)
        return None if text is None else read_head(text, path).python


class Declared(_Known):
    """What a kernelspec names."""

    def __init__(self, environ: Mapping[str, str], declaration: str, environment: str) -> None:
        super().__init__(environ)
        self.project = open_project("/", file=declaration, environment=environment)


class Found(_Known):
    """What the generic kernel finds.

    The notebook's own declaration, else the project's, else what the first cell declares that is
    executed.
    """

    def __init__(self, environ: Mapping[str, str], folder: str, starter: int) -> None:
        super().__init__(environ)
        self._folder = folder
        notebook = find_notebook(environ, starter)
        self.is_asked = not is_opened(environ, notebook)
        self._notebook = notebook
        self._awaited = notebook is None and is_vscode(environ, folder)
        """VS Code is about to tell which notebook it is."""
        if not self._awaited:
            self.project = find_project(folder, notebook)

    def learn(self, code: str, *, silent: bool) -> None:
        """Hear a notebook's path, or its first cell."""
        if self._awaited and (notebook := notebook_told(code)) is not None:
            self._awaited, self._notebook = False, notebook
            self.project = find_project(self._folder, notebook)
        if silent:
            return
        if self._awaited:
            self._awaited = False
            self.project = find_project(self._folder, None)
        if self.project is None:
            self.project, self.is_asked = self._declared(code), True

    def _declared(self, code: str) -> Project:
        """Return the project of a cell: a notebook of that one cell, named by its declaration."""
        from envtool.formats.declarations.inline import find_block
        from envtool.machine.adhoc import made_up_notebook

        block = find_block(code, file="the cell")
        if block is None:
            raise self._undeclared()
        source = f"# /// script\n{code[block.start : block.end]}# ///\n"
        return open_project("/", file=made_up_notebook(self.workspace.settings, source))

    def _undeclared(self) -> EnvtoolError:
        """Return the error of a notebook that nothing declares anything for."""
        from contextlib import suppress
        from shlex import quote

        notebook, folder = self._notebook, self._folder
        hint = "write one into the first cell, or: envtool init"
        lines = []
        if notebook is not None:
            from envtool.formats.notebooks.astray import astray

            folder = os.path.dirname(notebook)
            hint = f"write one into the first cell, or: envtool notebook init {quote(notebook)}"
            with suppress(DeclarationError):
                lines = [str(each) for each in astray(read_text(notebook), file=notebook)]
        told = (
            "nothing says which environment this notebook is to run in: it has no declaration,"
            f" there is no project in {folder} or above, and this cell has no `# /// script` block"
        )
        return EnvtoolError("\n".join([told, *lines]), hint=hint)
