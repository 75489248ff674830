"""The NAR format: a file tree as one byte stream, the same on every machine.

Every token is its length (8 bytes, little endian), its bytes, and zeros up to a multiple of 8.
Of the metadata only the owner's execute bit is kept; entries are sorted bytewise (Nix manual,
"Nix Archive (NAR) Format").

The token constants and `regular_open` let a caller that has the contents in hand, such as the
wheel unpacker, produce the NAR while it writes the files. `Dumper` is for one that reads a tree
and does more with it than `dump`, such as copying it.

How deep a tree may be nested is not limited by itself, but Linux takes paths of 4095 bytes.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envtool.errors import FormatError
from envtool.formats.digest import LITTLE, sha256
from envtool.formats.nix.hashing import Hash

if TYPE_CHECKING:
    from hashlib import _Hash as _Hasher
    from threading import Thread

Sink = Callable[[bytes], object]
"""Takes the stream piece by piece."""

CHUNK = 1 << 18
"""Bytes of the largest piece that a sink gets."""
_SMALL = CHUNK >> 1
"""Bytes of files that go to the sink together with others."""
# A file may have been replaced by a FIFO since it was met: opening must not wait for a writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_ASIDE = 1 << 20
"""Bytes from which on a thread that hashes them pays."""
_PROCESSORS = os.cpu_count() or 1
_AHEAD = 1
"""Pieces that may wait for the other thread; more of them would only push each other out of the
processor's cache."""
MAX_PATH = 4095
_WORD = 8
_PADDING = [bytes(-size % _WORD) for size in range(_WORD)]
"""The zeros behind so many bytes, modulo 8."""


def token(data: bytes) -> bytes:
    """Return one token: length, bytes, padding."""
    size = len(data)
    return b"".join((size.to_bytes(_WORD, "little"), data, _PADDING[size % _WORD]))


MAGIC = token(b"nix-archive-1")
OPEN = token(b"(")
CLOSE = token(b")")
DIRECTORY_OPEN = OPEN + token(b"type") + token(b"directory")
ENTRY_CLOSE = CLOSE
_REGULAR = OPEN + token(b"type") + token(b"regular")
_PLAIN = _REGULAR + token(b"contents")
_EXECUTABLE = _REGULAR + token(b"executable") + token(b"") + token(b"contents")
_SYMLINK = OPEN + token(b"type") + token(b"symlink") + token(b"target")
_ENTRY = token(b"entry") + OPEN + token(b"name")
_NODES = [padding + token(b"node") for padding in _PADDING]
_CLOSES = [padding + CLOSE for padding in _PADDING]
CASE_HACK = b"~nix~case~hack~"
"""What Nix puts behind names on a Mac where two differ by case alone, and takes off again when it
dumps: there, a name that has it already would become another, and meet one that is there."""


def regular_open(size: int, *, executable: bool) -> bytes:
    """Return what stands before the `size` bytes of a regular file's contents."""
    return (_EXECUTABLE if executable else _PLAIN) + size.to_bytes(_WORD, "little")


def regular_close(size: int) -> bytes:
    """Return what stands after the `size` bytes of a regular file's contents."""
    return _CLOSES[size % _WORD]


def symlink_node(target: bytes) -> bytes:
    """Return a whole symlink node."""
    return _SYMLINK + token(target) + CLOSE


def entry_open(name: bytes) -> bytes:
    """Return what stands before the node of the directory entry `name`.

    :raises FormatError: the name has Nix's case hack in it.
    """
    if CASE_HACK in name:
        raise case_hacked(name)
    size = len(name)
    return b"".join((_ENTRY, size.to_bytes(_WORD, "little"), name, _NODES[size % _WORD]))


