"""Deleting trees, and counting what that gives back to the disk.

A file with several names frees its bytes with the last of them. The folder of links
(`envtool.machine.sharing.links`) holds one name of each file that objects may share.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

from envtool.machine.sharing.links import LINKS

__all__ = ["remove", "would_free"]


def remove(path: str) -> int:
    """Delete the tree at `path`, read-only folders included; return the bytes that this frees.

    Nothing there is 0, and so is what somebody else deletes meanwhile.
    """
    freed = 0
    folders = []
    for place, status in _walk(path, opening=True):
        if stat.S_ISDIR(status.st_mode):
            folders.append(place)
            continue
        with suppress(FileNotFoundError):
            os.unlink(place)
            freed += status.st_size if status.st_nlink == 1 else 0
    for folder in reversed(folders):
        with suppress(FileNotFoundError):
            os.rmdir(folder)
    return freed


def would_free(store: str, places: Iterable[str]) -> int:
    """Return the bytes that deleting the trees at `places` in the store directory would free."""
    freed = 0
    names: Counter[tuple[int, int]] = Counter()
    shared: dict[tuple[int, int], os.stat_result] = {}
    for place in places:
        for _, status in _walk(place):
            if stat.S_ISDIR(status.st_mode):
                continue
            if status.st_nlink == 1:
                freed += status.st_size
                continue
            inode = status.st_dev, status.st_ino
            names[inode] += 1
            shared[inode] = status
    linked = _links(store) if shared else set()
    for inode, status in shared.items():
        if names[inode] + (inode[1] in linked) >= status.st_nlink:
            freed += status.st_size
    return freed


def _links(store: str) -> set[int]:
    """Return the inodes in the folder of links."""
    try:
        with os.scandir(f"{store}/{LINKS}") as entries:
            return {entry.inode() for entry in entries}
    except FileNotFoundError:
        return set()


def _walk(path: str, *, opening: bool = False) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything in the tree at `path`, folders before what is in them.

    `opening` makes folders writable. What may not be read counts as empty otherwise.
    """
    with suppress(FileNotFoundError):
        status = os.lstat(path)
        yield path, status
        folders = [path] if stat.S_ISDIR(status.st_mode) else []
        while folders:
            for entry in _entries(folders.pop(), opening=opening):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
                yield entry.path, status


def _entries(folder: str, *, opening: bool) -> list["os.DirEntry[str]"]:
    try:
        if opening:
            os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
    except PermissionError:
        if opening:
            raise
        return []
