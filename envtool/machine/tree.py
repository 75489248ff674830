"""Reading a user's tree into a NAR, less what is excluded, and copying it in the same pass."""

import os
import stat
from collections.abc import Callable

from envtool.errors import StoreError
from envtool.formats.nix import nar

Exclude = Callable[[str], bool]
"""Told the path below the source, such as `src/x.py`; a directory it refuses is not entered."""


def dump_tree(
    source: str, sink: nar.Sink, *, exclude: Exclude | None = None, target: str | None = None
) -> None:
    """Write the tree at `source` to `sink` as a NAR; links are not followed.

    With `target`, which must not exist, the very bytes that went into the NAR are written
    there too: a source that changes meanwhile cannot make the two differ.

    :raises StoreError: the tree holds a device, socket or FIFO, or is nested too deep.
    """
    sink(nar.MAGIC)
    _dump(source, "", sink, exclude, target)


def _dump(
    source: str, relative: str, sink: nar.Sink, exclude: Exclude | None, target: str | None
) -> None:
    status = os.lstat(source)
    if stat.S_ISDIR(status.st_mode):
        _dump_directory(source, relative, sink, exclude, target)
    elif stat.S_ISREG(status.st_mode):
        _dump_file(source, sink, target)
    elif stat.S_ISLNK(status.st_mode):
        link = os.readlink(source)
        sink(nar.symlink_node(os.fsencode(link)))
        if target is not None:
            os.symlink(link, target)
    else:
        raise StoreError(f"{source} is a device, socket or FIFO, which the store cannot hold")


def _dump_directory(
    source: str, relative: str, sink: nar.Sink, exclude: Exclude | None, target: str | None
) -> None:
    if target is not None:
        os.mkdir(target)
    sink(nar.DIRECTORY_OPEN)
    for name in sorted(os.listdir(source), key=os.fsencode):
        below = f"{relative}/{name}" if relative else name
        if exclude is not None and exclude(below):
            continue
        sink(nar.entry_open(os.fsencode(name)))
        inner = None if target is None else f"{target}/{name}"
        _dump(f"{source}/{name}", below, sink, exclude, inner)
        sink(nar.ENTRY_CLOSE)
    sink(nar.CLOSE)


def _dump_file(source: str, sink: nar.Sink, target: str | None) -> None:
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        executable = bool(status.st_mode & stat.S_IXUSR)
        sink(nar.regular_open(status.st_size, executable=executable))
        if target is None:
            _pump(file.read, status.st_size, source, sink)
        else:
            mode = 0o755 if executable else 0o644
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open(target, flags, mode), "wb") as copy:
                _pump(file.read, status.st_size, source, sink, copy.write)
        sink(nar.regular_close(status.st_size))


def _pump(read: Callable[[int], bytes], size: int, source: str, *sinks: nar.Sink) -> None:
    while size:
        data = read(min(size, nar.CHUNK))
        if not data:
            raise StoreError(f"{source} became shorter while it was read", hint="run it again")
        for sink in sinks:
            sink(data)
        size -= len(data)
