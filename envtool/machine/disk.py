"""Disk errors as errors of ours: which file, what it was for, and what to do about it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from envtool.errors import EnvtoolError, StoreError

_HINTS = {
    errno.ENOSPC: "free some space (`envtool gc` deletes what is not needed)",
    errno.EDQUOT: "your disk quota is used up; `envtool gc` deletes what no generation needs",
    errno.EFBIG: "a limit on file sizes is in force; see `ulimit -f`",
    errno.EROFS: "the file system is read-only; set ENVTOOL_ROOT to a writable directory",
    errno.EACCES: "set ENVTOOL_ROOT to a directory of yours",
    errno.EPERM: "set ENVTOOL_ROOT to a directory of yours",
    errno.EMFILE: "too many files are open; raise the limit with `ulimit -n`",
    errno.EIO: "the disk failed; check it, then run `envtool gc` and try again",
}


def hint_for(error: OSError) -> str | None:
    """Return what a user can do about `error`; None when nothing general can be said."""
    return _HINTS.get(error.errno or 0)


@contextmanager
def disk_errors(doing: str, *, raising: type[EnvtoolError] = StoreError) -> Iterator[None]:
    """Turn an OSError in the block into `raising`: `cannot <doing>: <path>: <reason>`."""
    try:
        yield
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        raise raising(
            f"cannot {doing}: {place}{error.strerror or error}", hint=hint_for(error)
        ) from error
