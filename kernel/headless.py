"""Run a notebook from top to bottom in the environment it declares, and keep what came of it.

The notebook itself is not touched: the executed copy carries the outputs, the lock, and which
environment made them.
"""

import asyncio
import os
import shlex
import signal
import sys
import time
from contextlib import suppress
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Any

from envtool import __version__
from envtool.errors import KernelError
from envtool.formats.declarations.notebook import declaration_block
from envtool.formats.generation import LOCK
from envtool.kernel.entering import command, program, variables
from envtool.machine import project as projects
from envtool.machine.disk import disk_errors
from envtool.values import value
from envtool.workspace import Project, Workspace, open_project

if TYPE_CHECKING:
    from envtool.formats.nix.storepath import StorePath
    from envtool.reporting import Reporter
    from envtool.workspace import Record

__all__ = ["NotebookRun", "run_notebook"]

_LAST_WORDS = 10
"""Seconds that an interrupted run may take to notice."""
_SHOWN = 60
"""Characters of a cell that its progress line shows."""
_LONGEST = 70
"""Bytes of the temporary folder's path that leave room for ours and jupyter_client's names."""
_KERNELSPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
"""What every Jupyter has: a name of this machine in a shared file helps nobody."""


@value
class NotebookRun:
    """What an execution left."""

    output: str
    """Absolute path of the executed notebook."""
    generation: int
    environment: "StorePath"
    cells: int
    """Code cells that were executed."""
    seconds: float


@value
class _Entered:
    """The generation to run in."""

    project: Project
    number: int
    record: "Record"
    lock: str
    made: bool
    """The run itself made the generation."""


def run_notebook(
    workspace: Workspace, project: Project, *, output: str | None = None, timeout: int | None = None
) -> NotebookRun:
    """Execute the notebook and write the executed copy, by default beside it.

    A notebook that declares nothing runs in the environment of the project it lies in. `timeout`
    is in seconds for each cell; None waits for ever.

    :raises KernelError: a cell fails (the copy is written all the same), or there is no kernel.
    """
    _check_kind(project)
    nbformat = _nbformat()
    text = projects.read_text(project.path)
    target = _target(project.path, output)
    entered = _enter(workspace, _declaring(project, text))
    notebook = nbformat.reads(text, as_version=4)
    environ = variables(workspace, entered.project, entered.number, entered.record, os.environ)
    started = time.monotonic()
    with TemporaryDirectory(prefix="envtool-", dir=_short_folder()) as folder:
        client = _client(workspace, entered, notebook, timeout=timeout, folder=folder)
        run = _Run(client, workspace.reporter)
        try:
            asyncio.run(run.perform(environ, os.path.dirname(project.path)))
        finally:
            if run.started:
                _describe(notebook, entered)
                _write(target, nbformat.writes(notebook) + "\n")
        if run.interrupted:
            raise KeyboardInterrupt
    seconds = time.monotonic() - started
    _tell(workspace, entered, target)
    return NotebookRun(
        output=target,
        generation=entered.number,
        environment=entered.record.environment,
        cells=client.code_cells_executed,
        seconds=seconds,
    )


def _tell(workspace: Workspace, entered: _Entered, target: str) -> None:
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


def _next_steps(entered: _Entered) -> list[str]:
    program, declaration = _spelled_program(), _shown(entered.project.path)
    steps = [
        (f"-f {declaration} shell", "enter this environment"),
        (f"-f {declaration} tree", "see what it holds, and why"),
        (f"-f {declaration} add scipy", "add a package: a new generation"),
        (f"-f {declaration} rollback", f"go back to generation {entered.number}, at once"),
        (f"-f {declaration} kernel install", "use it in JupyterLab and VS Code"),
    ]
    width = max(len(words) for words, _ in steps)
    return [f"  {program} {words:<{width}}  {meaning}" for words, meaning in steps]


def _check_kind(project: Project) -> None:
    if not project.kind.startswith("notebook"):
        raise KernelError(
            f"{project.path} is not a notebook",
            hint="a script runs with `envtool run SCRIPT`, a notebook ends in .ipynb",
        )


def _nbformat() -> Any:
    try:
        import nbclient  # noqa: F401 - asked for here, so that nothing is realised in vain
        import nbformat
    except ImportError as error:
        raise KernelError(
            f"running notebooks needs the package {error.name}, which is not there",
            hint=f"{shlex.quote(sys.executable)} -m pip install nbclient",
        ) from error
    return nbformat


def _declaring(project: Project, text: str) -> Project:
    """Return the project whose environment the notebook is to run in."""
    if project.kind != "notebook-cell" or declaration_block(text, file=project.path) is not None:
        return project
    return open_project(os.path.dirname(project.path), environment=project.environment)


def _enter(workspace: Workspace, project: Project) -> _Entered:
    """Return the current generation if it answers the notebook, else switch to one that does."""
    current, made = workspace.current(project), False
    if current is None or _outdated(workspace, project, current[1]):
        generation, made = workspace.switch(project, save_lock=False)
        current = generation.number, generation.record
    return _Entered(project, *current, _kept_lock(workspace, project), made)


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


