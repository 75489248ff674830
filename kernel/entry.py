"""Which generation a kernel enters, and when there is none that it wants to be in."""

from __future__ import annotations

from envtool.errors import DeclarationError, LockError, ProfileError
from envtool.kernel.drift import NOTICE, difference, other_closure
from envtool.kernel.entering import command, inside, variables
from envtool.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from envtool.formats.generation import Record
    from envtool.machine.profile import Generation
    from envtool.machine.project import Project
    from envtool.workspace.entering import Entering

__all__ = ["Entry", "entry", "entry_of"]


@value
class Entry:
    """How a realised kernel is started."""

    argv: list[str]
    """Without the connection file."""
    environ: dict[str, str]


def entry(workspace: Entering, project: Project, environ: Mapping[str, str]) -> Entry | None:
    """Return how a kernel of the current generation is started; None when one is to be made.

    A project's kernel follows its generations, as `envtool run` does. A notebook's follows the
    notebook, whose declaration is edited in the very program that starts kernels.

    :raises KernelError: the environment has no ipykernel.
    """
    try:
        current = workspace.profile(project).current()
        if current is None:
            return None
        record = workspace.record(current.path)
        notice = _notice(workspace, project, current, record)
        if notice and _follows(project) and not _was_left(workspace, project, current):
            return None
        return entry_of(workspace, project, current.number, record, environ, notice=notice)
    except ProfileError:
        return None  # lost from the store: realised again, it is there again


def entry_of(
    workspace: Entering,
    project: Project,
    number: int,
    record: Record,
    environ: Mapping[str, str],
    *,
    notice: str | None = None,
) -> Entry:
    """Return how a kernel of a generation is started; with a notice for its user, if there is one.

    :raises KernelError: the environment has no ipykernel.
    :raises ProfileError: it cannot be entered.
    """
    argv = inside(workspace, record, command(workspace, project, record))
    entered = variables(workspace, project, number, record, environ)
    entered.pop(NOTICE, None)  # of a kernel that this one is started from
    lines = filter(None, (notice, other_closure(project, record, environ)))
    if text := "\n".join(lines):
        entered[NOTICE] = text
    return Entry(argv, entered)


def _follows(project: Project) -> bool:
    """Say whether kernels follow what is declared now, rather than the current generation."""
    return project.kind.startswith("notebook")


def _notice(
    workspace: Entering, project: Project, generation: Generation, record: Record
) -> str | None:
    """Return how the generation differs from what is declared; None when it does not."""
    try:
        return difference(workspace, project, generation, record)
    except (DeclarationError, LockError) as error:
        if _follows(project):
            raise
        return f"generation {generation.number} is not what is declared now: {error.message}"


def _was_left(workspace: Entering, project: Project, generation: Generation) -> bool:
    """Say whether the newest generation is what is declared, and the user went back from it."""
    newest = workspace.profile(project).generations()[-1]
    if newest.number == generation.number:
        return False
    return difference(workspace, project, newest, workspace.record(newest.path)) is None
