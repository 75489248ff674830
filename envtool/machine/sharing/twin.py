"""A file that is being written and may turn out to be the same as one of the store.

It is compared as it is written; at the end it is a link to that one, or a file of its own.
"""

import os
import stat
from typing import Self

from envtool.machine.metadata import MTIME, is_canonical

_CHUNK = 1 << 20


class Twin:
    """An older file, and a new one that is the same as far as it has been written.

    Use it with `with`, `write` all of the new file's bytes, and call `finish`.
    """

    def __init__(self, older: str, status: os.stat_result, descriptor: int, target: str) -> None:
        self._older = older
        self._status = status
        self._descriptor = descriptor
        self._target = target
        self._same = 0
        """Bytes that were the same so far."""
        self._copy: int | None = None
        """Descriptor of the new file, once it has to be one of its own."""

    @classmethod
    def find(cls, older: str, target: str, size: int, mode: int) -> Self | None:
        """Return the twin at `older` of a file of `size` bytes; None if there is none.

        `target` is where the new file is to be; nothing is there yet. `mode` is its final one.
        """
        try:
            descriptor = os.open(older, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        status = os.fstat(descriptor)
        if status.st_size == size and is_canonical(status, mode):
            return cls(older, status, descriptor, target)
        os.close(descriptor)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both files, whether the new one is complete or not."""
        os.close(self._descriptor)
        if self._copy is not None:
            os.close(self._copy)

    def matches(self, data: bytes | bytearray) -> bool:
        """Return whether the older file goes on with these bytes; once not, ask no more."""
        if _read(self._descriptor, len(data)) != data:
            return False
        self._same += len(data)
        return True

    def write(self, data: bytes | bytearray) -> None:
        """Take the next bytes of the new file."""
        if self._copy is None:
            if self.matches(data):
                return
            self._copy = self._part()
        _write(self._copy, data)

    def finish(self) -> bool:
        """Put the complete file at the target; return whether it is a link to the older one."""
        if self._copy is None:
            if self.link():
                return True
            self._copy = self._part()
        os.fchmod(self._copy, stat.S_IMODE(self._status.st_mode))
        os.utime(self._copy, (MTIME, MTIME))
        return False

    def link(self) -> bool:
        """Link the target if all was the same; return whether it was done.

        The file system may refuse, and somebody may have replaced the older file meanwhile.
        """
        if self._same != self._status.st_size:
            return False
        try:
            os.link(self._older, self._target, follow_symlinks=False)
        except OSError:
            return False
        if os.path.samestat(os.lstat(self._target), self._status):
            return True
        os.unlink(self._target)
        return False

    def _part(self) -> int:
        """Begin a file of its own with the bytes that were the same."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        copy = os.open(self._target, flags, 0o600)
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            left = self._same
            while left and (data := _read(self._descriptor, min(left, _CHUNK))):
                _write(copy, data)
                left -= len(data)
        except BaseException:
            os.close(copy)
            raise
        return copy


def _read(descriptor: int, size: int) -> bytes:
    """Return the next `size` bytes, or what is left."""
    data = os.read(descriptor, size)
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data


def _write(descriptor: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
