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

_LONG_PATH = 3500
"""Bytes; Linux takes paths of 4095, with a name of 255 behind it."""
_NO_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.EACCES})


def canonicalise(path: str) -> None:
    """Give the tree at `path` the modes and times of a store object; links are not followed.

    Setuid, setgid and sticky bits go, and so do extended attributes and ACLs. A file that has
    other names becomes one of its own first, unless it is canonical already, as one that is
    shared with another object of the store: what lies elsewhere is never changed.

    :raises StoreError: the tree holds a device, a socket or a FIFO.
    """
    folders: list[str] = []
    todo = [path]
    while todo:
        place = todo.pop()
        status = os.lstat(place)
        if stat.S_ISDIR(status.st_mode):
            os.chmod(place, 0o700)
            todo += [f"{place}/{name}" for name in os.listdir(place)]
            folders.append(place)
        elif stat.S_ISLNK(status.st_mode):
            os.utime(place, (MTIME, MTIME), follow_symlinks=False)
        elif stat.S_ISREG(status.st_mode):
            _canonicalise_file(place, status)
        else:
            raise StoreError(
                f"{place} is a device, socket or FIFO, which a store object cannot hold"
            )
    for folder in reversed(folders):
        _give(folder, DIRECTORY_MODE)


def _canonicalise_file(path: str, status: os.stat_result) -> None:
    mode = EXECUTABLE_MODE if status.st_mode & stat.S_IXUSR else FILE_MODE
    if status.st_nlink > 1:
        if is_canonical(status, mode):
            return
        _detach(path)
    _give(path, mode)


def _give(path: str, mode: int) -> None:
    _drop_attributes(path)
    os.chmod(path, mode)
    os.utime(path, (MTIME, MTIME))


def is_canonical(status: os.stat_result, mode: int) -> bool:
    """Return whether a regular file has this mode of a store object's file, and its time."""
    return status.st_mode == stat.S_IFREG | mode and status.st_mtime_ns == MTIME * 1_000_000_000


def _detach(path: str) -> None:
    """Replace a file by a copy that has no other names."""
    import shutil

    # Its name begins like the other's, which in the store directory keeps collectors away.
    copy = f"{os.path.dirname(path)}/{os.path.basename(path)[:50]}-{os.urandom(8).hex()}"
    shutil.copyfile(path, copy, follow_symlinks=False)
    os.rename(copy, path)


def has_attributes(path: str) -> bool:
    """Return whether there are extended attributes or ACLs, which a store object has not."""
    return bool(_attributes(path))


def _attributes(path: str) -> list[str]:
    try:
        return [
            name for name in os.listxattr(path, follow_symlinks=False) if name != "security.selinux"
        ]
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return []
        raise


def _drop_attributes(path: str) -> None:
    names = _attributes(path)
    if names and not os.path.isdir(path):
        os.chmod(path, 0o600)
    for name in names:
        try:
            os.removexattr(path, name)
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTES:
                raise


def delete_tree(path: str) -> None:
    """Delete the tree at `path`, read-only directories included; nothing there is no error.

    However deep it is: where paths get too long for Linux, folders move up first.
    """
    if _unlinked(path):
        return
    folders = [path]
    for folder in folders:
        try:
            with suppress(PermissionError):
                os.chmod(folder, 0o700)
            with os.scandir(folder) as entries:
                # Listed before anything changes: what is unlinked may hide what comes after it.
                found = list(entries)
        except FileNotFoundError:
            continue
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                _unlinked(entry.path)
            elif len(os.fsencode(entry.path)) > _LONG_PATH:
                folders.append(_moved_up(entry.path, path))
            else:
                folders.append(entry.path)
    for folder in reversed(folders):
        with suppress(FileNotFoundError):
            os.rmdir(folder)


def _unlinked(path: str) -> bool:
    """Delete it unless it is a directory; return whether nothing is there now."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    return True


def _moved_up(folder: str, top: str) -> str:
    os.chmod(folder, 0o700)
    moved = f"{top}/{os.urandom(16).hex()}"
    os.rename(folder, moved)
    return moved
