"""What a kernel says that enters another closure than what is declared, or made the outputs.

It says so where nothing of it is saved with outputs: in Jupyter's log, and to the magics.
"""

from __future__ import annotations

import os
import sys

from envtool.errors import DeclarationError
from envtool.formats.generation import LOCK
from envtool.formats.lock_head import read_head
from envtool.machine.project import read_lock_text, read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from envtool.formats.generation import Record
    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.profile import Generation
    from envtool.machine.project import Project
    from envtool.workspace.entering import Entering

__all__ = ["NOTICE", "difference", "log", "mention", "other_closure"]

NOTICE = "ENVTOOL_NOTICE"
"""The variable that tells the magics of it, in lines."""


def difference(
    workspace: Entering, project: Project, generation: Generation, record: Record
) -> str | None:
    """Return one line on how the project differs from a generation of it, and what to do.

    None when it does not. What is equal letter for letter is not parsed.

    :raises DeclarationError: the declaration has faults.
    :raises LockError: the lock is none.
    """
    if workspace.drifted(project, record):
        what = os.path.basename(project.path)
    elif _has_other_lock(workspace, project, generation.path, record):
        what = f"the lock of {os.path.basename(project.path)}"
    else:
        return None
    command = f"`{_program(project)} switch` (in a cell: `%envtool switch`)"
    return f"{what} has changed since generation {generation.number}: {command} goes forward to it"


def other_closure(project: Project, record: Record, environ: Mapping[str, str]) -> str | None:
    """Return one line on where a notebook's outputs were made, if that was in another closure.

    None, too, where that was not recorded, or where no front end has opened the notebook.
    """
    path = environ.get("JPY_SESSION_NAME", "")
    if project.kind.startswith("notebook"):
        path = project.path
    if "ENVTOOL_NOTEBOOK" in environ or not path.endswith(".ipynb") or not os.path.isfile(path):
        return None
    try:
        made = _made_in(path)
    except DeclarationError:  # such as while an editor writes it
        return None
    if made in {None, record.environment.full()}:
        return None
    from envtool.formats.printable import escaped

    return escaped(f"the outputs in {os.path.basename(path)} were made in another closure: {made}")


def _made_in(notebook: str) -> str | None:
    """Return the environment that a notebook's outputs were made in; None when nothing says it."""
    text = read_text(notebook)
    if '"run"' not in text:  # most have no record of a run, and need not be parsed to see that
        return None
    from envtool.formats.declarations.notebook import read_notebook
    from envtool.formats.notebooks.origin import read_origin

    origin = read_origin(read_notebook(text, file=notebook))
    return None if origin is None else origin.environment


def _has_other_lock(workspace: Entering, project: Project, path: StorePath, record: Record) -> bool:
    """Say whether a lock answers the declaration of a generation that came from another one."""
    written = read_lock_text(project.path, project.kind, project.environment)
    if written is None or written == _kept_lock(workspace, path):
        return False
    # A lock of another declaration decides nothing.
    return read_head(written, project.path).declaration == record.lock_digest


def log(text: str) -> None:
    """Write a line where Jupyter logs what kernels print."""
    print(f"envtool-kernel: {text}", file=sys.stderr, flush=True)  # noqa: T201


def mention(environ: Mapping[str, str]) -> None:
    """Log what the variables of a kernel have for its user."""
    for line in environ.get(NOTICE, "").splitlines():
        log(f"note: {line}")


def _kept_lock(workspace: Entering, path: StorePath) -> str | None:
    """Return the lock that a generation came from; None when it is lost."""
    try:
        with open(f"{workspace.physical(path)}/{LOCK}", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None


def _program(project: Project) -> str:
    import shlex  # for what differs only

    named = "" if project.environment == "default" else f"-e {project.environment} "
    return f"envtool -f {shlex.quote(project.path)} {named}".rstrip()
