"""Identical files of the store become hard links to one: the whole store, afterwards.

Files are the same when their NARs are: same bytes and same executable bit, or same target of a
symlink. The first of them gets a name in `.links` (`envtool.machine.links`), the others are
replaced by links to it, each by one rename, so that every object is whole at any instant. As
Nix's `optimise-store.cc` does it, so that both may work on one store, but for these:

* A file whose size nothing else in the store has is not read.
* An entry of `.links` is read before a run first links to it: one that was damaged is itself
  replaced instead of spreading.
* A folder that a killed run left writable is closed again.

Beside others: an object is worked on under the lock that its makers take, so that it is not made
anew between the reading of a file and its replacement; one that is being made is passed over. A
collector waits for one batch (`Store.shared`), not for the run.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple

from envtool.formats.nix import nar
from envtool.formats.nix.hashing import to_nix32
from envtool.formats.nix.storepath import StorePath
from envtool.machine.disk import disk_errors
from envtool.machine.links import LINKS
from envtool.machine.metadata import DIRECTORY_MODE, EXECUTABLE_MODE, FILE_MODE, MTIME
from envtool.machine.store import Store
from envtool.reporting import Reporter, Step
from envtool.values import value

_BATCH = 64
"""Store paths that are worked on at once."""
_TASK = 1 << 20
"""Bytes that a thread reads before it takes its next files."""
_REFUSED = frozenset(
    {
        errno.EMLINK,  # this file has as many names as the file system allows
        errno.EPERM,  # no hard links here, or not to what another user owns (proc(5))
        errno.ENOTSUP,
        errno.ENOSYS,
        errno.EXDEV,  # the folder of links lies elsewhere
        errno.ENOSPC,  # ext4 says so, too, when the folder of links is full
    }
)
"""Reasons for which a file is quietly left as it is."""
_UNREADABLE = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EINVAL})
"""It is gone, another user's, or has become another sort of file."""
_PLAIN, _EXECUTABLE, _SYMLINK = range(3)
_KINDS = {stat.S_IFREG | FILE_MODE: _PLAIN, stat.S_IFREG | EXECUTABLE_MODE: _EXECUTABLE}
"""Modes that a file of the store has; one with another was tampered with and is left alone."""


@value
class Optimised:
    """What a run did, or would do."""

    files: int
    """Files replaced by links to others."""
    saved: int
    """Their bytes."""
    total: int
    """Bytes that all hard links within the store save, those of earlier runs included."""
    damaged: int
    """Entries of `.links` whose contents were no longer what their name says."""
    supported: bool = True
    """False: the file system has no hard links, and nothing was done."""


class _File(NamedTuple):
    """One file or symlink of a store object."""

    owner: StorePath
    folder: str
    path: str
    kind: int
    size: int
    inode: int
    names: int
    """Hard links when it was seen."""


def optimise(store: Store, reporter: Reporter, *, dry_run: bool = False) -> Optimised:
    """Replace identical files of the valid paths by hard links; `dry_run` only counts.

    An interrupt leaves what is done as it is.

    :raises StoreError: the store cannot be written to, or the disk fails.
    """
    with disk_errors("optimise the store"):
        sizes = store.database.sizes()
        if not dry_run and sizes and not _links_work(store):
            return Optimised(0, 0, 0, 0, supported=False)
        reporter.expect("optimise", len(sizes), sum(sizes.values()))
        with _hashers(store.settings.jobs) as hashers:
            run = _Run(store, hashers, dry_run)
            paths = sorted(sizes)
            for start in range(0, len(paths), _BATCH):
                batch = paths[start : start + _BATCH]
                steps = [Step("optimise", path, sizes[path]) for path in batch]
                for step in steps:
                    reporter.start(step)
                run.batch(batch)
                for step in steps:
                    reporter.advance(step, step.size or 0)
                    reporter.finish(step)
    return Optimised(run.files, run.saved, run.total, run.damaged)


@contextmanager
def _hashers(count: int) -> Iterator[ThreadPoolExecutor]:
    hashers = ThreadPoolExecutor(count, "hash")
    try:
        yield hashers
    finally:
        hashers.shutdown(wait=True, cancel_futures=True)


def _links_work(store: Store) -> bool:
    """Make the folder of links, and find out whether a file can be linked into it."""
    folder = f"{store.settings.store}/{LINKS}"
    os.makedirs(folder, 0o755, exist_ok=True)
    with store.shared():
        probe = store.scratch("probe")
        link = f"{folder}/{os.path.basename(probe)}"
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            os.link(probe, link)
            os.unlink(link)
        except OSError as error:
            if error.errno in _REFUSED:
                return False
            raise
        finally:
            os.unlink(probe)
    return True


