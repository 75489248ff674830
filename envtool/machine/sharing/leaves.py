"""Leaves of store objects, their files and symlinks: found, and told apart by contents."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, Self

from envtool.formats.nix import nar
from envtool.formats.nix.storepath import StorePath
from envtool.machine.metadata import EXECUTABLE_MODE, FILE_MODE

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

PLAIN, EXECUTABLE, SYMLINK = range(3)
"""Kinds of leaves: what a NAR keeps of a mode."""

_KINDS = {stat.S_IFREG | FILE_MODE: PLAIN, stat.S_IFREG | EXECUTABLE_MODE: EXECUTABLE}
_LARGE = 1 << 18
"""Bytes of a file that is worth a thread; smaller ones are hashed sooner than handed over."""
_UNREADABLE = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,  # another user's
        errno.EPERM,
        errno.ELOOP,  # it has become another sort of file
        errno.EINVAL,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,  # deeper than a path can say
    }
)


class Leaf(NamedTuple):
    """One file or symlink, as it was seen."""

    owner: StorePath
    folder: str
    path: str
    kind: int
    size: int
    """Bytes; of a symlink's target."""
    inode: int


def kind_of(status: os.stat_result) -> int | None:
    """Return the kind; None for what a store object does not hold, such as a writable file."""
    return SYMLINK if stat.S_ISLNK(status.st_mode) else _KINDS.get(status.st_mode)


def leaves(store: str, owner: StorePath) -> Iterator[Leaf]:
    """Yield the leaves of the object `owner` in the store directory, a folder's in a row.

    What cannot be read, or disappears meanwhile, is left out.
    """
    top = f"{store}/{owner}"
    try:
        status = os.lstat(top)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        if (kind := kind_of(status)) is not None:
            yield Leaf(owner, store, top, kind, status.st_size, status.st_ino)
        return
    folders = [top]
    while folders:
        folder = folders.pop()
        with _unreadable_is_fine(), os.scandir(folder) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
                elif (kind := kind_of(status)) is not None:
                    yield Leaf(owner, folder, entry.path, kind, status.st_size, status.st_ino)


@contextmanager
def _unreadable_is_fine() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise


def leaf_digest(path: str, kind: int, size: int) -> bytes | None:
    """Return the SHA-256 of the NAR of the leaf at `path`.

    None when it cannot be read, or is not of this kind and size.
    """
    try:
        if kind == SYMLINK:
            return sha256(nar.MAGIC + nar.symlink_node(os.readlink(os.fsencode(path)))).digest()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return _digest(descriptor, size, executable=kind == EXECUTABLE)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
    return None


def _digest(descriptor: int, size: int, *, executable: bool) -> bytes | None:
    head = nar.MAGIC + nar.regular_open(size, executable=executable)
    data = os.read(descriptor, min(size + 1, nar.CHUNK))
    if len(data) == size < nar.CHUNK:
        return sha256(b"".join((head, data, nar.regular_close(size)))).digest()
    hasher, left = sha256(head), size
    while data:
        hasher.update(data)
        left -= len(data)
        data = os.read(descriptor, nar.CHUNK)
    hasher.update(nar.regular_close(size))
    return None if left else hasher.digest()


class Hashers:
    """Threads that hash large files, started when there is one."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)

    def digests(self, found: Sequence[Leaf]) -> Iterator[bytes | None]:
        """Yield the digest of each leaf's NAR; None for one that cannot be read."""
        ahead = {at: self._submit(leaf) for at, leaf in enumerate(found) if leaf.size >= _LARGE}
        for at, leaf in enumerate(found):
            if at in ahead:
                yield ahead[at].result()
            else:
                yield leaf_digest(leaf.path, leaf.kind, leaf.size)

    def _submit(self, leaf: Leaf) -> "Future[bytes | None]":
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor

            self._threads = ThreadPoolExecutor(self._count, "hash")
        return self._threads.submit(leaf_digest, leaf.path, leaf.kind, leaf.size)
