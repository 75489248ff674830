"""Putting a whole object in the place of a damaged one, and what shared its damaged files.

The new object takes the name in one step, so that there is one at any instant; who has files of
the old one open, or mapped, keeps them. Nothing is ever written into a file of the store: a file
that is damaged may have names in other objects, and in the folder of links.
"""

import os
import shutil
import stat
from collections.abc import Iterable, Iterator

from envtool.formats.nix import nar
from envtool.formats.nix.storepath import StorePath
from envtool.machine import linux
from envtool.machine.disk import disk_errors
from envtool.machine.metadata import canonicalise, delete_tree
from envtool.machine.sharing.links import LINKS
from envtool.machine.store import Store

__all__ = ["Swapper"]

_CHUNK = 1 << 20


class Swapper:
    """Swaps objects of one store, and remembers the damaged files that have other names."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._spoilt: dict[tuple[int, int], str] = {}
        """Device and number of a damaged file to a file that is as it was meant to be."""

    @property
    def spoilt(self) -> int:
        """How many damaged files with several names were met so far."""
        return len(self._spoilt)

    def swap(self, tree: str, path: StorePath) -> None:
        """Let the finished tree, canonical and in the store directory, be the object at `path`.

        What was there is deleted.

        :raises StoreError: the disk refuses; there is an object at the path all the same.
        """
        self._store.sync()
        place = self._store.physical(path)
        with disk_errors(f"put {path} in its place"):
            while not linux.rename_new(tree, place):
                if linux.exchange(tree, place):
                    self._remember(tree, place)
                    break
            delete_tree(tree)

    def _remember(self, old: str, new: str) -> None:
        for below, status in _files(old):
            good = f"{new}{below}"
            if status.st_nlink > 1 and not _same(f"{old}{below}", good, status):
                self._spoilt[status.st_dev, status.st_ino] = good

    def affected(self, paths: Iterable[StorePath]) -> list[StorePath]:
        """Return those of `paths` in which there are damaged files still."""
        return [path for path in paths if any(True for _ in self._damage(path))]

    def _damage(self, path: StorePath) -> Iterator[tuple[str, str]]:
        """Yield each damaged file of an object that is known, and the good one."""
        for below, status in _files(self._store.physical(path)):
            good = self._spoilt.get((status.st_dev, status.st_ino))
            if good is not None:
                yield below, good

    def patched(self, path: StorePath, target: str) -> bool:
        """Make a copy of the object in which known damage is mended; False if there is none."""
        damage = dict(self._damage(path)) if self._spoilt else {}
        if damage:
            place = self._store.physical(path)
            with disk_errors(f"copy {path}"):
                if "" in damage:
                    shutil.copyfile(damage[""], target)
                else:
                    shutil.copytree(place, target, symlinks=True)
                for below in filter(None, damage):
                    _replace(f"{target}{below}", damage[below])
                if "" in damage:
                    shutil.copymode(damage[""], target)
                canonicalise(target)
        return bool(damage)

    def mend_links(self) -> None:
        """Let the entries of the folder of links that are damaged be the good files instead."""
        folder = f"{self._store.settings.store}/{LINKS}"
        if not self._spoilt or not os.path.isdir(folder):
            return
        with disk_errors("mend the folder of links"), os.scandir(folder) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                good = self._spoilt.get((status.st_dev, status.st_ino))
                if good is not None:
                    os.unlink(entry.path)
                    if nar.hash_path(good)[0].nix32 == entry.name:
                        os.link(good, entry.path, follow_symlinks=False)


def _files(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files in the tree, by what follows its path."""
    todo = [""]
    while todo:
        below = todo.pop()
        try:
            status = os.lstat(f"{top}{below}")
            if stat.S_ISDIR(status.st_mode):
                todo += [f"{below}/{name}" for name in os.listdir(f"{top}{below}")]
            elif stat.S_ISREG(status.st_mode):
                yield below, status
        except (FileNotFoundError, PermissionError):
            continue


def _same(one: str, other: str, status: os.stat_result) -> bool:
    """Return whether two files are the same, bytes and execute bit; `status` is of the first."""
    try:
        found = os.lstat(other)
        executable = (status.st_mode ^ found.st_mode) & stat.S_IXUSR
        if not stat.S_ISREG(found.st_mode) or executable or found.st_size != status.st_size:
            return False
        with open(one, "rb") as first, open(other, "rb") as second:
            while data := first.read(_CHUNK):
                if data != second.read(_CHUNK):
                    return False
    except OSError:
        return False
    return True


def _replace(path: str, good: str) -> None:
    folder = os.path.dirname(path)
    os.chmod(folder, 0o700)
    os.unlink(path)
    shutil.copy(good, path)
