"""Unpack wheels in processes of their own, one per core.

Inflating and hashing leave the interpreter's lock, but thousands of small files do not give two
threads of one process much more than one core. One process loads what unpacking needs and forks
all workers: loading takes each 50 ms, and forking this process, which may have threads, could
leave a lock in a worker that nobody lets go of. A worker is asked by a line of JSON and answers in
lines; it ends when nobody can ask it any more, so it never outlives who asked.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, Self

import envtool
from envtool.build.unpack import Unpacked, unpack
from envtool.errors import BuildError, WheelError
from envtool.formats.nix.hashing import Hash

_START = (
    "import sys; lines, sys.path[:] = sys.argv[1], sys.argv[2:]; "
    "from envtool.build.worker import serve; serve([*map(int, lines.split(','))])"
)
_REPORTED = 4 << 20
"""Bytes after which a worker says how far it is."""


class Workers:
    """Some worker processes; any thread may use them, one request per worker at a time."""

    def __init__(self, count: int) -> None:
        with ExitStack() as theirs:
            lines = [socket.socketpair() for _ in range(count)]
            numbers = [theirs.enter_context(end).fileno() for _, end in lines]
            self._all = [_Worker(line) for line, _ in lines]
            self._process = _start(numbers)
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers at once; who waits for one gets a `BuildError`."""
        for worker in self._all:
            worker.hang_up()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):  # all have ended by themselves
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
        for worker in self._all:
            worker.close()

    def unpack(
        self,
        path: str,
        filename: str,
        target: str,
        on_bytes: Callable[[int], None],
        older: str | None = None,
        *,
        refused: tuple[str, ...] = (),
        inheriting: bool = False,
    ) -> Unpacked:
        """Do what `envtool.build.unpack.unpack` does, in one of the workers.

        :raises WheelError: the wheel must not be unpacked.
        :raises OSError: the disk refused.
        :raises BuildError: the worker died.
        """
        worker = self._idle.get()
        try:
            return worker.unpack(
                path, filename, target, on_bytes, older, refused=refused, inheriting=inheriting
            )
        finally:
            self._idle.put(worker)


def _start(lines: Sequence[int]) -> "subprocess.Popen[bytes]":
    """Start the process that has as many workers as there are lines to them."""
    # Without site and user settings: it imports from where this process does, and nothing else
    # starts with it. In a session of its own, so that Ctrl-C is this process's to handle.
    here = os.path.dirname(os.path.dirname(envtool.__file__))
    numbers = ",".join(map(str, lines))
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START, numbers, here, *filter(None, sys.path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=lines,
        start_new_session=True,
    )


class _Worker:
    """This end of the line to one worker."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._answers = line.makefile("rb")

    def hang_up(self) -> None:
        with suppress(OSError):  # it was closed before, or the worker has ended
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._answers.close()
        self._line.close()

    def unpack(
        self,
        path: str,
        filename: str,
        target: str,
        on_bytes: Callable[[int], None],
        older: str | None = None,
        *,
        refused: tuple[str, ...] = (),
        inheriting: bool = False,
    ) -> Unpacked:
        asked = _line([path, filename, target, older, refused, inheriting])
        kind, *rest = self._ask(asked, on_bytes)
        if kind == "done":
            return Unpacked(Hash("sha256", bytes.fromhex(rest[0])), rest[1])
        if kind == "wheel":
            raise WheelError(rest[0], hint=rest[1])
        if kind == "disk":
            raise OSError(*rest)
        if kind == "bug":
            raise RuntimeError(rest[0])
        raise BuildError(
            f"{filename}: the process that unpacked it ended before it was done",
            hint="if memory ran out, try again with ENVTOOL_JOBS=1",
        )

    def _ask(self, asked: bytes, on_bytes: Callable[[int], None]) -> list[Any]:
        """Return the worker's last answer; `["died"]` if it died, or was closed meanwhile."""
        with suppress(OSError):
            self._line.sendall(asked)
        while answer := self._hear():
            if answer[0] != "bytes":
                return answer
            on_bytes(answer[1])
        return ["died"]

    def _hear(self) -> list[Any]:
        """Return what the worker says next; nothing if it says no more."""
        with suppress(OSError, ValueError):  # its end is gone; this one was closed
            return list(json.loads(self._answers.readline()))
        return []


def serve(lines: Sequence[int]) -> None:
    """Have a worker for each of the lines, which are numbers of sockets, until all have ended."""
    # This process only waits: who starts workers need not know them, and none is left as a zombie.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for at, line in enumerate(lines):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # Ends of others' lines kept here would hide from the process that asks that they died.
            for other in lines[at + 1 :]:
                os.close(other)
            try:
                _serve(line)
            finally:
                os._exit(0)
        os.close(line)
    for _ in lines:
        os.wait()


def _serve(line: int) -> None:
    with suppress(BrokenPipeError, ConnectionResetError), socket.socket(fileno=line) as connection:
        # Who asked was killed, when nobody is there to hear the answer.
        for asked in connection.makefile("rb"):
            connection.sendall(_line(_answer(json.loads(asked), connection)))


def _answer(asked: list[Any], line: socket.socket) -> list[Any]:
    path, filename, target, older, refused, inheriting = asked
    pending = 0

    def on_bytes(count: int) -> None:
        nonlocal pending
        pending += count
        if pending >= _REPORTED:
            line.sendall(_line(["bytes", pending]))
            pending = 0

    try:
        unpacked = unpack(
            path,
            filename,
            target,
            on_bytes,
            older,
            refused=tuple(refused),
            inheriting=inheriting,
        )
    except WheelError as error:
        return ["wheel", error.message, error.hint]
    except OSError as error:
        return ["disk", error.errno, error.strerror, error.filename]
    except Exception:  # noqa: BLE001 - told where somebody can see it
        return ["bug", traceback.format_exc()]
    line.sendall(_line(["bytes", pending]))
    return ["done", unpacked.nar_hash.base16, unpacked.nar_size]


def _line(words: list[Any]) -> bytes:
    return json.dumps(words).encode() + b"\n"