@dataclass(slots=True)
class _Run:
    """What one run knows."""

    store: Store
    hashers: ThreadPoolExecutor
    dry_run: bool
    links: str = field(init=False)
    entries: set[int] = field(init=False)
    """Inodes in the folder of links."""
    alone: dict[int, _File | None] = field(default_factory=dict)
    """By size and kind: the only such file so far, not read yet; None once there are more."""
    digests: dict[int, bytes] = field(default_factory=dict)
    """By inode, of files that have other names outside of the folder of links."""
    chosen: dict[bytes, tuple[int, str]] = field(default_factory=dict)
    """By digest: the inode that its files are to have, and its path in the folder of links."""
    met: set[int] = field(default_factory=set)
    """Inodes that files of the store have in the end, of those with more than one name."""
    files: int = 0
    saved: int = 0
    total: int = 0
    damaged: int = 0

    def __post_init__(self) -> None:
        self.links = f"{self.store.settings.store}/{LINKS}"
        with suppress(FileNotFoundError), os.scandir(self.links) as entries:
            self.entries = {entry.inode() for entry in entries}
            return
        self.entries = set()

    def batch(self, paths: Sequence[StorePath]) -> None:
        """Optimise some store paths."""
        with self.store.shared(), ExitStack() as stack:
            held: dict[StorePath, bool] = {}

            def hold(path: StorePath) -> bool:
                if path not in held:
                    held[path] = self.dry_run or stack.enter_context(
                        self.store.lock_path(path, wait=False)
                    )
                return held[path]

            valid = self.store.valid(paths)
            files = [
                file
                for path in paths
                if path in valid and hold(path)
                for file in self._interesting(self._walk(path))
            ]
            files = [file for file in files if hold(file.owner)]
            self._link(zip(files, self._hash(files), strict=True))

    # -- finding

    def _walk(self, owner: StorePath) -> Iterator[_File]:
        top = self.store.physical(owner)
        with suppress(FileNotFoundError, PermissionError):
            status = os.lstat(top)
            if not stat.S_ISDIR(status.st_mode):
                yield from self._file(owner, self.store.settings.store, top, status)
                return
            self._close(top, status)
        folders = [top]
        while folders:
            folder = folders.pop()
            with suppress(FileNotFoundError, PermissionError), os.scandir(folder) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        self._close(entry.path, status)
                        folders.append(entry.path)
                    else:
                        yield from self._file(owner, folder, entry.path, status)

    def _file(
        self, owner: StorePath, folder: str, path: str, status: os.stat_result
    ) -> Iterator[_File]:
        is_link = stat.S_ISLNK(status.st_mode)
        kind = _SYMLINK if is_link else _KINDS.get(status.st_mode)
        if kind is not None:
            size, inode, names = status.st_size, status.st_ino, status.st_nlink
            yield _File(owner, folder, path, kind, size, inode, names)

    def _close(self, folder: str, status: os.stat_result) -> None:
        """Give a folder that a killed run left open the mode and the time of all others."""
        changed = stat.S_IMODE(status.st_mode) != DIRECTORY_MODE or status.st_mtime != MTIME
        if changed and not self.dry_run:
            with suppress(PermissionError):
                _close(folder)

    def _interesting(self, files: Iterable[_File]) -> Iterator[_File]:
        """Yield what may be the same as another: what has its size and kind."""
        for file in files:
            size = 3 * file.size + file.kind
            if file.inode in self.entries:
                self._count(file, file.inode)
                found = self.alone.get(size)
                self.alone[size] = None
            elif size in self.alone:
                found = self.alone[size]
                self.alone[size] = None
                yield file
            else:
                self.alone[size] = file
                continue
            if found is not None:
                yield found

    def _hash(self, files: Sequence[_File]) -> Iterator[bytes | None]:
        """Return the digest of each file's NAR; None for one that cannot be read."""
        tasks: list[list[_File]] = [[]]
        left = _TASK
        for file in files:
            tasks[-1].append(file)
            left -= file.size
            if left <= 0:
                tasks.append([])
                left = _TASK
        for digests in self.hashers.map(self._hash_some, tasks):
            yield from digests

    def _hash_some(self, files: Sequence[_File]) -> list[bytes | None]:
        found = []
        for file in files:
            digest = self.digests.get(file.inode)
            if digest is None:
                digest = file_digest(file.path, file.kind, file.size)
                if digest is not None and file.names > 1:
                    self.digests[file.inode] = digest
            found.append(digest)
        return found

    # -- linking

    def _link(self, files: Iterable[tuple[_File, bytes | None]]) -> None:
        known = ((file, digest) for file, digest in files if digest is not None)
        with self._temporary() as temporary:
            for folder, group in groupby(known, lambda each: each[0].folder):
                with self._writable(folder) as open_folder:
                    for file, digest in group:
                        self._share(file, digest, temporary, open_folder)

    def _share(
        self, file: _File, digest: bytes, temporary: str, open_folder: Callable[[], object]
    ) -> None:
        """Let the file be the chosen one of its contents, or a link to it."""
        chosen = self.chosen.get(digest)
        if chosen is None:
            chosen = self._choose(file, digest)
            if chosen is None:
                return
            self.chosen[digest] = chosen
        inode, entry = chosen
        if inode != file.inode:
            if not self.dry_run:
                open_folder()
                if not _replace(entry, temporary, file.path):
                    self._count(file, file.inode)
                    return
            self.files += 1
            self.saved += file.size
        self._count(file, inode)

    def _count(self, file: _File, inode: int) -> None:
        """Note that a file of the store has, in the end, this inode."""
        if inode in self.met:
            self.total += file.size
        else:
            self.met.add(inode)

    def _choose(self, file: _File, digest: bytes) -> tuple[int, str] | None:
        """Return the inode for these contents and its path in the folder of links.

        It is the file's own if there was none. None: the file system refused another name for it.
        """
        entry = f"{self.links}/{to_nix32(digest)}"
        if self._admit(file, entry):
            return file.inode, entry
        try:
            status = os.lstat(entry)
        except FileNotFoundError:
            return None
        if status.st_ino == file.inode:
            return file.inode, entry
        if _kind(status) == file.kind and file_digest(entry, file.kind, file.size) == digest:
            return status.st_ino, entry
        self.damaged += 1
        if not self.dry_run:
            os.unlink(entry)
        return (file.inode, entry) if self.dry_run or self._admit(file, entry) else None

    def _admit(self, file: _File, entry: str) -> bool:
        """Give the file this name in the folder of links; return False when it is not to be had."""
        if self.dry_run:
            return not os.path.lexists(entry)
        try:
            os.link(file.path, entry, follow_symlinks=False)
        except OSError as error:
            if error.errno in _REFUSED | {errno.EEXIST, errno.ENOENT}:
                return False
            raise
        self.entries.add(file.inode)
        return True

    @contextmanager
    def _temporary(self) -> Iterator[str]:
        """Give a name for the link that is renamed; nothing is left at it."""
        temporary = self.store.scratch("link")
        try:
            yield temporary
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    @contextmanager
    def _writable(self, folder: str) -> Iterator[Callable[[], object]]:
        """Give a call that opens the folder of a store object; it is closed afterwards."""
        is_open = False

        def open_folder() -> None:
            nonlocal is_open
            if not is_open and folder != self.store.settings.store:
                is_open = True
                with suppress(FileNotFoundError):
                    os.chmod(folder, 0o755)  # noqa: S103 - what the store directory itself has

        try:
            yield open_folder
        finally:
            if is_open:
                _close(folder)


