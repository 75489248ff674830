"""What running a notebook without a front end begins with: its generation, and how it is executed.

A run keeps what comes of it (`headless`), a verification compares it (`verifying`).
"""

import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from envtool.errors import (
    DeclarationError,
    EnvtoolError,
    Fault,
    KernelError,
    LockError,
    ProfileError,
    one_fault,
)
from envtool.formats.declarations.notebook import declaration_block
from envtool.formats.generation import LOCK
from envtool.formats.hints import placed
from envtool.formats.notebooks.astray import astray
from envtool.formats.notebooks.shape import check_shape
from envtool.kernel.entering import command, inside, variables
from envtool.kernel.headless.apart import apart, views_of
from envtool.kernel.headless.execution import Execution
from envtool.kernel.headless.rehearsal import changes_itself, entered_by, rehearsal
from envtool.machine import project as projects
from envtool.machine.disk import disk_errors
from envtool.machine.project import Project
from envtool.values import value
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from envtool.formats.generation import Record
    from envtool.formats.nix.storepath import StorePath

__all__ = [
    "COPY",
    "Entered",
    "Wanted",
    "check_kind",
    "enter",
    "execution_of",
    "named",
    "nbformat_module",
    "read_notebook",
    "shown",
]


COPY = ".executed.ipynb"
"""How the name of an executed copy ends."""


@value
class Wanted:
    """How notebooks are to be run."""

    output: str | None = None
    """The executed copy's path, or the folder of the copies, as it is for several; None: beside."""
    in_place: bool = False
    """Outputs go into the notebook itself."""
    timeout: int | None = None
    """Seconds for each cell; None waits for ever."""
    parameters: Mapping[str, Any] = {}
    jobs: int = 1
    """Notebooks at once."""
    isolated: bool = False
    """Kernels see the closure, the notebook's folder and a private /tmp, and nothing else."""
    network: bool = True
    """Kernels may use the network."""


@value
class Entered:
    """The generation to run in."""

    project: Project
    number: int
    record: "Record"
    lock: str
    made: bool
    """The run itself made the generation."""


def check_kind(project: Project) -> None:
    """Refuse what is not a notebook."""
    if not project.kind.startswith("notebook"):
        raise KernelError(
            f"{project.path} is not a notebook",
            hint="a script runs with `envtool run SCRIPT`, a notebook ends in .ipynb",
        )


@contextmanager
def named(project: Project, *, several: bool) -> Iterator[None]:
    """Lead an error of the block by the notebook, where there are several that it could mean."""
    try:
        yield
    except DeclarationError:
        raise  # says in which file
    except EnvtoolError as error:
        if several:
            error.message = f"{shown(project.path)}: {error.message}"
            error.args = (error.message,)
        raise