def _client(
    workspace: Workspace, entered: _Entered, notebook: Any, *, timeout: int | None, folder: str
) -> Any:
    """Return the nbclient that will run the notebook, its connection to be made in `folder`."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    spec = KernelSpec(
        argv=[*command(workspace, entered.project, entered.record), "-f", "{connection_file}"],
        display_name=entered.record.kernel or entered.record.name,
        language="python",
        interrupt_mode="message",
    )

    class OneSpec(KernelSpecManager):
        """Knows the environment's kernel only; nothing needs to be registered for it."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:  # noqa: ARG002
            return spec

    # Sockets in a folder of our own: no port of this machine is open while the notebook runs.
    manager = AsyncKernelManager(
        kernel_spec_manager=OneSpec(),
        kernel_name="envtool",
        transport="ipc",
        connection_file=f"{folder}/kernel.json",
    )
    return NotebookClient(notebook, km=manager, timeout=timeout)


def _short_folder() -> str:
    """Return where sockets can be: their whole path may have 107 bytes only (unix(7))."""
    usual = gettempdir()
    return usual if len(os.fsencode(usual)) <= _LONGEST else "/tmp"  # noqa: S108 - made private


class _Run:
    """One execution.

    `started` says whether there may be outputs worth keeping, `interrupted` whether Ctrl-C ended
    it.
    """

    def __init__(self, client: Any, reporter: "Reporter") -> None:
        self.started = False
        self.interrupted = False
        self._client = client
        self._reporter = reporter

    async def perform(self, environ: dict[str, str], folder: str) -> None:
        """Start the kernel, execute every cell, and leave no kernel behind, whatever happens."""
        client = self._client
        manager = client.km
        await manager.start_kernel(env=environ, cwd=folder)
        work = asyncio.create_task(self._cells())
        try:
            await self._unless_interrupted(work)
        finally:
            await manager.shutdown_kernel(now=not _succeeded(work))
            # Without its kernel the work ends by itself, within the second that nbclient asks in.
            await asyncio.wait({work}, timeout=_LAST_WORDS)
            _succeeded(work)
            if client.kc is not None:
                client.kc.stop_channels()

    async def _unless_interrupted(self, work: "asyncio.Task[None]") -> None:
        """Wait for the work, or for Ctrl-C.

        nbclient takes a cancellation for news of the kernel, and may go on waiting; so it is not
        asked to stop but left with a kernel that is gone.
        """
        loop, interrupt = asyncio.get_running_loop(), asyncio.Event()
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread
            loop.add_signal_handler(signal.SIGINT, interrupt.set)
        waiting = asyncio.create_task(interrupt.wait())
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        self.interrupted = not work.done()
        waiting.cancel()
        if not self.interrupted:
            work.result()

    async def _cells(self) -> None:
        await self._begin()
        for index, cell in enumerate(self._client.nb.cells):
            await self._execute(index, cell)

    async def _begin(self) -> None:
        client = self._client
        client.reset_execution_trackers()
        try:
            await client.async_start_new_kernel_client()
        except RuntimeError as error:
            raise KernelError(f"the kernel did not start: {error}") from error
        reply = await client.async_wait_for_reply(client.kc.kernel_info())
        client.nb.metadata["language_info"] = reply["content"]["language_info"]
        self.started = True

    async def _execute(self, index: int, cell: Any) -> None:
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        if cell.cell_type != "code" or not cell.source.strip():
            return
        number, total = index + 1, len(self._client.nb.cells)
        self._reporter.note(f"cell {number}/{total}: {_first_line(cell.source)}")
        try:
            await self._client.async_execute_cell(
                cell, index, execution_count=self._client.code_cells_executed + 1
            )
        except CellExecutionError as error:
            raise _failed(number, cell.source, f"{error.ename}: {error.evalue}") from error
        except CellTimeoutError as error:
            longest = self._client.timeout
            raise _failed(number, cell.source, f"it took longer than {longest} s") from error
        except DeadKernelError as error:
            raise _failed(number, cell.source, "the kernel died") from error


def _succeeded(work: "asyncio.Task[None]") -> bool:
    """Say whether the work is done without a fault, which counts as seen from now on."""
    return work.done() and not work.cancelled() and work.exception() is None


def _failed(number: int, source: str, reason: str) -> KernelError:
    lines = source.strip("\n").splitlines()
    shown = lines[:3] + (["…"] if len(lines) > 3 else [])  # noqa: PLR2004 - enough to know it by
    quoted = "\n".join(f"    {line}" for line in shown)
    return KernelError(f"cell {number} failed: {reason}\n{quoted}")


def _first_line(source: str) -> str:
    lines = [line.strip() for line in source.splitlines()]
    told = next((line for line in lines if line and not line.startswith("#")), lines[0])
    return told if len(told) <= _SHOWN else f"{told[: _SHOWN - 1]}…"


def _describe(notebook: Any, entered: _Entered) -> None:
    """Note in the executed copy what made its outputs."""
    notebook.metadata["kernelspec"] = dict(_KERNELSPEC)
    own = notebook.metadata.setdefault("envtool", {})
    own["lock"] = entered.lock.splitlines(keepends=True)
    own["run"] = {
        "environment": entered.record.environment.full(),
        "generation": entered.number,
        "envtool": __version__,
    }


def _target(notebook: str, output: str | None) -> str:
    """Return the absolute path of the executed copy.

    :raises KernelError: nobody may write there.
    """
    folder, name = os.path.split(notebook)
    if output is None:
        name = f"{os.path.splitext(name)[0]}.executed.ipynb"
        folder = folder if os.access(folder, os.W_OK) else os.getcwd()
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