def _close(folder: str) -> None:
    with suppress(FileNotFoundError):
        os.chmod(folder, DIRECTORY_MODE)
        os.utime(folder, (MTIME, MTIME))


def _replace(entry: str, temporary: str, path: str) -> bool:
    """Rename a new link to `entry` over `path`; return False when the file system refuses.

    Renaming does nothing when both are one inode already (rename(2)), as they are after another
    run was faster: then the temporary name is still there.
    """
    try:
        try:
            os.link(entry, temporary, follow_symlinks=False)
        except FileExistsError:
            os.unlink(temporary)
            os.link(entry, temporary, follow_symlinks=False)
        os.rename(temporary, path)
    except OSError as error:
        if error.errno in _REFUSED | {errno.ENOENT}:
            return False
        raise
    return True


def _kind(status: os.stat_result) -> int | None:
    return _SYMLINK if stat.S_ISLNK(status.st_mode) else _KINDS.get(status.st_mode)


def file_digest(path: str, kind: int, size: int) -> bytes | None:
    """Return the SHA-256 of the NAR of a file or symlink that has `size` bytes.

    None when it cannot be read, or is of another size.
    """
    try:
        if kind == _SYMLINK:
            return sha256(nar.MAGIC + nar.symlink_node(os.readlink(os.fsencode(path)))).digest()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return _digest(descriptor, size, executable=kind == _EXECUTABLE)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _UNREADABLE:
            return None
        raise


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
