"""The NAR format: a file tree as one byte stream, the same on every machine.

Every token is its length (8 bytes, little endian), its bytes, and zeros up to a multiple of 8.
Of the metadata only the owner's execute bit is kept; entries are sorted bytewise (Nix manual,
"Nix Archive (NAR) Format").

The token constants and `regular_open` let a caller that has the contents in hand, such as the
wheel unpacker, produce the NAR while it writes the files.
"""

import os
import stat
from collections.abc import Callable
from hashlib import sha256
from typing import BinaryIO

from envtool.errors import FormatError
from envtool.formats.nix.hashing import Hash

Sink = Callable[[bytes], object]
"""Takes the stream piece by piece."""

CHUNK = 1 << 20
MAX_DEPTH = 256
"""Deeper trees are refused, before Python's recursion limit (1000 frames) refuses them."""
_MAX_NAME = 255
_MAX_PATH = 4095
_WORD = 8
_ZEROS = bytes(_WORD)


def token(data: bytes) -> bytes:
    """Return one token: length, bytes, padding."""
    return len(data).to_bytes(_WORD, "little") + data + bytes(-len(data) % _WORD)


MAGIC = token(b"nix-archive-1")
OPEN = token(b"(")
CLOSE = token(b")")
DIRECTORY_OPEN = OPEN + token(b"type") + token(b"directory")
ENTRY_CLOSE = CLOSE
_REGULAR = OPEN + token(b"type") + token(b"regular")
_CONTENTS = token(b"contents")
_EXECUTABLE = token(b"executable") + token(b"")
_SYMLINK = OPEN + token(b"type") + token(b"symlink") + token(b"target")
_ENTRY = token(b"entry") + OPEN + token(b"name")
_NODE = token(b"node")


def regular_open(size: int, *, executable: bool) -> bytes:
    """Return what stands before the `size` bytes of a regular file's contents."""
    middle = _EXECUTABLE + _CONTENTS if executable else _CONTENTS
    return _REGULAR + middle + size.to_bytes(_WORD, "little")


def regular_close(size: int) -> bytes:
    """Return what stands after the `size` bytes of a regular file's contents."""
    return bytes(-size % _WORD) + CLOSE


def symlink_node(target: bytes) -> bytes:
    """Return a whole symlink node."""
    return _SYMLINK + token(target) + CLOSE


def entry_open(name: bytes) -> bytes:
    """Return what stands before the node of the directory entry `name`."""
    return _ENTRY + token(name) + _NODE


class HashingSink:
    """A sink that keeps the SHA-256 and the size of what passes through."""

    __slots__ = ("_hash", "size")

    def __init__(self) -> None:
        self._hash = sha256()
        self.size = 0

    def __call__(self, data: bytes | memoryview) -> None:
        """Take the next piece."""
        self._hash.update(data)
        self.size += len(data)

    @property
    def hash(self) -> Hash:
        """The hash of everything so far."""
        return Hash("sha256", self._hash.digest())


def dump(path: str, sink: Sink) -> None:
    """Write the tree at `path` to `sink` as a NAR; symlinks are not followed.

    :raises FormatError: the tree holds a device, a socket or a FIFO, is too deep or changes.
    :raises OSError: something in the tree cannot be read.
    """
    sink(MAGIC)
    _dump_node(os.fsencode(path), sink, 0)


def hash_path(path: str) -> tuple[Hash, int]:
    """Return the SHA-256 and the size in bytes of the NAR of the tree at `path`."""
    sink = HashingSink()
    dump(path, sink)
    return sink.hash, sink.size


def _dump_node(path: bytes, sink: Sink, depth: int) -> None:
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        _dump_directory(path, sink, depth)
    elif stat.S_ISREG(status.st_mode):
        _dump_regular(path, status, sink)
    elif stat.S_ISLNK(status.st_mode):
        sink(symlink_node(os.readlink(path)))
    else:
        raise FormatError(
            f"{os.fsdecode(path)} has an unsupported type: not file, directory or link"
        )


