"""Room kept back on the disk, so that garbage can be collected when it is full.

To make store paths invalid takes a few pages of the database's log. As Nix does, a file of the
right size lies beside the database; a collector removes it first, and makes it again at its end.
"""

import os
from contextlib import suppress

from envtool.machine.settings import Settings

__all__ = ["SIZE", "release", "reserve"]

SIZE = 1 << 20
"""Bytes."""


def _path(settings: Settings) -> str:
    # Nix's own name for it, at which Nix keeps more.
    return f"{os.path.dirname(settings.database)}/reserved"


def reserve(settings: Settings) -> None:
    """Keep room back, if there is room and none is kept back."""
    path = _path(settings)
    if os.path.exists(path):
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
    except OSError:
        with suppress(OSError):
            os.unlink(path)
    finally:
        os.close(descriptor)


def release(settings: Settings) -> None:
    """Give the room back to the disk."""
    with suppress(OSError):
        os.unlink(_path(settings))
