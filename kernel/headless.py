"""Run notebooks from top to bottom in the environments they declare, and keep what came of it.

A notebook itself is not touched, unless that is asked for: the executed copy carries the outputs,
the lock, and which environment made them.
"""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from envtool import __version__
from envtool.errors import EnvtoolError, KernelError, LockError
from envtool.formats.declarations.notebook import declaration_block
from envtool.formats.generation import LOCK
from envtool.formats.nix.hashing import Hash
from envtool.formats.notebooks.origin import Origin
from envtool.formats.notebooks.parameters import assignments, defaults, inject
from envtool.kernel.apart import apart, views_of
from envtool.kernel.entering import command, inside, program, variables
from envtool.kernel.execution import Execution, perform
from envtool.kernel.rehearsal import changes_itself, entered_by, rehearsal
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
    "Entered",
    "NotebookRun",
    "Wanted",
    "check_kind",
    "enter",
    "execution_of",
    "nbformat_module",
    "run_notebook",
    "run_notebooks",
]

_KERNELSPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
"""What every Jupyter has: a name of this machine in a shared file helps nobody."""


@value
class Wanted:
    """How notebooks are to be run."""

    output: str | None = None
    """The executed copy's path, for several the folder of the copies; None: beside the notebook."""
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
class NotebookRun:
    """What an execution left."""

    notebook: str
    """Absolute path of the notebook."""
    output: str
    """Absolute path of the executed notebook."""
    generation: int
    environment: "StorePath"
    cells: int
    """Code cells that were executed."""
    seconds: float
    error: EnvtoolError | None = None
    """Why it is not complete."""


@value
class Entered:
    """The generation to run in."""

    project: Project
    number: int
    record: "Record"
    lock: str
    made: bool
    """The run itself made the generation."""


def run_notebook(
    workspace: Workspace, project: Project, wanted: Wanted | None = None
) -> NotebookRun:
    """Execute the notebook and write the executed copy, by default beside it.

    A notebook that declares nothing runs in the environment of the project it lies in.

    :raises KernelError: a cell fails (the copy is written all the same), or there is no kernel.
    """
    wanted = wanted or Wanted()
    with ExitStack() as stack:
        (run,) = _run_all(workspace, [_Task(workspace, project, wanted, stack)], wanted)
    if run.error is not None:
        raise run.error
    return run


def run_notebooks(
    workspace: Workspace, notebooks: Sequence[Project], wanted: Wanted
) -> list[NotebookRun]:
    """Execute several notebooks, some at once; what one of them fails with stands in its result.

    :raises EnvtoolError: one of them cannot be begun; then none is.
    """
    if wanted.output is not None and not os.path.isdir(wanted.output):
        raise KernelError(
            f"{wanted.output} is no folder, and several notebooks are written",
            hint=f"mkdir {shlex.quote(wanted.output)}",
        )
    with ExitStack() as stack:
        tasks = [_Task(workspace, each, wanted, stack, several=True) for each in notebooks]
        targets = [task.target for task in tasks]
        twice = next((each for each in targets if targets.count(each) > 1), None)
        if twice is not None:
            raise KernelError(f"two of the notebooks would be written to {twice}")
        return _run_all(workspace, tasks, wanted)


class _Task:
    """One notebook on its way."""

    def __init__(
        self,
        workspace: Workspace,
        project: Project,
        wanted: Wanted,
        stack: ExitStack,
        *,
        several: bool = False,
    ) -> None:
        check_kind(project)
        self.project = project
        self.wanted = wanted
        self.text = projects.read_text(project.path)
        nbformat = nbformat_module()
        output = project.path if wanted.in_place else wanted.output
        self.target = _target(project.path, output, is_folder=several and not wanted.in_place)
        notebook = nbformat.reads(self.text, as_version=4)
        _parametrise(workspace, notebook, wanted.parameters)
        self.entered = enter(workspace, project, self.text)
        self.execution = execution_of(
            workspace,
            self.entered,
            notebook,
            stack,
            project=project,
            wanted=wanted,
            name=os.path.basename(project.path) if several else "",
        )

    def finish(self) -> NotebookRun:
        """Write what came of it, and return it."""
        execution = self.execution
        error: EnvtoolError | None = execution.error
        if execution.started:
            try:
                self._write()
            except EnvtoolError as refused:
                error = error or refused
        return NotebookRun(
            notebook=self.project.path,
            output=self.target,
            generation=self.entered.number,
            environment=self.entered.record.environment,
            cells=execution.cells,
            seconds=execution.seconds,
            error=error,
        )

    def _write(self) -> None:
        _describe(self.execution, self.entered, self.wanted.parameters)
        text = nbformat_module().writes(self.execution.notebook) + "\n"
        if self.wanted.in_place:
            projects.replace_declaration(self.target, self.text, text)
        else:
            _write(self.target, text)


def _run_all(workspace: Workspace, tasks: Sequence[_Task], wanted: Wanted) -> list[NotebookRun]:
    executions = [task.execution for task in tasks]
    try:
        went_on = perform(executions, workspace.reporter, jobs=wanted.jobs)
    finally:
        runs = [task.finish() for task in tasks]
    if not went_on:
        raise KeyboardInterrupt
    if len(runs) == 1 and runs[0].error is None:
        _tell(workspace, tasks[0].entered, tasks[0].target)
    return runs


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


