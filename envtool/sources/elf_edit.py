"""Change where an ELF file looks for libraries, in place: sizes and all other bytes stay.

A file with DT_RUNPATH ignores the DT_RPATH of the program and of whoever loads it (ld.so(8)). With
the tag of DT_RPATH instead, it looks where it did, and then where these do.
"""

import struct

from envtool.sources.elf import DT_RPATH, DT_RUNPATH, search_tags

__all__ = ["inheriting", "without_search"]

_NOTHING = 0x60000F0F
"""A tag of an operating system that is none; the loader passes over it."""


def inheriting(data: bytes) -> bytes:
    """Return the file with its DT_RUNPATH as DT_RPATH; a former DT_RPATH, which was idle, goes.

    What has no DT_RUNPATH is returned as it is.
    """
    tags = search_tags(data)
    if DT_RUNPATH not in {tag for tag, _, _ in tags}:
        return data
    return _retagged(data, {DT_RUNPATH: DT_RPATH, DT_RPATH: _NOTHING})


def without_search(data: bytes) -> bytes:
    """Return the file without search path: it looks where its program does."""
    return _retagged(data, {DT_RUNPATH: _NOTHING, DT_RPATH: _NOTHING})


def _retagged(data: bytes, changes: dict[int, int]) -> bytes:
    tags = search_tags(data)
    if not tags:
        return data
    changed = bytearray(data)
    for tag, offset, form in tags:
        struct.pack_into(form, changed, offset, changes[tag])
    return bytes(changed)
