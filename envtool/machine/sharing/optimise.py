"""Identical files of the store become hard links to one: the whole store, afterwards.

Files are the same when their NARs are: same bytes and same executable bit, or same target of a
symlink. The first of them gets a name in `.links` (`envtool.machine.sharing.links`), the others are
replaced by links to it, each by one rename, so that every object is whole at any instant. As
Nix's `optimise-store.cc` does it, so that both may work on one store, but for these:

* A file whose size nothing else in the store has is not read.
* An entry of `.links` is read before a run first links to it: one that was damaged is itself
  replaced instead of spreading.
* A folder is noted before it is made writable, so that one that a killed run left so is closed
  again by whoever uses the store next (`envtool.machine.sharing.opened`).

Beside others: an object is worked on under the lock that its makers take, so that it is not made
anew between the reading of a file and its replacement; one that is being made is passed over. A
collector gets its turn between batches (`Store.shared`). Who deletes something all the same, or
optimises at the same time, only makes a link or a rename fail, and a file stay as it is.
"""

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby

from envtool.formats.nix.hashing import to_nix32
from envtool.formats.nix.storepath import StorePath
from envtool.machine.disk import disk_errors
from envtool.machine.sharing.leaves import Hashers, Leaf, kind_of, leaf_digest, leaves
from envtool.machine.sharing.links import LINKS
from envtool.machine.sharing.opened import Opened
from envtool.machine.store import Store
from envtool.reporting import Reporter, SilentReporter, Step
from envtool.values import value

_BATCH = 64
"""Store paths that are worked on at once."""
_REFUSED = frozenset(
    {
        errno.EMLINK,  # this file has as many names as the file system allows
        errno.EPERM,  # no hard links here, or not to what another user owns (proc(5))
        errno.EACCES,  # another user's folder
        errno.ENOTSUP,
        errno.ENOSYS,
        errno.EXDEV,  # the folder of links lies elsewhere
        errno.ENOSPC,  # ext4 says so, too, when the folder of links is full
        errno.ENOENT,  # somebody deleted it meanwhile
    }
)
"""Reasons for which a file is quietly left as it is."""


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


def optimise(
    store: Store,
    reporter: Reporter,
    *,
    dry_run: bool = False,
    only: Collection[StorePath] | None = None,
) -> Optimised:
    """Replace identical files of the valid paths by hard links; `dry_run` only counts.

    With `only` these paths are looked at and no others: all their files get entries of `.links`,
    and links to what has one already. An interrupt leaves what is done as it is.

    :raises StoreError: the store cannot be written to, or the disk fails.
    """
    with disk_errors("optimise the store"):
        sizes = store.database.sizes()
        if only is not None:
            sizes = {path: sizes[path] for path in only if path in sizes}
        if not dry_run and sizes and not _links_work(store):
            return Optimised(0, 0, 0, 0, supported=False)
        reporter.expect("optimise", len(sizes), sum(sizes.values()))
        with Hashers(store.settings.jobs) as hashers, Opened(store.settings) as opened:
            run = _Run(store, hashers, opened, dry_run=dry_run, eager=only is not None)
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


def optimise_added(store: Store, paths: Collection[StorePath]) -> None:
    """Let new paths share their files with whatever is known, if the settings say so.

    :raises StoreError: the disk fails; the paths are as whole as before.
    """
    if store.settings.optimise_all:
        optimise(store, SilentReporter(), only=paths)


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
            if error.errno in _REFUSED - {errno.EACCES, errno.ENOSPC}:
                return False
            raise
        finally:
            os.unlink(probe)
    return True


