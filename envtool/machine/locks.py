"""Locks by file: one process makes a store path, and nobody takes a root while another collects.

All are flock(2) locks on descriptors of their own, so they exclude threads as well as
processes, and a killed process lets go of them.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from envtool.errors import StoreError
from envtool.machine.disk import disk_errors
from envtool.machine.linux import lock_holder

OnWait = Callable[[str], object]
"""Called once, with a sentence that says for what and whom, when a lock is waited for longer."""

PATIENCE = 1.0
"""Seconds of waiting before `OnWait` is called."""
_STEP = 0.02
_WHOLE = "the lock of the whole store"


def _try(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _acquire(descriptor: int, mode: int, what: str, on_wait: OnWait | None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _try(descriptor, mode):
        if time.monotonic() >= deadline:
            if on_wait is not None:
                holder = lock_holder(descriptor)
                who = "another process" if holder is None else f"process {holder}"
                on_wait(f"waiting for {who}, which holds {what}")
            fcntl.flock(descriptor, mode)
            return
        time.sleep(_STEP)


@contextmanager
def file_lock(
    path: str, what: str, *, wait: bool = True, on_wait: OnWait | None = None, keep: bool = False
) -> Iterator[bool]:
    """Hold the lock file `path` exclusively; it is removed afterwards unless `keep`.

    Gives True; without `wait` it gives False at once if somebody else holds it. `what` is
    how a user is told what is waited for. Whoever gets a lock whose file was removed meanwhile
    takes the new file instead (Nix's `pathlocks.cc`).

    :raises StoreError: the lock file cannot be made.
    """
    with disk_errors("take a lock"):
        descriptor = _open_locked(path, what, wait=wait, on_wait=on_wait)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        if not keep:
            os.unlink(path)
        os.close(descriptor)


def _open_locked(path: str, what: str, *, wait: bool, on_wait: OnWait | None) -> int | None:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if wait:
                _acquire(descriptor, fcntl.LOCK_EX, what, on_wait)
            elif not _try(descriptor, fcntl.LOCK_EX):
                os.close(descriptor)
                return None
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_locked(path: str) -> bool:
    """Return whether somebody holds the lock file `path`; no such file, no lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


class CollectorLock:
    """The lock between those who make roots, many at once, and the one who collects."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._holders = 0
        self._descriptor: int | None = None
        self._collector: int | None = None
        """The thread that holds it alone."""

    @contextmanager
    def shared(self, on_wait: OnWait | None = None) -> Iterator[None]:
        """Keep the collector away; nests, also in `exclusive`, and serves several threads.

        In a root that cannot be written to, and so cannot be collected by us either, nothing
        is locked.
        """
        if self._collector == threading.get_ident():
            yield
            return
        with self._mutex:
            if self._holders == 0:
                self._descriptor = self._open_shared(on_wait)
            self._holders += 1
        try:
            yield
        finally:
            with self._mutex:
                self._holders -= 1
                if self._holders == 0 and self._descriptor is not None:
                    os.close(self._descriptor)
                    self._descriptor = None

    def _open_shared(self, on_wait: OnWait | None) -> int | None:
        descriptor = self._open()
        if descriptor is not None:
            try:
                _acquire(descriptor, fcntl.LOCK_SH, _WHOLE, on_wait)
            except BaseException:
                os.close(descriptor)
                raise
        return descriptor

    def _open(self) -> int | None:
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            pass
        try:
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None

    @contextmanager
    def exclusive(self, on_wait: OnWait | None = None) -> Iterator[None]:
        """Wait until nobody holds it, and keep everybody from it.

        :raises StoreError: this process holds it itself, or the root cannot be written to.
        """
        with self._mutex:
            if self._holders:
                raise StoreError("cannot collect garbage while this process adds to the store")
            with disk_errors("lock the store"):
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with file_lock(self._path, _WHOLE, on_wait=on_wait, keep=True):
                self._collector = threading.get_ident()
                try:
                    yield
                finally:
                    self._collector = None
