"""Unpack wheels in processes of their own, one per core.

Inflating and hashing leave the interpreter's lock, but thousands of small files do not give two
threads of one process much more than one core. A worker is asked by a line of JSON on its standard
input and answers in lines; it ends when that input does, so it never outlives who asked.
"""

import json
import os
import queue
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self

import envtool
from envtool.build.unpack import Unpacked, unpack
from envtool.errors import BuildError, WheelError
from envtool.formats.nix.hashing import Hash

_START = "import sys; sys.path[:] = sys.argv[1:]; from envtool.build.worker import serve; serve()"
_REPORTED = 4 << 20
"""Bytes after which a worker says how far it is."""


class Workers:
    """Some worker processes; any thread may use them, one request per worker at a time."""

    def __init__(self, count: int) -> None:
        self._all = [_Worker() for _ in range(count)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers at once; who waits for one gets a `BuildError`."""
        for worker in self._all:
            worker.kill()

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


class _Worker:
    """One process."""

    def __init__(self) -> None:
        # Without site and user settings: it imports from where this process does, and nothing else
        # starts with it. In a session of its own, so that Ctrl-C is this process's to handle.
        here = os.path.dirname(os.path.dirname(envtool.__file__))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _START, here, *filter(None, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            # A request that was on its way can no longer be delivered, which is what was wanted.
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()

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
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        try:
            words = [path, filename, target, older, refused, inheriting]
            asked.write(json.dumps(words).encode() + b"\n")
            asked.flush()
            for line in answers:
                kind, *rest = json.loads(line)
                if kind == "bytes":
                    on_bytes(rest[0])
                else:
                    return _outcome(kind, rest)
        except (BrokenPipeError, ValueError) as error:  # ValueError: its pipes were closed
            raise _died(filename) from error
        raise _died(filename)


def _outcome(kind: str, rest: list[Any]) -> Unpacked:
    if kind == "done":
        return Unpacked(Hash("sha256", bytes.fromhex(rest[0])), rest[1])
    if kind == "wheel":
        raise WheelError(rest[0], hint=rest[1])
    if kind == "disk":
        raise OSError(*rest)
    raise RuntimeError(rest[0])


def _died(filename: str) -> BuildError:
    return BuildError(
        f"{filename}: the process that unpacked it ended before it was done",
        hint="if memory ran out, try again with ENVTOOL_JOBS=1",
    )


def serve() -> None:
    """Be a worker, until standard input ends or nobody hears the answers."""
    try:
        for line in sys.stdin.buffer:
            answer = _answer(json.loads(line), sys.stdout.buffer)
            _say(sys.stdout.buffer, answer)
    except BrokenPipeError:
        os._exit(1)  # who asked was killed; there is nobody to tell


def _answer(asked: list[Any], out: IO[bytes]) -> list[Any]:
    path, filename, target, older, refused, inheriting = asked
    pending = 0

    def on_bytes(count: int) -> None:
        nonlocal pending
        pending += count
        if pending >= _REPORTED:
            _say(out, ["bytes", pending])
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
    _say(out, ["bytes", pending])
    return ["done", unpacked.nar_hash.base16, unpacked.nar_size]


def _say(out: IO[bytes], answer: list[Any]) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()