class _Run:
    """What one run knows."""

    def __init__(
        self, store: Store, hashers: Hashers, opened: Opened, *, dry_run: bool, eager: bool
    ) -> None:
        self.files = 0
        self.saved = 0
        self.total = 0
        self.damaged = 0
        self._store = store
        self._hashers = hashers
        self._opened = opened
        self._dry_run = dry_run
        self._eager = eager
        """Whether files are linked that nothing seen so far is the same as."""
        self._links = f"{store.settings.store}/{LINKS}"
        self._entries = set[int]() if eager else _inodes(self._links)
        """Inodes in the folder of links; of a few paths it is quicker to ask one by one."""
        self._alone: dict[int, Leaf | None] = {}
        """By size and kind: the only such leaf so far, not read yet; None once there are more."""
        self._chosen: dict[bytes, tuple[int, str]] = {}
        """By digest: the inode that its leaves are to have, its path in the folder of links."""
        self._met: set[int] = set()
        """Inodes that leaves have in the end, of those that others may have, too."""

    def batch(self, paths: Sequence[StorePath]) -> None:
        """Optimise some store paths."""
        with self._store.shared(), ExitStack() as stack:
            locks: dict[StorePath, bool] = {}

            def held(path: StorePath) -> bool:
                if path not in locks:
                    lock = self._store.lock_path(path, wait=False)
                    locks[path] = self._dry_run or stack.enter_context(lock)
                return locks[path]

            valid = self._store.valid(paths)
            found = [
                leaf
                for path in paths
                if path in valid and held(path)
                for leaf in self._candidates(leaves(self._store.settings.store, path))
            ]
            # One may be of a path of an earlier batch.
            found = [leaf for leaf in found if held(leaf.owner)]
            self._link(zip(found, self._hashers.digests(found), strict=True))

    def _candidates(self, found: Iterable[Leaf]) -> Iterator[Leaf]:
        """Yield what may be the same as another: what has its size and kind."""
        for leaf in found:
            key = 3 * leaf.size + leaf.kind
            if leaf.inode in self._entries:
                self._count(leaf, leaf.inode)
            elif self._eager or key in self._alone:
                yield leaf
            else:
                self._alone[key] = leaf
                continue
            before = self._alone.get(key)
            self._alone[key] = None
            if before is not None:
                yield before

    def _link(self, found: Iterable[tuple[Leaf, bytes | None]]) -> None:
        temporary = self._store.scratch("link")
        try:
            for folder, group in groupby(found, lambda each: each[0].folder):
                with self._writable(folder) as open_folder:
                    for leaf, digest in group:
                        if digest is not None:
                            self._share(leaf, digest, temporary, open_folder)
        finally:
            if not self._dry_run:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)

    def _share(
        self, leaf: Leaf, digest: bytes, temporary: str, open_folder: Callable[[], object]
    ) -> None:
        """Let the leaf be the chosen one of its contents, or a link to it."""
        chosen = self._chosen.get(digest)
        if chosen is None:
            chosen = self._choose(leaf, digest)
            if chosen is None:
                return
            self._chosen[digest] = chosen
        inode, entry = chosen
        if inode != leaf.inode:
            if not self._dry_run:
                open_folder()
                if not _replace(entry, temporary, leaf.path):
                    self._count(leaf, leaf.inode)
                    return
            self.files += 1
            self.saved += leaf.size
        self._count(leaf, inode)

    def _count(self, leaf: Leaf, inode: int) -> None:
        """Note that a leaf has, in the end, this inode."""
        if inode in self._met:
            self.total += leaf.size
        else:
            self._met.add(inode)

    def _choose(self, leaf: Leaf, digest: bytes) -> tuple[int, str] | None:
        """Return the inode for these contents and its path in the folder of links.

        It is the leaf's own if there was none. None: the file system refused it another name.
        """
        entry = f"{self._links}/{to_nix32(digest)}"
        if self._admit(leaf, entry):
            return leaf.inode, entry
        try:
            status = os.lstat(entry)
        except FileNotFoundError:
            return None
        if status.st_ino == leaf.inode:
            return leaf.inode, entry
        if kind_of(status) == leaf.kind and leaf_digest(entry, leaf.kind, leaf.size) == digest:
            return status.st_ino, entry
        self.damaged += 1
        if not self._dry_run:
            os.unlink(entry)
        return (leaf.inode, entry) if self._dry_run or self._admit(leaf, entry) else None

    def _admit(self, leaf: Leaf, entry: str) -> bool:
        """Give the leaf this name in the folder of links; return False if it cannot have it."""
        if self._dry_run:
            return not os.path.lexists(entry)
        try:
            os.link(leaf.path, entry, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno in _REFUSED:
                return False
            raise
        self._entries.add(leaf.inode)
        return True

    @contextmanager
    def _writable(self, folder: str) -> Iterator[Callable[[], object]]:
        """Give a call that opens a folder of a store object; it is closed afterwards."""
        is_open = False

        def open_folder() -> None:
            nonlocal is_open
            if not is_open and folder != self._store.settings.store:
                is_open = True
                self._opened.open(folder)

        try:
            yield open_folder
        finally:
            if is_open:
                self._opened.close(folder)


def _inodes(folder: str) -> set[int]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return set()
    with entries:
        return {entry.inode() for entry in entries}


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
        if error.errno in _REFUSED:
            return False
        raise
    return True
