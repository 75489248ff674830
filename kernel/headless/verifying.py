"""Verify notebooks: run them again in the closure that made their outputs, and compare.

Nothing is written. Where no generation has the recorded closure, the lock in the notebook leads to
it wherever its interpreter is to be had; where it leads to another one, the report says so.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from envtool.errors import EnvtoolError, KernelError
from envtool.formats.declarations.notebook import declares
from envtool.formats.nix.hashing import Hash
from envtool.formats.notebooks.comparing import CellReport, Tolerance, compare_cells
from envtool.formats.notebooks.origin import Origin, read_origin
from envtool.kernel.headless.execution import perform
from envtool.kernel.headless.preparing import (
    Wanted,
    check_kind,
    enter,
    execution_of,
    named,
    read_notebook,
)
from envtool.machine import project as projects
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.project import Project
    from envtool.workspace.workspace import Workspace

__all__ = ["Verified", "verify_notebooks"]


@value
class Verified:
    """What came of running a notebook again."""

    notebook: str
    """Absolute path."""
    origin: Origin
    """What made the outputs that it has."""
    environment: "StorePath"
    """What it ran in now."""
    python: str
    cells: tuple[CellReport, ...]
    error: EnvtoolError | None
    """Why it did not run to its end, if it did when the outputs were made."""
    stopped: bool
    """A cell failed as it did then, and what follows it was executed neither time."""
    seconds: float

    @property
    def is_same_closure(self) -> bool:
        """Whether it ran in the very closure that made its outputs."""
        return self.origin.environment == self.environment.full()

    @property
    def is_same(self) -> bool:
        """Whether its outputs came out again."""
        return self.error is None and all(cell.status != "differs" for cell in self.cells)


def verify_notebooks(
    workspace: "Workspace",
    notebooks: "Sequence[Project]",
    tolerance: Tolerance,
    wanted: Wanted | None = None,
) -> list[Verified]:
    """Run notebooks again, and compare their outputs; `wanted` says how, but for what is written.

    :raises KernelError: one has no outputs of a run, or was changed since.
    """
    several, wanted = len(notebooks) > 1, wanted or Wanted()
    with ExitStack() as stack:
        tasks = []
        for each in notebooks:
            with named(each, several=several):
                tasks.append(_Task(workspace, each, wanted, stack, several=several))
        perform([task.execution for task in tasks], workspace.reporter, jobs=wanted.jobs)
    return [task.report(tolerance) for task in tasks]


class _Task:
    """One notebook on its way."""

    def __init__(
        self,
        workspace: "Workspace",
        project: "Project",
        wanted: Wanted,
        stack: ExitStack,
        *,
        several: bool,
    ) -> None:
        check_kind(project)
        text = projects.read_text(project.path)
        self.path = project.path
        notebook = read_notebook(project, text)
        self.before = [dict(cell) for cell in notebook.cells]
        self.origin = _origin(project, notebook)
        _check_place(project, text)
        self.entered = enter(workspace, project, text, environment=self.origin.environment)
        name = project.path.rsplit("/", 1)[-1] if several else ""
        self.execution = execution_of(
            workspace,
            self.entered,
            notebook,
            stack,
            project=project,
            wanted=wanted,
            name=name,
        )

    def report(self, tolerance: Tolerance) -> Verified:
        """Return what came of it."""
        execution = self.execution
        cells = tuple(compare_cells(self.before, execution.notebook.cells, tolerance))
        again = any(map(_has_error, self.before)) and all(
            each.status != "differs" for each in cells
        )
        return Verified(
            notebook=self.path,
            origin=self.origin,
            environment=self.entered.record.environment,
            python=self.entered.record.python,
            cells=cells,
            error=None if again else execution.error,
            stopped=again and execution.error is not None,
            seconds=execution.seconds,
        )


def _origin(project: "Project", notebook: Mapping[str, Any]) -> Origin:
    origin = read_origin(notebook)
    again = f"envtool notebook run {project.path}"
    if origin is None:
        raise KernelError(
            f"{project.path} does not say what made its outputs, so that nothing can be verified",
            hint=f"{again}, and verify the executed notebook",
        )
    lock = projects.read_lock_text(project.path, project.kind, project.environment)
    if origin.lock and (lock is None or Hash.of(lock.encode()).sri != origin.lock):
        raise KernelError(f"{project.path} was locked anew since its outputs were made", hint=again)
    return origin


def _check_place(project: "Project", text: str) -> None:
    if declares(text, file=project.path) is None and projects.find_above(project.folder) is None:
        raise KernelError(
            f"{project.path} ran in the environment of a project, and its folder is of none",
            hint="put it back into the project's folder, and verify it there",
        )


def _has_error(cell: Mapping[str, Any]) -> bool:
    return any(output.get("output_type") == "error" for output in cell.get("outputs", ()))
