"""Executing the cells of notebooks in kernels of their environments, several at once.

Nothing is written here: the notebooks' JSON gets its outputs, and each cell what it took.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Any

from envtool.errors import KernelError
from envtool.formats.printable import printable
from envtool.machine.disk import disk_errors

if TYPE_CHECKING:
    from envtool.reporting import Reporter

__all__ = ["Execution", "perform"]

_LAST_WORDS = 10
"""Seconds that an interrupted run may take to notice."""
_APART = b"envtool.kernel.headless.apart"
_SHOWN = 60
"""Characters of a cell that its progress line shows."""
_LONGEST = 70
"""Bytes of the temporary folder's path that leave room for ours and jupyter_client's names."""


class Execution:
    """One notebook to be executed, and what came of it."""

    def __init__(
        self,
        notebook: Any,
        argv: Sequence[str],
        environ: dict[str, str],
        folder: str,
        *,
        name: str = "",
        timeout: int | None = None,
    ) -> None:
        """Take the notebook as nbformat has it; `name` leads its progress lines."""
        self.notebook = notebook
        self.argv = list(argv)
        self.environ = environ
        self.folder = folder
        self.name = name
        self.timeout = timeout
        self.started = False
        """There may be outputs worth keeping."""
        self.cells = 0
        """Code cells that were executed."""
        self.seconds = 0.0
        self.error: KernelError | None = None


def perform(executions: Sequence[Execution], reporter: "Reporter", *, jobs: int = 1) -> None:
    """Execute the notebooks, `jobs` at once, and leave no kernel behind.

    A fault of a notebook stands in its `error`.

    :raises KeyboardInterrupt: a signal ended them, such as that of Ctrl-C; with its number.
    """
    ended = asyncio.run(_perform(executions, reporter, jobs))
    if ended is not None:
        raise KeyboardInterrupt(ended)


async def _perform(executions: Sequence[Execution], reporter: "Reporter", jobs: int) -> int | None:
    loop, interrupt = asyncio.get_running_loop(), asyncio.Event()
    heard: list[int] = []

    def hear(number: int) -> None:
        heard.append(number)
        interrupt.set()

    with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, hear, number)
    room = asyncio.Semaphore(jobs)

    async def one(execution: Execution) -> None:
        async with room:
            if not interrupt.is_set():
                await _execute(execution, reporter, interrupt)

    await asyncio.gather(*(one(execution) for execution in executions))
    return heard[0] if heard else None


async def _execute(execution: Execution, reporter: "Reporter", interrupt: asyncio.Event) -> None:
    began = time.monotonic()
    try:
        with _folder() as folder:
            await _Run(execution, reporter, folder).perform(interrupt)
    except KernelError as error:
        execution.error = error
    execution.seconds = time.monotonic() - began


def _folder() -> "TemporaryDirectory[str]":
    """Return a folder for the connection file and sockets of one run.

    :raises KernelError: none can be made.
    """
    with disk_errors("make a folder for the kernel's sockets", raising=KernelError):
        return TemporaryDirectory(prefix="envtool-", dir=_short_folder())


def _client(execution: Execution, folder: str) -> Any:
    """Return the nbclient that will run the notebook, its connection to be made in `folder`."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    spec = KernelSpec(
        argv=[*execution.argv, "-f", "{connection_file}"],
        display_name="envtool",
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
    return NotebookClient(
        execution.notebook, km=manager, timeout=execution.timeout, record_timing=False
    )


def _short_folder() -> str:
    """Return where sockets can be: their whole path may have 107 bytes only (unix(7))."""
    usual = gettempdir()
    return usual if len(os.fsencode(usual)) <= _LONGEST else "/tmp"  # noqa: S108 - made private


