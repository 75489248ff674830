"""Which generation a kernel enters, and when there is none that it wants to be in."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from envtool.errors import ProfileError
from envtool.formats.generation import LOCK
from envtool.formats.lock_head import read_head
from envtool.kernel.entering import command, inside, variables
from envtool.machine.project import read_lock_text
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.generation import Record
    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.project import Project
    from envtool.workspace.workspace import Workspace

__all__ = ["Entry", "entry", "entry_of"]


@value
class Entry:
    """How a realised kernel is started."""

    argv: list[str]
    """Without the connection file."""
    environ: dict[str, str]


def entry(workspace: "Workspace", project: "Project", environ: Mapping[str, str]) -> Entry | None:
    """Return how a kernel of the current generation is started; None when one is to be made.

    A project's kernel follows its generations, as `envtool run` does. A notebook's follows the
    notebook, whose declaration is edited in the very program that starts kernels.

    :raises KernelError: the environment has no ipykernel.
    """
    try:
        current = workspace.current(project)
        if current is None or not _answers(workspace, project, current[1]):
            return None
        return entry_of(workspace, project, *current, environ)
    except ProfileError:
        return None  # lost from the store: realised again, it is there again


def entry_of(
    workspace: "Workspace",
    project: "Project",
    number: int,
    record: "Record",
    environ: Mapping[str, str],
) -> Entry:
    """Return how a kernel of a generation is started.

    :raises KernelError: the environment has no ipykernel.
    :raises ProfileError: it cannot be entered.
    """
    argv = inside(workspace, record, command(workspace, project, record))
    return Entry(argv, variables(workspace, project, number, record, environ))


def _answers(workspace: "Workspace", project: "Project", record: "Record") -> bool:
    """Say whether the current generation is what the user wants to be in.

    That is so, too, when the newest one answers the notebook and the user went back from it.
    """
    if not project.kind.startswith("notebook"):
        return True
    generations = workspace.profile(project).generations()
    current = workspace.profile(project).current()
    assert current is not None, "its record was read"
    return _answered(workspace, project, current.path, record) or (
        generations[-1].number != current.number
        and _answered(
            workspace, project, generations[-1].path, workspace.record(generations[-1].path)
        )
    )


def _answered(
    workspace: "Workspace", project: "Project", path: "StorePath", record: "Record"
) -> bool:
    if workspace.drifted(project, record):
        return False
    written = read_lock_text(project.path, project.kind, project.environment)
    if written is None or written == _kept_lock(workspace, path):
        return True
    # A lock of another declaration decides nothing.
    return read_head(written, project.path).declaration != record.lock_digest


def _kept_lock(workspace: "Workspace", path: "StorePath") -> str | None:
    """Return the lock that a generation came from; None when it is lost."""
    try:
        with open(f"{workspace.physical(path)}/{LOCK}", encoding="utf-8") as file:
            return file.read()
    except OSError:
        return None
