"""Folders of store objects that are open for a change, and those that a killed process left so.

Linking a file of an object needs its folder writable for a moment. Who does that notes the folder
first, in a file of `var/opened` that it holds locked; a note that nobody holds any more is of a
process that was killed, and whoever uses the store next closes the folder again.
"""

import fcntl
import os
from contextlib import suppress
from typing import Self

from envtool.machine.metadata import DIRECTORY_MODE, MTIME
from envtool.machine.settings import Settings

__all__ = ["Opened", "close_left_open"]

_LONGEST = 1 << 16


class Opened:
    """The note of one run, which has one folder open at a time; used with `with`."""

    def __init__(self, settings: Settings) -> None:
        self._folder = f"{settings.state}/opened"
        self._path = f"{self._folder}/{os.getpid()}-{os.urandom(4).hex()}"
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.unlink(self._path)
            os.close(self._descriptor)

    def open(self, folder: str) -> None:
        """Make a folder writable, after noting it."""
        if self._descriptor is None:
            os.makedirs(self._folder, exist_ok=True)
            self._descriptor = _new_note(self._path)
        name = os.fsencode(folder)
        os.pwrite(self._descriptor, name, 0)
        os.ftruncate(self._descriptor, len(name))
        with suppress(FileNotFoundError, PermissionError):
            os.chmod(folder, 0o755)  # noqa: S103 - what the store directory itself has

    def close(self, folder: str) -> None:
        """Give a folder the mode and the time of a store object's again."""
        _close(folder)
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)


def _new_note(path: str) -> int:
    """Return the descriptor of a new file, locked, which nobody took for a killed process's."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        os.close(descriptor)


def close_left_open(settings: Settings) -> None:
    """Close what killed processes left open; in a root that cannot be written to, do nothing."""
    try:
        names = os.listdir(f"{settings.state}/opened")
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            _settle(f"{settings.state}/opened/{name}", settings.store)


def _settle(note: str, store: str) -> None:
    descriptor = os.open(note, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = os.fsdecode(os.pread(descriptor, _LONGEST, 0))
        # A folder half noted is a name that is not there, or one above that is of this store, too.
        if folder.startswith(f"{store}/") and os.path.isdir(folder) and not os.path.islink(folder):
            _close(folder)
        os.unlink(note)
    finally:
        os.close(descriptor)


def _close(folder: str) -> None:
    with suppress(FileNotFoundError, PermissionError):
        os.chmod(folder, DIRECTORY_MODE)
        os.utime(folder, (MTIME, MTIME))