class _Run:
    """One execution at work."""

    def __init__(self, execution: Execution, reporter: "Reporter", folder: str) -> None:
        self._execution = execution
        self._reporter = reporter
        self._client = _client(execution, folder)

    async def perform(self, interrupt: asyncio.Event) -> None:
        """Start the kernel, execute every cell, and leave no kernel behind, whatever happens."""
        client = self._client
        manager = client.km
        await manager.start_kernel(env=self._execution.environ, cwd=self._execution.folder)
        work = asyncio.create_task(self._cells())
        try:
            await _unless(interrupt, work)
        finally:
            await manager.shutdown_kernel(now=not _succeeded(work))
            if not self._execution.started:
                work.cancel()  # what waits for a kernel to begin takes that as it is meant
            # Without its kernel the work ends by itself, within the second that nbclient asks in.
            await asyncio.wait({work}, timeout=_LAST_WORDS)
            _succeeded(work)
            if client.kc is not None:
                client.kc.stop_channels()
            self._execution.cells = client.code_cells_executed

    async def _cells(self) -> None:
        await self._begin()
        for index, cell in enumerate(self._client.nb.cells):
            await self._cell(index, cell)

    async def _begin(self) -> None:
        client = self._client
        client.reset_execution_trackers()
        try:
            await client.async_start_new_kernel_client()
        except RuntimeError as error:
            raise KernelError(f"the kernel did not start: {error}") from error
        reply = await client.async_wait_for_reply(client.kc.kernel_info())
        client.nb.metadata["language_info"] = reply["content"]["language_info"]
        self._execution.started = True

    async def _cell(self, index: int, cell: Any) -> None:
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        if cell.cell_type != "code" or not cell.source.strip():
            return
        number, total = index + 1, len(self._client.nb.cells)
        lead = f"{self._execution.name} " if self._execution.name else ""
        self._reporter.note(f"{lead}cell {number}/{total}: {_first_line(cell.source)}")
        meter = _Meter(self._client.km)
        try:
            await self._client.async_execute_cell(
                cell, index, execution_count=self._client.code_cells_executed + 1
            )
        except CellExecutionError as error:
            raise _failed(number, cell.source, f"{error.ename}: {_said(error.evalue)}") from error
        except CellTimeoutError as error:
            longest = self._client.timeout
            raise _failed(number, cell.source, f"it took longer than {longest} s") from error
        except DeadKernelError as error:
            raise _failed(number, cell.source, "the kernel died") from error
        finally:
            cell.metadata["envtool"] = meter.read()


class _Meter:
    """What a cell takes: seconds, and the most memory that its kernel has meanwhile."""

    def __init__(self, manager: Any) -> None:
        self._folder = f"/proc/{_kernel_of(manager.provisioner.pid)}"
        # 5 is the word for: begin to count the peak anew (proc_pid_clear_refs(5)).
        with suppress(OSError), open(f"{self._folder}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        self._began = time.monotonic()

    def read(self) -> dict[str, Any]:
        """Return `seconds`, and the kernel's peak `memory` in bytes if the system tells it."""
        found: dict[str, Any] = {"seconds": round(time.monotonic() - self._began, 3)}
        with suppress(OSError), open(f"{self._folder}/status", encoding="utf-8") as file:
            lines = (line.split() for line in file)
            found["memory"] = next(
                (int(words[1]) * 1024 for words in lines if words[:1] == ["VmHWM:"]), None
            )
        return {key: found[key] for key in sorted(found) if found[key] is not None}


def _kernel_of(pid: int) -> int:
    """Return the kernel's process: for an empty root it is a child of the one that was started."""
    if not _is_starter(pid):
        return pid
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = [int(word) for word in file.read().split()]
        return next((child for child in children if not _is_starter(child)), pid)
    return pid


def _is_starter(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return _APART in file.read().split(b"\0")
    return False


async def _unless(interrupt: asyncio.Event, work: "asyncio.Task[None]") -> None:
    """Wait for the work, or for Ctrl-C.

    nbclient takes a cancellation for news of the kernel, and may go on waiting; so it is not
    asked to stop but left with a kernel that is gone.
    """
    waiting = asyncio.create_task(interrupt.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if work.done():
        work.result()


def _succeeded(work: "asyncio.Task[None]") -> bool:
    """Say whether the work is done without a fault, which counts as seen from now on."""
    return work.done() and not work.cancelled() and work.exception() is None


def _failed(number: int, source: str, reason: str) -> KernelError:
    lines = source.strip("\n").splitlines()
    shown = lines[:3] + (["…"] if len(lines) > 3 else [])  # noqa: PLR2004 - enough to know it by
    quoted = "\n".join(f"    {line}" for line in shown)
    return KernelError(f"cell {number} failed: {reason}\n{quoted}")


def _said(value: str) -> str:
    """Return what an error says, without the name that IPython gives a cell's text."""
    return re.sub(r" \(\d+\.py, (line \d+)\)$", r" (\1)", value)


def _first_line(source: str) -> str:
    lines = [line.strip() for line in source.splitlines()]
    told = next((line for line in lines if line and not line.startswith("#")), lines[0])
    return printable(told if len(told) <= _SHOWN else f"{told[: _SHOWN - 1]}…")
