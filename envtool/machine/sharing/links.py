"""Hard links in the store: the folder that Nix keeps them in, and which of them nobody uses.

`.links/<nix-base32 SHA-256 of the file's NAR>` is one more name of a file that store objects
share, or could share (Nix's `optimise-store.cc`). No object needs it: who deletes an entry, or
the whole folder, only makes the next `optimise` read more.
"""

import os
import stat
from collections.abc import Iterator

LINKS = ".links"
"""Its name in the store directory."""


def unused_links(store: str) -> Iterator[tuple[str, int]]:
    """Yield path and bytes of each entry that no object of the store directory `store` uses."""
    try:
        entries = os.scandir(f"{store}/{LINKS}")
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if status.st_nlink == 1 and not stat.S_ISDIR(status.st_mode):
                yield entry.path, status.st_size


def drop_unused_links(store: str) -> tuple[int, int]:
    """Delete those entries; return how many and their bytes.

    Harmless beside whoever optimises: one that comes into use meanwhile loses a name only.

    :raises OSError: the folder cannot be written to.
    """
    count = freed = 0
    for path, size in unused_links(store):
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        count, freed = count + 1, freed + size
    return count, freed
