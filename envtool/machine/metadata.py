"""Metadata of store objects: only the owner's execute bit survives.

As Nix's `canonicalisePathMetaData` does it.
"""

import errno
import os
import stat
from contextlib import suppress

from envtool.errors import StoreError

FILE_MODE = 0o444
EXECUTABLE_MODE = 0o555
DIRECTORY_MODE = 0o555
MTIME = 1
"""Seconds: zero would look like an error to some programs."""

_NO_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.EACCES})


def canonicalise(path: str) -> None:
    """Give the tree at `path` the modes and times of a store object; links are not followed.

    Setuid, setgid and sticky bits go, and so do extended attributes and ACLs. A file that has
    other names becomes one of its own first, unless it is canonical already, as one that is
    shared with another object of the store: what lies elsewhere is never changed.

    :raises StoreError: the tree holds a device, a socket or a FIFO.
    """
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        os.utime(path, (MTIME, MTIME), follow_symlinks=False)
        return
    if kind == stat.S_IFDIR:
        os.chmod(path, 0o700)
        for name in os.listdir(path):
            canonicalise(f"{path}/{name}")
        mode = DIRECTORY_MODE
    elif kind == stat.S_IFREG:
        mode = EXECUTABLE_MODE if status.st_mode & stat.S_IXUSR else FILE_MODE
        if status.st_nlink > 1:
            if is_canonical(status, mode):
                return
            _detach(path)
    else:
        raise StoreError(f"{path} is a device, socket or FIFO, which a store object cannot hold")
    _drop_attributes(path)
    os.chmod(path, mode)
    os.utime(path, (MTIME, MTIME))


def is_canonical(status: os.stat_result, mode: int) -> bool:
    """Return whether a regular file has this mode of a store object's file, and its time."""
    return status.st_mode == stat.S_IFREG | mode and status.st_mtime_ns == MTIME * 1_000_000_000


def _detach(path: str) -> None:
    """Replace a file by a copy that has no other names."""
    import shutil

    copy = f"{os.path.dirname(path)}/.tmp-{os.getpid()}-{os.urandom(8).hex()}"
    shutil.copyfile(path, copy, follow_symlinks=False)
    os.rename(copy, path)


def _drop_attributes(path: str) -> None:
    try:
        names = [name for name in os.listxattr(path) if name != "security.selinux"]
        if names and not os.path.isdir(path):
            os.chmod(path, 0o600)
        for name in names:
            os.removexattr(path, name)
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTES:
            raise


def delete_tree(path: str) -> None:
    """Delete the tree at `path`, read-only directories included; nothing there is no error."""
    try:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(path)
            return
        if (status.st_mode & stat.S_IRWXU) != stat.S_IRWXU:
            os.chmod(path, 0o700)
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    delete_tree(entry.path)
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(entry.path)
        os.rmdir(path)
    except FileNotFoundError:
        return


def tree_size(path: str) -> int:
    """Return the bytes of the files in the tree at `path`; nothing there is 0."""
    try:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size
        with os.scandir(path) as entries:
            return sum(tree_size(entry.path) for entry in entries)
    except (FileNotFoundError, PermissionError):
        return 0