def _dump_directory(path: bytes, sink: Sink, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise FormatError(f"{os.fsdecode(path)} is nested deeper than {MAX_DEPTH} directories")
    sink(DIRECTORY_OPEN)
    for name in sorted(os.listdir(path)):
        sink(entry_open(name))
        _dump_node(os.path.join(path, name), sink, depth + 1)
        sink(ENTRY_CLOSE)
    sink(CLOSE)


def _dump_regular(path: bytes, status: os.stat_result, sink: Sink) -> None:
    size = status.st_size
    sink(regular_open(size, executable=bool(status.st_mode & stat.S_IXUSR)))
    left = size
    with open(path, "rb", buffering=0) as file:
        while left:
            data = file.read(min(left, CHUNK))
            if not data:
                raise FormatError(f"{os.fsdecode(path)} shrank while it was read")
            sink(data)
            left -= len(data)
    sink(regular_close(size))


def restore(source: BinaryIO, target: str) -> None:
    """Create the tree of the NAR read from `source` at `target`, which must not exist.

    Nothing outside `target` is touched whatever the NAR says. Modes are 0644, or 0755 for
    directories and executables, under the umask; the store canonicalises afterwards. On any
    error what was created is removed. Bytes after the NAR are left unread.

    :raises FormatError: malformed: truncated, unsorted or forbidden names, padding, type; or a
        tree that no file system of this machine can hold.
    :raises OSError: `target` cannot be written: no such parent, no space.
    """
    if os.path.lexists(target):
        raise FormatError(f"{target} exists already; a NAR is restored to a new path")
    reader = _Reader(source)
    try:
        reader.expect(b"nix-archive-1")
        _restore_node(reader, os.fsencode(target), 0)
    except BaseException:
        _remove(target)
        raise


def _remove(target: str) -> None:
    import shutil

    if os.path.isdir(target) and not os.path.islink(target):
        shutil.rmtree(target)
    elif os.path.lexists(target):
        os.unlink(target)


class _Reader:
    """Reads tokens; every refusal says what was expected."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def exactly(self, size: int) -> bytes:
        data = self._source.read(size)
        # A pipe or socket without a buffer gives what it has.
        while len(data) < size and (more := self._source.read(size - len(data))):
            data += more
        if len(data) != size:
            raise FormatError("the NAR is truncated")
        return data

    def length(self) -> int:
        return int.from_bytes(self.exactly(_WORD), "little")

    def padding(self, size: int) -> None:
        if (rest := -size % _WORD) and self.exactly(rest) != _ZEROS[:rest]:
            raise FormatError("the NAR has non-zero padding")

    def token(self, limit: int) -> bytes:
        size = self.length()
        if size > limit:
            raise FormatError(
                f"the NAR has a token of {size} bytes where at most {limit} can stand"
            )
        data = self.exactly(size)
        self.padding(size)
        return data

    def expect(self, wanted: bytes) -> None:
        found = self.token(_MAX_NAME)
        if found != wanted:
            raise FormatError(f"the NAR has {found!r} where {wanted!r} must stand")


def _restore_node(reader: _Reader, target: bytes, depth: int) -> None:
    reader.expect(b"(")
    reader.expect(b"type")
    kind = reader.token(_MAX_NAME)
    if len(target) > _MAX_PATH:
        raise FormatError(f"the NAR needs a path of more than {_MAX_PATH} bytes")
    if kind == b"directory":
        _restore_directory(reader, target, depth)
    elif kind == b"regular":
        _restore_regular(reader, target)
    elif kind == b"symlink":
        _restore_symlink(reader, target)
    else:
        raise FormatError(f"the NAR has a node of unknown type {kind!r}")


def _restore_directory(reader: _Reader, target: bytes, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise FormatError(f"the NAR is nested deeper than {MAX_DEPTH} directories")
    os.mkdir(target)
    previous = b""
    while (word := reader.token(_MAX_NAME)) != b")":
        if word != b"entry":
            raise FormatError(f"the NAR has {word!r} where an entry must stand")
        reader.expect(b"(")
        reader.expect(b"name")
        name = _checked_name(reader.token(_MAX_NAME), previous)
        reader.expect(b"node")
        _restore_node(reader, os.path.join(target, name), depth + 1)
        reader.expect(b")")
        previous = name


def _restore_symlink(reader: _Reader, target: bytes) -> None:
    reader.expect(b"target")
    link = reader.token(_MAX_PATH)
    if not link or b"\0" in link:
        raise FormatError(f"the NAR has a symlink with the target {link!r}")
    os.symlink(link, target)
    reader.expect(b")")


def _checked_name(name: bytes, previous: bytes) -> bytes:
    if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
        raise FormatError(f"the NAR has the forbidden name {name!r}")
    if name <= previous:
        raise FormatError(f"the NAR has {name!r} after {previous!r}: not sorted, or twice")
    return name


def _restore_regular(reader: _Reader, target: bytes) -> None:
    word = reader.token(_MAX_NAME)
    executable = word == b"executable"
    if executable:
        reader.expect(b"")
        word = reader.token(_MAX_NAME)
    if word != b"contents":
        raise FormatError(f"the NAR has {word!r} where contents must stand")
    size = left = reader.length()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # Buffered, since a raw write may stop short without an error when the disk fills up.
    with open(os.open(target, flags, 0o777 if executable else 0o666), "wb") as file:
        while left:
            data = reader.exactly(min(left, CHUNK))
            file.write(data)
            left -= len(data)
    reader.padding(size)
    reader.expect(b")")
