"""What lies in the store directory and belongs to no valid path: somebody's work, or junk."""

import os
from collections.abc import Collection, Container

from envtool.formats.nix.storepath import DIGEST_LENGTH
from envtool.machine.collecting.temproots import read_temporary
from envtool.machine.disk import disk_errors
from envtool.machine.locks import is_locked
from envtool.machine.settings import Settings
from envtool.machine.sharing.links import LINKS

__all__ = ["strangers"]

_LOCK = ".lock"


def strangers(
    settings: Settings, valid: Container[str], held: Collection[str] | None = None
) -> list[str]:
    """Return the names that are neither `valid` (base names) nor anybody's work, sorted.

    Work is what has the digest of a temporary root (`held`; None: they are read), and what is
    locked. Under `Store.exclusive` the rest may be deleted.

    :raises StoreError: a temporary root cannot be read.
    """
    with disk_errors("list the store directory"):
        names = os.listdir(settings.store) if os.path.isdir(settings.store) else []
    unknown = sorted(name for name in names if name not in valid and name != LINKS)
    if not unknown:
        return []
    if held is None:
        held = [path for _, path in read_temporary(settings.temproots)]
    digests = {path[:DIGEST_LENGTH] for path in held}
    return [
        name
        for name in unknown
        if name[:DIGEST_LENGTH] not in digests and not _is_locked(f"{settings.store}/{name}")
    ]


def _is_locked(place: str) -> bool:
    return is_locked(place if place.endswith(_LOCK) else f"{place}{_LOCK}")
