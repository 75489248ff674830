"""Reading a user's tree into a NAR, less what is excluded, and copying it in the same pass."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from envtool.errors import FormatError, StoreError
from envtool.formats.nix import nar
from envtool.machine.metadata import (
    DIRECTORY_MODE,
    EXECUTABLE_MODE,
    FILE_MODE,
    MTIME,
    canonicalise,
    has_attributes,
)
from envtool.machine.sharing.twin import Twin

Exclude = Callable[[str], bool]
"""Told the path below the source, such as `src/x.py`; a directory it refuses is not entered."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def dump_tree(source: str, sink: nar.Sink, *, exclude: Exclude | None = None) -> None:
    """Write the tree at `source` to `sink` as a NAR; links are not followed.

    :raises StoreError: the tree holds a device, socket or FIFO, is nested too deep, or a file
        of it became shorter meanwhile.
    """
    with _store_errors():
        _Reader(source, sink, exclude).dump(source)


def copy_tree(
    source: str,
    target: str,
    sink: nar.Sink,
    *,
    exclude: Exclude | None = None,
    older: str | None = None,
) -> None:
    """Write the tree to `sink` as `dump_tree` does, and those very bytes to `target` as well.

    A source that changes meanwhile cannot make the two differ. The copy, at a path where nothing
    is yet, has the canonical form of a store object. `older` is a store object: files that are
    the same there become links to them.

    :raises StoreError: as `dump_tree` does; what was copied stays for the caller to remove.
    """
    copier = _Copier(source, sink, exclude, target, older)
    with _store_errors():
        copier.copy()


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except FormatError as error:
        raise StoreError(error.message, hint=error.hint) from error


class _Reader(nar.Dumper):
    """Reads what is not excluded."""

    def __init__(self, source: str, sink: nar.Sink, exclude: Exclude | None) -> None:
        super().__init__(sink)
        self._source = source
        self._exclude = exclude
        self._begin = len(os.fsencode(source))

    def names(self, folder: bytes) -> list[bytes]:
        names = os.listdir(folder)
        if self._exclude is None:
            return names
        below = os.fsdecode(folder[self._begin + 1 :])
        prefix = f"{below}/" if below else ""
        return [name for name in names if not self._exclude(prefix + os.fsdecode(name))]


class _Copier(_Reader):
    """Copies what it reads."""

    def __init__(
        self,
        source: str,
        sink: nar.Sink,
        exclude: Exclude | None,
        target: str,
        older: str | None,
    ) -> None:
        super().__init__(source, sink, exclude)
        self._target = os.fsencode(target)
        self._older = None if older is None else os.fsencode(older)
        self._modes_hold = False
        """Whether files get the modes they are made with: no umask or ACL takes a bit of them."""
        self._mode = FILE_MODE
        self._copy = -1
        self._twin: Twin | None = None

    def copy(self) -> None:
        """Read and copy all of it."""
        try:
            self.dump(self._source)
        finally:
            self._abandon()
        # They come from the folder around it, and then everything has them.
        if has_attributes(target := os.fsdecode(self._target)):
            canonicalise(target)

    def names(self, folder: bytes) -> list[bytes]:
        copy = self._place(folder)
        os.mkdir(copy, 0o755)
        if copy == self._target:
            mode = os.lstat(copy).st_mode
            self._modes_hold = mode & 0o777 == 0o755  # noqa: PLR2004 - as just made
        return super().names(folder)

    def left(self, folder: bytes) -> None:
        copy = self._place(folder)
        os.utime(copy, (MTIME, MTIME))
        os.chmod(copy, DIRECTORY_MODE)

    def linked(self, path: bytes, target: bytes) -> None:
        copy = self._place(path)
        os.symlink(target, copy)
        os.utime(copy, (MTIME, MTIME), follow_symlinks=False)

    def opened(self, path: bytes, status: os.stat_result) -> Callable[[bytes], object]:
        self._mode = EXECUTABLE_MODE if status.st_mode & stat.S_IXUSR else FILE_MODE
        copy = self._place(path)
        if self._older is not None:
            older = os.fsdecode(self._older + path[self._begin :])
            self._twin = Twin.find(older, os.fsdecode(copy), status.st_size, self._mode)
            if self._twin is not None:
                return self._twin.write
        self._copy = os.open(copy, _NEW, self._mode)
        return self._write

    def closed(self) -> None:
        if self._twin is not None:
            self._twin.finish()
        else:
            if not self._modes_hold:
                os.fchmod(self._copy, self._mode)
            os.utime(self._copy, (MTIME, MTIME))
        self._abandon()

    def _abandon(self) -> None:
        """Close what is open, finished or not."""
        if self._twin is not None:
            self._twin.close()
            self._twin = None
        if self._copy >= 0:
            os.close(self._copy)
            self._copy = -1

    def _place(self, path: bytes) -> bytes:
        return self._target + path[self._begin :]

    def _write(self, data: bytes) -> None:
        written = os.write(self._copy, data)
        while written < len(data):
            written += os.write(self._copy, memoryview(data)[written:])