class HashingSink:
    """A sink that keeps the SHA-256 and the size of what passes through."""

    __slots__ = ("_first", "_hash", "size")

    def __init__(self) -> None:
        self._first: list[bytes] = []
        """Pieces kept until it is known whether they are little."""
        self._hash: _Hasher | None = None
        self.size = 0

    def __call__(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next piece."""
        self.size += len(data)
        if self._hash is not None:
            self._hash.update(data)
            return
        self._first.append(bytes(data))
        if self.size >= LITTLE:
            import hashlib

            self._hash = hashlib.sha256(b"".join(self._first))
            self._first.clear()

    @property
    def hash(self) -> Hash:
        """The hash of everything so far."""
        hasher = self._hash or sha256(b"".join(self._first))
        return Hash("sha256", hasher.digest())


class _Aside:
    """A sink that feeds another one from a thread, once there is enough to make that pay."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._size = 0
        self._thread: Thread | None = None

    def __call__(self, data: bytes) -> None:
        if self._thread is not None:
            self._pieces.put(data)
        else:
            self._sink(data)
            self._size += len(data)
            if self._size > _ASIDE and _PROCESSORS > 1:
                self._start()

    def _start(self) -> None:
        from queue import Queue
        from threading import Thread

        self._pieces: Queue[bytes | None] = Queue(_AHEAD)
        self._thread = Thread(target=self._work, name="aside", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (data := self._pieces.get()) is not None:
            self._sink(data)

    def finish(self) -> None:
        """Wait until the sink has had everything."""
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()


@contextmanager
def aside(sink: Sink) -> Iterator[Sink]:
    """Lend a sink that feeds `sink`, of large trees from another thread; at the end it had all.

    For hashing, which lets other threads run, such as the one that reads the next piece. `sink`
    must not raise.
    """
    feeding = _Aside(sink)
    try:
        yield feeding
    finally:
        feeding.finish()


def dump(path: str, sink: Sink) -> None:
    """Write the tree at `path` to `sink` as a NAR; symlinks are not followed.

    :raises FormatError: the tree holds a device, a socket or a FIFO, is too deep or changes.
    :raises OSError: something in the tree cannot be read.
    """
    Dumper(sink).dump(path)


def hash_path(path: str) -> tuple[Hash, int]:
    """Return the SHA-256 and the size in bytes of the NAR of the tree at `path`."""
    sink = HashingSink()
    with aside(sink) as feed:
        dump(path, feed)
    return sink.hash, sink.size


class Dumper:
    """Reads a tree in the order of its NAR; a subclass may leave out entries, or copy the rest."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pieces: list[bytes] = []
        self._size = 0
        self._folders: list[tuple[bytes, Iterator[bytes]]] = []
        """Those that are open, outermost first, each with what is left of its names."""

    def dump(self, path: str) -> None:
        """Write the tree at `path` to the sink; see the function of this name."""
        try:
            self._tree(os.fsencode(path))
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise FormatError(
                    f"{path} is nested too deep: it holds a path of more than {MAX_PATH} bytes"
                ) from error
            raise named(error) from None

    def names(self, folder: bytes) -> list[bytes]:
        """Return the entries of the folder that count, in any order; it has just been met."""
        return os.listdir(folder)

    def met(self, path: bytes, status: os.stat_result) -> None:
        """Hear of every file, folder and link before it is written."""

    def left(self, folder: bytes) -> None:
        """Hear that all of the folder has been read."""

    def opened(self, path: bytes, status: os.stat_result) -> Callable[[bytes], object] | None:
        """Return what else is to get the contents of the file, in pieces, if anything is."""

    def closed(self) -> None:
        """Hear that all of that file has been read."""

    def sent(self, descriptor: int, size: int) -> int:  # noqa: ARG002 - for subclasses
        """Send up to `size` of the next bytes of a large file to where the sink's bytes go.

        Return how many were sent; the others go to the sink.
        """
        return 0

    def linked(self, path: bytes, target: bytes) -> None:
        """Hear of a symlink."""

    def _tree(self, path: bytes) -> None:
        self._node(path, MAGIC, b"")
        while self._folders:
            folder, names = self._folders[-1]
            for name in names:
                if self._node(b"%b/%b" % (folder, name), entry_open(name), ENTRY_CLOSE):
                    break
            else:
                self._folders.pop()
                self.left(folder)
                self._put(CLOSE + ENTRY_CLOSE if self._folders else CLOSE)
        self._flush()

    def _node(self, path: bytes, before: bytes, after: bytes) -> bool:
        """Write a node with what stands around it; of a folder its beginning, and return True."""
        status = os.lstat(path)
        self.met(path, status)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self._regular(path, status, before, after)
        elif kind == stat.S_IFDIR:
            self._put(before + DIRECTORY_OPEN)
            self._folders.append((path, iter(sorted(self.names(path)))))
            return True
        elif kind == stat.S_IFLNK:
            target = os.readlink(path)
            self.linked(path, target)
            self._put(before + symlink_node(target) + after)
        else:
            raise FormatError(
                f"{os.fsdecode(path)} is a device, socket or FIFO, which a NAR cannot hold"
            )
        return False

    def _regular(self, path: bytes, status: os.stat_result, before: bytes, after: bytes) -> None:
        descriptor = os.open(path, _READ)
        try:
            copy = self.opened(path, status)
            size = status.st_size
            head = regular_open(size, executable=bool(status.st_mode & stat.S_IXUSR))
            first = os.read(descriptor, min(size, CHUNK))
            if len(first) == size <= _SMALL:
                self._put(before, head, first, regular_close(size), after)
                if copy is not None:
                    copy(first)
            else:
                self._put(before, head)
                for data in self._contents(descriptor, path, size, first):
                    self._put(data)
                    if copy is not None:
                        copy(data)
                self._put(regular_close(size), after)
        finally:
            os.close(descriptor)
        if copy is not None:
            self.closed()

    def _contents(self, descriptor: int, path: bytes, left: int, data: bytes) -> Iterator[bytes]:
        """Yield as many bytes of an open file as it had when it was met, but for those sent.

        `data` has been read.
        """
        yield data
        self._flush()
        left -= len(data)
        left -= self.sent(descriptor, left)
        while left and (data := os.read(descriptor, min(left, CHUNK))):
            yield data
            left -= len(data)
        if left:
            raise FormatError(f"{os.fsdecode(path)} shrank while it was read", hint="run it again")

    def _put(self, *pieces: bytes) -> None:
        """Add to what goes to the sink as one piece, as soon as that is large."""
        size = sum(map(len, pieces))
        if self._size + size > CHUNK:
            self._flush()
        self._size += size
        self._pieces += pieces

    def _flush(self) -> None:
        if self._pieces:
            self._sink(b"".join(self._pieces))
            self._pieces.clear()
            self._size = 0


def named(error: OSError) -> OSError:
    """Return the error with the name of its file as text, as everybody else has it."""
    if isinstance(error.filename, bytes):
        error.filename = os.fsdecode(error.filename)
    return error


def case_hacked(name: bytes) -> FormatError:
    """Return the error for a name that has the case hack in it."""
    return FormatError(
        f"{os.fsdecode(name)!r} cannot be a name in a NAR: Nix on a Mac adds {CASE_HACK.decode()}",
        hint="give the file another name",
    )
