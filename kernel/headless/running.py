"""Run notebooks from top to bottom in the environments they declare, and keep what came of it.

A notebook itself is not touched, unless that is asked for: the executed copy carries the outputs,
the lock, and which environment made them.
"""

import difflib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from envtool import __version__
from envtool.errors import EnvtoolError, KernelError
from envtool.formats.foreign.imported import distribution_of
from envtool.formats.nix.hashing import Hash
from envtool.formats.notebooks.origin import Origin
from envtool.formats.notebooks.parameters import assignments, defaults, inject
from envtool.kernel.entering import program
from envtool.kernel.headless.execution import Execution, perform
from envtool.kernel.headless.preparing import (
    COPY,
    Entered,
    Wanted,
    check_kind,
    enter,
    execution_of,
    named,
    nbformat_module,
    read_notebook,
    shown,
)
from envtool.machine import project as projects
from envtool.machine.disk import disk_errors
from envtool.machine.project import Project
from envtool.values import value
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from envtool.formats.nix.storepath import StorePath

__all__ = ["NotebookRun", "run_notebook", "run_notebooks"]

_KERNELSPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
"""What every Jupyter has: a name of this machine in a shared file helps nobody."""
_ABSENT = re.compile(r"failed: ModuleNotFoundError: No module named '(\w+)")


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
    output = wanted.output
    if output is not None and os.path.lexists(output) and not os.path.isdir(output):
        raise KernelError(
            f"{output} is no folder, and several notebooks are written",
            hint="name another place with --output FOLDER",
        )
    with ExitStack() as stack:
        tasks = []
        for each in notebooks:
            with named(each, several=True):
                tasks.append(_Task(workspace, each, wanted, stack, several=True))
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
        self._note = workspace.reporter.note
        self.project = project
        self.wanted = wanted
        self.interrupted = False
        self.text = projects.read_text(project.path)
        output = project.path if wanted.in_place else wanted.output
        self.target = _target(project.path, output, is_folder=several and not wanted.in_place)
        notebook = read_notebook(project, self.text)
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
            else:
                if self.interrupted:
                    self._note(f"the outputs up to there: {shown(self.target)}")
                _help(error, self.entered, self.target)
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
        text = text.encode(errors="backslashreplace").decode()  # half a pair, as JSON has it
        if self.wanted.in_place:
            projects.replace_declaration(self.target, self.text, text)
        else:
            _write(self.target, text)


def _run_all(workspace: Workspace, tasks: Sequence[_Task], wanted: Wanted) -> list[NotebookRun]:
    executions = [task.execution for task in tasks]
    try:
        perform(executions, workspace.reporter, jobs=wanted.jobs)
    except KeyboardInterrupt:
        for task in tasks:
            task.interrupted = True
        raise
    finally:
        runs = [task.finish() for task in tasks]
    if len(runs) == 1 and runs[0].error is None:
        _tell(workspace, tasks[0].entered, tasks[0].target)
    return runs


def _help(error: EnvtoolError | None, entered: Entered, target: str) -> None:
    """Say in the error of a cell what to do: declare a module that is missing, or look at it."""
    if error is None:
        return
    absent = _ABSENT.search(error.message)
    kept = f"the outputs up to there: {shown(target)}"
    if absent is None:
        error.hint = kept
        return
    words = ["notebook", "add"] if entered.project.kind.startswith("notebook") else ["-f"]
    words += [shown(entered.project.path), *(["add"] if words == ["-f"] else [])]
    words.append(distribution_of(absent[1]))
    error.hint = f"if a package provides it: {shlex.join(['envtool', *words])}; {kept}"


def _parametrise(workspace: Workspace, notebook: Any, parameters: Mapping[str, Any]) -> None:
    if not parameters:
        return
    nbformat = nbformat_module()
    cell = nbformat.v4.new_code_cell(assignments(parameters))
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        del cell["id"]
    known = defaults(notebook.cells)
    unknown = [] if known is None else [name for name in parameters if name not in known]
    for name in unknown:
        workspace.reporter.note(_unknown(name, sorted(known or ())))
    notebook.cells = [nbformat.from_dict(each) for each in inject(notebook.cells, cell)]


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    rest = f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'none'}"
    return f"note: the notebook has no parameter {name}; {rest}"


def _tell(workspace: Workspace, entered: Entered, target: str) -> None:
    """Say where things lie and, after the first run in a generation, what to try next."""
    environment = workspace.physical(entered.record.environment)
    lines = [
        f"generation {entered.number} of {entered.record.name}: {environment}",
        f"everything of envtool's lies in {workspace.settings.root}",
        f"the executed notebook has the outputs and the lock: {shown(target)}",
    ]
    if entered.made:
        lines += ["try next:", *_next_steps(entered)]
    for line in lines:
        workspace.reporter.note(line)


def _next_steps(entered: Entered) -> list[str]:
    program, declaration = _spelled_program(), shown(entered.project.path)
    steps = [
        (f"-f {declaration} shell", "enter this environment"),
        (f"-f {declaration} tree", "see what it holds, and why"),
        (f"-f {declaration} add scipy", "add a package: a new generation"),
        (f"-f {declaration} rollback", f"go back to generation {entered.number}, at once"),
        ("kernel install", "use it in JupyterLab and VS Code"),
    ]
    width = max(len(words) for words, _ in steps)
    return [f"  {program} {words:<{width}}  {meaning}" for words, meaning in steps]


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
    if output is None or is_folder or output.endswith("/") or os.path.isdir(output):
        name = os.path.splitext(name)[0] + COPY
        folder = output or (folder if os.access(folder, os.W_OK) else os.getcwd())
        output = os.path.join(folder, name)
    output = os.path.abspath(output)
    above = os.path.dirname(output)
    while not os.path.lexists(above):  # is made when there is something to write
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        reason = f"{above} is no folder"
    elif not os.access(above, os.W_OK | os.X_OK):
        reason = f"not allowed to write in {above}"
    else:
        return output
    raise KernelError(
        f"{output} cannot be written: {reason}", hint="name another place with --output PATH"
    )


def _write(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    with disk_errors("write the executed notebook", raising=KernelError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
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
    return "envtool" if shutil.which("envtool") == own else shown(own)