def _parametrise(workspace: Workspace, notebook: Any, parameters: Mapping[str, Any]) -> None:
    if not parameters:
        return
    nbformat = nbformat_module()
    cell = nbformat.v4.new_code_cell(assignments(parameters))
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        del cell["id"]
    known = defaults(notebook.cells)
    unknown = [] if known is None else [name for name in parameters if name not in known]
    if unknown:
        workspace.reporter.note(f"note: the notebook has no parameter {', '.join(unknown)}")
    notebook.cells = [nbformat.from_dict(each) for each in inject(notebook.cells, cell)]


def _tell(workspace: Workspace, entered: Entered, target: str) -> None:
    """Say where things lie and, after the first run in a generation, what to try next."""
    environment = workspace.physical(entered.record.environment)
    lines = [
        f"generation {entered.number} of {entered.record.name}: {environment}",
        f"everything of envtool's lies in {workspace.settings.root}",
        f"the executed notebook has the outputs and the lock: {_shown(target)}",
    ]
    if entered.made:
        lines += ["try next:", *_next_steps(entered)]
    for line in lines:
        workspace.reporter.note(line)


def _next_steps(entered: Entered) -> list[str]:
    program, declaration = _spelled_program(), _shown(entered.project.path)
    steps = [
        (f"-f {declaration} shell", "enter this environment"),
        (f"-f {declaration} tree", "see what it holds, and why"),
        (f"-f {declaration} add scipy", "add a package: a new generation"),
        (f"-f {declaration} rollback", f"go back to generation {entered.number}, at once"),
        ("kernel install", "use it in JupyterLab and VS Code"),
    ]
    width = max(len(words) for words, _ in steps)
    return [f"  {program} {words:<{width}}  {meaning}" for words, meaning in steps]


def check_kind(project: Project) -> None:
    """Refuse what is not a notebook."""
    if not project.kind.startswith("notebook"):
        raise KernelError(
            f"{project.path} is not a notebook",
            hint="a script runs with `envtool run SCRIPT`, a notebook ends in .ipynb",
        )


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


def enter(workspace: Workspace, project: Project, text: str) -> Entered:
    """Return the generation that a notebook of this text runs in, made if need be."""
    return _enter(workspace, _declaring(project, text))


def _declaring(project: Project, text: str) -> Project:
    """Return the project whose environment the notebook is to run in."""
    if project.kind != "notebook-cell" or declaration_block(text, file=project.path) is not None:
        return project
    return open_project(os.path.dirname(project.path), environment=project.environment)


def _enter(workspace: Workspace, project: Project) -> Entered:
    """Return the current generation if it answers the notebook, else switch to one that does."""
    current, made = workspace.current(project), False
    _mention_stale_lock(workspace, project)
    if current is None or _outdated(workspace, project, current[1]):
        generation, made = workspace.switch(project, save_lock=False)
        current = generation.number, generation.record
    return Entered(project, *current, _kept_lock(workspace, project), made)


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
    path = f"{workspace.physical(generation.path)}/{LOCK}"
    with disk_errors("read the lock of the generation"), open(path, encoding="utf-8") as file:
        return file.read()


def _describe(execution: Execution, entered: Entered, parameters: Mapping[str, Any]) -> None:
    """Note in the executed copy what made its outputs."""
    notebook = execution.notebook
    notebook.metadata["kernelspec"] = dict(_KERNELSPEC)
    own = notebook.metadata.setdefault("envtool", {})
    own["lock"] = entered.lock.splitlines(keepends=True)
    if entered.project.kind.startswith("notebook"):
        # The name is in the store path, which is to be the same wherever the copy goes.
        own["name"] = entered.record.name
    origin = Origin(
        environment=entered.record.environment.full(),
        lock=Hash.of(entered.lock.encode()).sri,
        envtool=__version__,
        python=entered.record.python,
        parameters=dict(parameters),
    )
    own["run"] = origin.json(generation=entered.number, seconds=round(execution.seconds, 3))


def _target(notebook: str, output: str | None, *, is_folder: bool = False) -> str:
    """Return the absolute path of the executed copy.

    :raises KernelError: nobody may write there.
    """
    folder, name = os.path.split(notebook)
    if output is None or is_folder:
        name = f"{os.path.splitext(name)[0]}.executed.ipynb"
        folder = output or (folder if os.access(folder, os.W_OK) else os.getcwd())
        output = os.path.join(folder, name)
    output = os.path.abspath(output)
    folder = os.path.dirname(output)
    if os.path.isdir(output) or not os.access(folder, os.W_OK | os.X_OK):
        raise KernelError(
            f"{output} cannot be written", hint="name another place with --output PATH"
        )
    return output


def _write(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    with disk_errors("write the executed notebook", raising=KernelError):
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
            os.rename(temporary, path)
        finally:
            if os.path.lexists(temporary):
                os.unlink(temporary)


def _spelled_program() -> str:
    """Return `envtool` as the user can type it from here."""
    import shutil

    own = program()
    if own is None:
        return "python3 -m envtool"
    return "envtool" if shutil.which("envtool") == own else _shown(own)


def _shown(path: str) -> str:
    """Return a path as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