def shown(path: str) -> str:
    """Return a path as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def nbformat_module() -> Any:
    """Return the module nbformat.

    :raises KernelError: it, or nbclient, is not there.
    """
    try:
        import nbclient  # noqa: F401 - asked for here, so that nothing is realised in vain
        import nbformat
    except ImportError as error:
        raise KernelError(
            f"running notebooks needs the package {error.name}, which is not there",
            hint=f"{shlex.quote(sys.executable)} -m pip install nbclient",
        ) from error
    return nbformat


def read_notebook(project: Project, text: str) -> Any:
    """Return a notebook of this text as nbformat has it.

    :raises DeclarationError: it cannot be executed.
    """
    nbformat = nbformat_module()
    check_shape(text, file=project.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ids that are missing or twice there: it makes new ones
        try:
            return nbformat.reads(text, as_version=4)
        except (AttributeError, KeyError, TypeError, ValueError, nbformat.ValidationError) as error:
            told = f"not a notebook that can be executed: {error}".splitlines()[0]
            raise one_fault(project.path, told) from error


def enter(workspace: Workspace, project: Project, text: str, *, environment: str = "") -> Entered:
    """Return the generation that a notebook of this text runs in, made if need be.

    `environment` is the logical path of the one to prefer where there is a generation of it.

    :raises DeclarationError: neither it nor a folder above declares anything.
    """
    declaring = _declaring(project, text)
    for fault in astray(text, file=os.path.basename(project.path)):
        workspace.reporter.note(f"note: {fault}")
    try:
        return _kept(workspace, declaring, environment) or _enter(workspace, declaring)
    except EnvtoolError as error:
        error.hint = placed(error.hint, ["-f", shown(declaring.path), *_environment(declaring)])
        raise


def _environment(project: Project) -> list[str]:
    return [] if project.environment == "default" else ["-e", project.environment]


def _declaring(project: Project, text: str) -> Project:
    """Return the project whose environment the notebook is to run in."""
    if project.kind != "notebook-cell" or declaration_block(text, file=project.path) is not None:
        return project
    if projects.find_above(project.folder) is None:
        absence = "declares nothing, and there is no envtool.toml or pyproject.toml in its folder"
        raise DeclarationError(
            [Fault(project.path, None, "", absence), *astray(text, file=project.path)],
            hint=f"envtool notebook init {shlex.quote(shown(project.path))}",
        )
    return open_project(project.folder, environment=project.environment)


def _kept(workspace: Workspace, project: Project, environment: str) -> Entered | None:
    """Return the newest generation of an environment, the current one before others."""
    profile = workspace.profile(project)
    current = profile.current()
    kept = [*profile.generations(), *([current] if current else [])]
    for generation in reversed(kept if environment else []):
        with suppress(ProfileError):  # its object is lost
            record = workspace.record(generation.path)
            if record.environment.full() == environment:
                lock = _lock_of(workspace, generation.path)
                return Entered(project, generation.number, record, lock, made=False)
    return None


def _enter(workspace: Workspace, project: Project) -> Entered:
    """Return the current generation if it answers the notebook, else switch to one that does."""
    current, made = workspace.current(project), False
    _mention_stale_lock(workspace, project)
    if current is None or _outdated(workspace, project, current[1]):
        if current is not None and _is_behind(workspace, project, current[0]):
            name = os.path.basename(project.path)
            workspace.reporter.note(
                f"note: generation {current[0]} is not what {name} declares: leaving it"
            )
        generation, made = workspace.switch(project, save_lock=False)
        current = generation.number, generation.record
    return Entered(project, *current, _kept_lock(workspace, project), made)


def _is_behind(workspace: Workspace, project: Project, number: int) -> bool:
    """Say whether somebody went back to a generation."""
    return any(each.number > number for each in workspace.profile(project).generations())


def _mention_stale_lock(workspace: Workspace, project: Project) -> None:
    """Say that a notebook's lock is for another declaration, and will not be followed."""
    if not project.kind.startswith("notebook"):
        return
    if projects.read_lock_text(project.path, project.kind, project.environment) is None:
        return
    try:
        workspace.check_lock(project)
    except LockError:
        name = os.path.basename(project.path)
        workspace.reporter.note(
            f"note: the lock of {name} is not for its declaration: the copy gets a new one"
        )


def _outdated(workspace: Workspace, project: Project, record: "Record") -> bool:
    if workspace.drifted(project, record):
        return True
    written = projects.read_lock_text(project.path, project.kind, project.environment)
    return written is not None and written != _kept_lock(workspace, project)


def _kept_lock(workspace: Workspace, project: Project) -> str:
    """Return the lock that the current generation came from."""
    generation = workspace.profile(project).current()
    assert generation is not None, "only asked for where there is one"
    return _lock_of(workspace, generation.path)


def _lock_of(workspace: Workspace, generation: "StorePath") -> str:
    path = f"{workspace.physical(generation)}/{LOCK}"
    with disk_errors("read the lock of the generation"), open(path, encoding="utf-8") as file:
        return file.read()


def execution_of(
    workspace: Workspace,
    entered: Entered,
    notebook: Any,
    stack: ExitStack,
    *,
    project: Project,
    wanted: Wanted,
    name: str = "",
) -> Execution:
    """Return what executes a notebook (as nbformat has it) in a generation, its outputs dropped.

    `project` is the notebook itself. What has to be undone behind the run is put on the stack.

    :raises KernelError: the environment has no kernel.
    :raises SandboxError: the notebook lies in the root of all, and is to run in an empty one.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    argv = command(workspace, entered.project, entered.record)
    if wanted.isolated:
        views = views_of(workspace, entered.project, entered.record)
        argv = apart(argv, network=wanted.network, views=views, folder=project.folder)
    else:
        argv = inside(workspace, entered.record, argv)
        if not wanted.network:
            argv = apart(argv, network=False)
    if entered.project == project and any(changes_itself(cell.source) for cell in code):
        text = projects.read_text(project.path)
        acted = rehearsal(workspace, project, entered.record, text, entered.lock)
        stand_in, number = stack.enter_context(acted)
        environ = variables(workspace, stand_in, number, entered.record, os.environ)
        environ |= entered_by(stand_in, project)
    else:
        environ = variables(workspace, entered.project, entered.number, entered.record, os.environ)
    return Execution(notebook, argv, environ, project.folder, name=name, timeout=wanted.timeout)
