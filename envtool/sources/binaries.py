"""The ELF files of a wheel, packed or unpacked: where each stands and what it says to the loader.

Places are those of the unpacked object: `site-packages/numpy/…`, `data/lib/…`, `scripts/…`.
"""

import mmap
import os
from collections.abc import Iterator

from envtool.sources.elf import MAGIC, Elf, read
from envtool.sources.wheel import CHUNK, Member, Wheel
from envtool.values import value

__all__ = ["Binary", "in_folder", "in_wheel", "read_file"]

_SCHEMES = ("site-packages", "data", "scripts")
_TEXTS = frozenset(
    f".{ending}"
    for ending in (
        *("py", "pyi", "pyc", "pyx", "pxd", "c", "cc", "cpp", "cu", "cuh", "f", "f90", "h", "hpp"),
        *("txt", "md", "rst", "json", "html", "js", "mjs", "css", "map", "ts", "svg", "png", "xml"),
        *("csv", "npy", "npz", "gz", "toml", "yaml", "yml", "mat", "pkl", "dat", "qml", "qmltypes"),
    )
)
"""Endings of the tens of thousands of files that need not be opened: no loader loads them."""


@value
class Binary:
    """One ELF file."""

    place: str
    elf: Elf


def in_folder(path: str) -> tuple[Binary, ...]:
    """Return those of an unpacked wheel, by place; links are not followed.

    :raises OSError: the folder cannot be read.
    """
    found: list[Binary] = []
    for scheme in _SCHEMES:
        if os.path.isdir(f"{path}/{scheme}"):
            for place in _files(path, scheme):
                elf = read_file(f"{path}/{place}")
                if elf is not None:
                    found.append(Binary(place, elf))
    return tuple(sorted(found, key=lambda each: each.place))


def in_wheel(wheel: Wheel) -> tuple[Binary, ...]:
    """Return those of a packed wheel, by place; each file is checked against RECORD.

    :raises WheelError: a file is not what RECORD says.
    """
    found: list[Binary] = []
    for member in wheel.members:
        if member.place.startswith(_SCHEMES) and _may_be_binary(member.name):
            elf = _read_member(wheel, member)
            if elf is not None:
                found.append(Binary(member.place, elf))
    return tuple(sorted(found, key=lambda each: each.place))


def read_file(path: str) -> Elf | None:
    """Return what the ELF file at `path` says; None when there is none that can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if os.read(descriptor, len(MAGIC)) != MAGIC:
            return None
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            return read(data)
    except (OSError, ValueError):  # a folder, or no file of bytes
        return None
    finally:
        os.close(descriptor)


def _files(path: str, folder: str) -> Iterator[str]:
    with os.scandir(f"{path}/{folder}") as entries:
        for entry in entries:
            place = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _files(path, place)
            elif entry.is_file(follow_symlinks=False) and _may_be_binary(entry.name):
                yield place


def _may_be_binary(name: str) -> bool:
    return os.path.splitext(name)[1].lower() not in _TEXTS


def _read_member(wheel: Wheel, member: Member) -> Elf | None:
    if member.size <= CHUNK:
        data = wheel.whole(member)
        return read(data) if data.startswith(MAGIC) else None
    pieces = wheel.read(member)
    first = next(pieces, b"")
    return read(b"".join((first, *pieces))) if first.startswith(MAGIC) else None
