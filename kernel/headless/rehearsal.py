"""A stand-in for a notebook whose own cells change its environment while it is run from a command.

A run leaves the notebook and its generations as they are. So what `%envtool add` or `rollback` in
one of its cells change is a copy in a temporary folder, with generations of its own that begin at 1
and end with the run; run again, such a notebook says the same again.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from envtool.formats.declarations.editing.cells import with_lock
from envtool.machine import project as projects
from envtool.machine.project import Project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from envtool.formats.generation import Record

__all__ = ["changes_itself", "rehearsal"]

_CHANGING = re.compile(
    r"^\s*%envtool\s+(?:add|remove|upgrade|switch|rollback|lock)\b|^%%envtool\b", re.MULTILINE
)


def changes_itself(source: str) -> bool:
    """Say whether a cell changes the environment of its own kernel."""
    return _CHANGING.search(source) is not None


@contextmanager
def rehearsal(
    workspace: Workspace, project: Project, record: "Record", text: str, lock: str
) -> Iterator[tuple[Project, int]]:
    """Give a stand-in for the notebook of this text and lock, and the number of its generation."""
    with TemporaryDirectory(prefix="envtool-") as folder:
        # The name is in the environment's store path, which is to be the same.
        path = f"{folder}/{record.name}.ipynb"
        projects.write_declaration(path, with_lock(text, lock, file=path))
        stand_in = Project(path, project.kind, project.environment)
        try:
            generation, _ = workspace.switch(stand_in, save_lock=False)
            yield stand_in, generation.number
        finally:
            workspace.profile(stand_in).forget()


def entered_by(stand_in: Project, notebook: Project) -> dict[str, str]:
    """Return what differs in the variables of a kernel for the stand-in."""
    return {
        "ENVTOOL_NOTEBOOK": notebook.path,
        "ENVTOOL_PROJECT": os.path.dirname(notebook.path),
        "ENVTOOL_DECLARATION": stand_in.path,
    }
