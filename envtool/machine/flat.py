"""Adding a single file by the hash of its contents, as Nix's `--add-fixed` and `add-file` do."""

import os
import stat

from envtool.errors import StoreError
from envtool.formats.nix import nar
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath, make_fixed_output
from envtool.machine.database import PathInfo
from envtool.machine.disk import disk_errors
from envtool.machine.metadata import delete_tree
from envtool.machine.store import Store

__all__ = ["add_flat"]


def add_flat(store: Store, source: str, name: str) -> StorePath:
    """Add a file so that its path follows from its SHA-256 alone; links are followed.

    Its execute bit is not kept: a flat hash does not cover it.

    :raises StoreError: it is no file, or it cannot be read.
    """
    with store.using(), disk_errors(f"add {source} to the store"):
        # Before it is opened: opening a FIFO would wait for its writer.
        if not stat.S_ISREG(os.stat(source).st_mode):
            raise StoreError(f"{source} is no file", hint="add it without --flat")
        temporary = store.scratch(name)
        try:
            contents, archive = _copy(source, temporary)
            path = make_fixed_output(name, contents)
            if store.is_valid(path):
                return path
            store.place(temporary, path, canonical=False)
        finally:
            delete_tree(temporary)
        store.sync()
        ca = f"fixed:{contents}"
        store.register([PathInfo(path, archive.hash, archive.size, frozenset(), ca=ca)])
    return path


def _copy(source: str, target: str) -> tuple[Hash, nar.HashingSink]:
    """Copy the file and return its hash, and what its NAR amounts to."""
    from hashlib import sha256

    contents, archive = sha256(), nar.HashingSink()
    with open(source, "rb", buffering=0) as file, open(target, "xb") as copy:
        size = left = os.fstat(file.fileno()).st_size
        archive(nar.MAGIC)
        archive(nar.regular_open(left, executable=False))
        while left:
            data = file.read(min(left, nar.CHUNK))
            if not data:
                raise StoreError(f"{source} became shorter while it was read", hint="run it again")
            for sink in (contents.update, archive, copy.write):
                sink(data)
            left -= len(data)
        archive(nar.regular_close(size))
    return Hash("sha256", contents.digest()), archive
