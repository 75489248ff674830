"""Temporary roots: what running operations use, or are about to make, without a root yet.

`var/temproots/<pid>` belongs to one process, which holds a lock on it for as long as it lives;
the file of a dead process is nobody's and is removed. In it stand full logical store paths, each
ended by a NUL byte. The form and the rules are Nix's (`gc.cc`), so that a real Nix that collects
our store respects our operations, and we respect a real Nix's.

The rule that makes it safe: *first write the root, then ask or make*. It is written under the
shared side of the collector's lock, which the collector holds alone from looking for roots until
what is dead is invalid and out of the way. So a root is either written before it looks, and then
the path stays, or after it is done, and then the question is answered "not valid" and the path is
made anew. Who makes a lasting root does that under the shared side, too, while the temporary one is
there: no collector can look at lasting roots before and at temporary ones after.

As in Nix a temporary root keeps everything with its digest: `<path>.lock`, a path placed but not
registered yet, and scratch, whose names begin with a digest of the process's own.
"""

import fcntl
import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from envtool.errors import FormatError, StoreError
from envtool.formats.nix.hashing import to_nix32
from envtool.formats.nix.storepath import StorePath
from envtool.machine.locks import CollectorLock, OnWait

__all__ = ["SCRATCH", "TemporaryRoots", "drop_dead", "read_temporary"]

_MOST_NAMES = 1000
"""Files that may have one process's number: those of its stores, or of other containers."""
_DIGEST_BYTES = 20
SCRATCH = "envtool-scratch"
"""What follows the digest in the names of everything unfinished."""


class TemporaryRoots:
    """Those of one store in this process, and in each process forked from it."""

    def __init__(self, folder: str, lock: CollectorLock) -> None:
        self._folder = folder
        self._lock = lock
        self._uses = 0
        self._kept: dict[StorePath, None] = {}
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._mutex = threading.RLock()
        self._digest = to_nix32(os.urandom(_DIGEST_BYTES))
        self._descriptor: int | None = None
        self._instead = ExitStack()
        self._finalizer: weakref.finalize[..., TemporaryRoots] | None = None

    def _in_child(self) -> None:
        """Begin anew in a forked child: the file, and who holds the mutex, are the parent's.

        What was in use stays: the parent's file is locked until both have ended.
        """
        if self._process != os.getpid():
            kept, self._kept = self._kept, {}
            self._begin()
            if self._uses:
                self._open(None)
                if self._descriptor is None:
                    self._keep_away()
                self.keep(kept)

    @contextmanager
    def using(self, on_wait: OnWait | None = None) -> Iterator[None]:
        """Keep from now on what `keep` is told; all of it is let go at the end of the last use."""
        self._in_child()
        with self._mutex:
            self._open(on_wait)
            if self._descriptor is None:
                self._keep_away(on_wait)
            self._uses += 1
        try:
            yield
        finally:
            with self._mutex:
                self._uses -= 1
                if not self._uses:
                    self._forget()

    def keep(self, paths: Iterable[StorePath]) -> None:
        """Write roots for `paths`, unless nothing is in use; only then ask about them."""
        if not self._uses:
            return
        self._in_child()
        with self._mutex:
            new = dict.fromkeys(path for path in paths if path not in self._kept)
            if new and self._descriptor is not None:
                with self._lock.shared():
                    try:
                        _write(self._descriptor, new)
                    except OSError:
                        self._keep_away()
                self._kept.update(new)

    def scratch(self) -> str:
        """Return how the names of this process's scratch begin; no collector takes them."""
        self._in_child()
        with self._mutex:
            self._open(None)
        return self._own()

    def close(self) -> None:
        """Remove the file, unless something is in use."""
        self._in_child()
        with self._mutex:
            if self._finalizer is not None and not self._uses:
                self._finalizer()
                self._descriptor = self._finalizer = None

    def _open(self, on_wait: OnWait | None) -> None:
        """Have a file of our own, with the digest of our scratch in it, if the disk lets us."""
        if self._descriptor is not None:
            return
        with self._lock.shared(on_wait), suppress(OSError):
            os.makedirs(self._folder, exist_ok=True)
            path, descriptor = self._locked()
            try:
                os.ftruncate(descriptor, 0)
                _write(descriptor, [self._own()])
            except OSError:
                _close(path, descriptor, self._process)
                return
            self._descriptor = descriptor
            self._finalizer = weakref.finalize(self, _close, path, descriptor, self._process)

    def _locked(self) -> tuple[str, int]:
        """Lock the first file with our number that is nobody's."""
        for number in range(_MOST_NAMES):
            path = f"{self._folder}/{self._process}{f'-{number}' if number else ''}"
            while (descriptor := _open_locked(path)) is not None:
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                        return path, descriptor
                os.close(descriptor)  # its former owner removed it when it was done
        raise FileExistsError(path)

    def _keep_away(self, on_wait: OnWait | None = None) -> None:
        """Keep the collector away while anything is in use, since no root can be written.

        In a root that cannot be written to at all it could not come anyway.
        """
        self._instead.enter_context(self._lock.shared(on_wait))

    def _own(self) -> StorePath:
        return StorePath(f"{self._digest}-{SCRATCH}")

    def _forget(self) -> None:
        """Let go of all but our scratch, in one step."""
        self._kept.clear()
        self._instead.close()
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, len(_text(self._own())))


def _open_locked(path: str) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if _try_lock(descriptor, fcntl.LOCK_EX):
        return descriptor
    os.close(descriptor)
    return None


def _try_lock(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _text(path: StorePath) -> bytes:
    return path.full().encode() + b"\0"


def _write(descriptor: int, paths: Iterable[StorePath]) -> None:
    """Append roots, all or none."""
    before = os.fstat(descriptor).st_size
    data = b"".join(map(_text, paths))
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _close(path: str, descriptor: int, process: int) -> None:
    if process == os.getpid():
        # Before it is closed: what has its name afterwards may be another's.
        with suppress(OSError):
            os.unlink(path)
        os.close(descriptor)


def read_temporary(folder: str) -> Iterator[tuple[str, StorePath]]:
    """Yield each file of a living process with each path in it.

    :raises StoreError: one cannot be read; a root that is overlooked would be deleted.
    """
    for file, descriptor in _opened(folder, os.O_RDONLY):
        if not _try_lock(descriptor, fcntl.LOCK_SH):
            for line in _contents(descriptor).split(b"\0")[:-1]:
                with suppress(FormatError):
                    yield file, StorePath.parse_full(line.decode(errors="replace"))


def drop_dead(folder: str) -> None:
    """Remove the files of processes that have ended. Call it under the exclusive lock."""
    for file, descriptor in _opened(folder, os.O_RDWR):
        if _try_lock(descriptor, fcntl.LOCK_EX):
            with suppress(FileNotFoundError):
                os.unlink(file)
            # A Nix that has opened it meanwhile, and locks it now, sees that it must make another.
            os.write(descriptor, b"d")


def _opened(folder: str, mode: int) -> Iterator[tuple[str, int]]:
    for name in _names(folder):
        try:
            descriptor = os.open(f"{folder}/{name}", mode | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(
                f"cannot look for GC roots in {folder}/{name}: {error.strerror}",
                hint="run it as the owner of the store",
            ) from error
        try:
            yield f"{folder}/{name}", descriptor
        finally:
            os.close(descriptor)


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except FileNotFoundError:
        return []


def _contents(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)
