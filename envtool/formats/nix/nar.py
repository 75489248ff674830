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
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

from envtool.errors import FormatError
from envtool.formats.nix.hashing import Hash

if TYPE_CHECKING:
    from threading import Thread

Sink = Callable[[bytes], object]
"""Takes the stream piece by piece."""

CHUNK = 1 << 20
"""Bytes of the largest piece that a sink gets."""
_JOINED = 1 << 18
"""Smaller pieces are joined up to about so many bytes."""
_AHEAD = 4
"""Pieces that may wait for the thread that hashes them."""
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
_NODE_OPEN = OPEN + token(b"type")
_REGULAR_WORD = token(b"regular")
_SYMLINK_WORD = token(b"symlink")
_DIRECTORY_WORD = token(b"directory")
_SHORT = len(_REGULAR_WORD)
"""Bytes of every token of one to eight bytes, the NAR's words but two among them."""
_NODE_BEGIN = 2 * _SHORT + _WORD
"""Bytes that every node has, after what is the same in all of them."""
_CONTENTS = token(b"contents")
_EXECUTABLE_WORD = token(b"executable")
_EMPTY = token(b"")
_EXECUTABLE = _EXECUTABLE_WORD + _EMPTY
_TARGET = token(b"target")
_ENTRY_WORD = token(b"entry")
_NAME_OPEN = OPEN + token(b"name")
_NODE = token(b"node")
_NAME_CLOSE = _NODE + _NODE_OPEN
_REGULAR = _NODE_OPEN + _REGULAR_WORD
_SYMLINK = _NODE_OPEN + _SYMLINK_WORD + _TARGET
_ENTRY = _ENTRY_WORD + _NAME_OPEN
_FORBIDDEN = frozenset({b"", b".", b".."})
_CASE_HACK = b"~nix~case~hack~"
"""What Nix puts behind names on a Mac where two differ by case alone, and takes off again when it
dumps: there, a name that has it already would become another, and meet one that is there."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


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
    """Return what stands before the node of the directory entry `name`.

    :raises FormatError: the name has Nix's case hack in it.
    """
    if _CASE_HACK in name:
        raise _case_hacked(name)
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


class _AsideSink(HashingSink):
    """Hashes in a thread, once there is enough to make that worth while.

    SHA-256 of a large piece lets other threads run, such as the one that reads the next piece.
    """

    __slots__ = ("_pieces", "_thread")

    def __init__(self) -> None:
        super().__init__()
        self._thread: Thread | None = None

    def __call__(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        if self._thread is not None:
            self._pieces.put(data)
        elif self.size <= CHUNK:
            self._hash.update(data)
        else:
            self._start()
            self._pieces.put(data)

    def _start(self) -> None:
        from queue import Queue
        from threading import Thread

        self._pieces: Queue[bytes | memoryview | None] = Queue(_AHEAD)
        self._thread = Thread(target=self._work, name="hash", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (data := self._pieces.get()) is not None:
            self._hash.update(data)

    def finish(self) -> None:
        """Wait until all is hashed."""
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()
            self._thread = None

    @property
    def hash(self) -> Hash:
        """The hash of everything so far."""
        self.finish()
        return Hash("sha256", self._hash.digest())


@contextmanager
def hashing_aside() -> Iterator[HashingSink]:
    """Lend a sink that hashes large trees in a thread of its own; what it gets must not change."""
    sink = _AsideSink()
    try:
        yield sink
    finally:
        sink.finish()


def dump(path: str, sink: Sink) -> None:
    """Write the tree at `path` to `sink` as a NAR; symlinks are not followed.

    :raises FormatError: the tree holds a device, a socket or a FIFO, is too deep or changes.
    :raises OSError: something in the tree cannot be read.
    """
    Dumper(sink).dump(path)


def hash_path(path: str) -> tuple[Hash, int]:
    """Return the SHA-256 and the size in bytes of the NAR of the tree at `path`."""
    with hashing_aside() as sink:
        dump(path, sink)
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
                    f"{path} is nested too deep: it holds a path of more than {_MAX_PATH} bytes"
                ) from error
            raise

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
                f"{os.fsdecode(path)} has an unsupported type: not file, directory or link"
            )
        return False

    def _regular(self, path: bytes, status: os.stat_result, before: bytes, after: bytes) -> None:
        size = status.st_size
        # It may have been replaced by a FIFO since: opening must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            copy = self.opened(path, status)
            self._put(before + regular_open(size, executable=bool(status.st_mode & stat.S_IXUSR)))
            left = size
            while left:
                data = os.read(descriptor, min(left, CHUNK))
                if not data:
                    raise FormatError(f"{os.fsdecode(path)} shrank while it was read")
                self._put(data)
                if copy is not None:
                    copy(data)
                left -= len(data)
            self._put(regular_close(size) + after)
        finally:
            os.close(descriptor)
        if copy is not None:
            self.closed()

    def _put(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > CHUNK:
            self._flush()
            self._size = len(data)
        self._pieces.append(data)
        if self._size >= _JOINED:
            self._flush()

    def _flush(self) -> None:
        pieces = self._pieces
        if pieces:
            self._sink(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            self._pieces = []
        self._size = 0


def _case_hacked(name: bytes) -> FormatError:
    return FormatError(
        f"{os.fsdecode(name)!r} cannot be a name in a NAR: Nix on a Mac adds {_CASE_HACK.decode()}",
        hint="give the file another name",
    )


def restore(source: BinaryIO, target: str) -> None:
    """Create the tree of the NAR read from `source` at `target`, which must not exist.

    Nothing outside `target` is touched whatever the NAR says. Modes are 0644, or 0755 for
    directories and executables, under the umask; the store canonicalises afterwards. On any
    error what was created is removed. Bytes after the NAR are left unread; give a `source` with
    a large buffer.

    :raises FormatError: malformed: truncated, unsorted or forbidden names, padding, type; or a
        tree that no file system of this machine can hold.
    :raises OSError: `target` cannot be written: no such parent, no space.
    """
    if os.path.lexists(target):
        raise FormatError(f"{target} exists already; a NAR is restored to a new path")
    try:
        _Restorer(source).restore(os.fsencode(target))
    except BaseException:
        _remove(os.fsencode(target))
        raise


def _remove(target: bytes) -> None:
    """Delete what was restored; no recursion, since it may be deeper than Python's stack."""
    folders: list[bytes] = []
    todo = [target] if os.path.lexists(target) else []
    while todo:
        path = todo.pop()
        if stat.S_ISDIR(os.lstat(path).st_mode):
            folders.append(path)
            todo += [b"%b/%b" % (path, name) for name in os.listdir(path)]
        else:
            os.unlink(path)
    for folder in reversed(folders):
        os.rmdir(folder)


class _Restorer:
    """Reads a NAR and makes its tree.

    It reads at once what any NAR must have there, so that a small file costs three reads and not
    twenty, and yet not a byte behind the end is touched.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._read = source.read
        self._folders: list[bytes] = []
        """Paths of those that are open, outermost first."""
        self._previous: list[bytes] = []
        """The last name in each of them."""
        self._closing = CLOSE
        """What stands after a file's contents or a symlink's target, and its padding."""
        self._then = 0
        """Bytes of the token after that, which is there unless the root is no folder."""

    def restore(self, target: bytes) -> None:
        self._must(MAGIC + _NODE_OPEN)
        word = self._node(target, self._exactly(_NODE_BEGIN))
        while self._folders:
            if word == _ENTRY_WORD:
                word = self._entry()
            elif word == CLOSE:
                word = self._leave()
            else:
                raise FormatError(f"the NAR has {_word(word)!r} where an entry must stand")

    def _enter(self, path: bytes) -> None:
        os.mkdir(path)
        self._folders.append(path)
        self._previous.append(b"")
        self._closing = CLOSE + ENTRY_CLOSE
        self._then = _SHORT

    def _leave(self) -> bytes:
        self._folders.pop()
        self._previous.pop()
        if not self._folders:
            return b""
        self._must(ENTRY_CLOSE)
        return self._exactly(_SHORT)

    def _entry(self) -> bytes:
        head = self._exactly(len(_NAME_OPEN) + _WORD)
        if not head.startswith(_NAME_OPEN):
            raise _unlike(head, _NAME_OPEN)
        size = int.from_bytes(head[-_WORD:], "little")
        data = self._sized(size, _MAX_NAME, _NAME_CLOSE, _NODE_BEGIN)
        name = data[:size]
        if name in _FORBIDDEN or b"/" in name or b"\0" in name:
            raise FormatError(f"the NAR has the forbidden name {name!r}")
        if _CASE_HACK in name:
            raise _case_hacked(name)
        if name <= self._previous[-1]:
            raise FormatError(
                f"the NAR has {name!r} after {self._previous[-1]!r}: not sorted, or twice"
            )
        self._previous[-1] = name
        return self._node(b"%b/%b" % (self._folders[-1], name), data[-_NODE_BEGIN:])

    def _node(self, path: bytes, begin: bytes) -> bytes:
        """Make what is at `path`; return the token behind it, unless nothing may follow.

        `begin` is of the node's type and what follows as much as every NAR has there: the size
        of contents or target at its end, or the token after `directory`.
        """
        if len(path) > _MAX_PATH:
            raise FormatError(
                f"the NAR is nested too deep: it needs a path of more than {_MAX_PATH} bytes"
            )
        if begin.startswith(_REGULAR_WORD):
            return self._regular(path, begin)
        if begin.startswith(_DIRECTORY_WORD):
            self._enter(path)
            return begin[-_SHORT:]
        if begin.startswith(_SYMLINK_WORD):
            return self._symlink(path, begin)
        raise FormatError(f"the NAR has a node of unknown type {_word(begin)!r}")

    def _symlink(self, path: bytes, begin: bytes) -> bytes:
        if not begin.startswith(_TARGET, _SHORT):
            raise _unlike(begin[_SHORT:], _TARGET)
        size = int.from_bytes(begin[-_WORD:], "little")
        data = self._sized(size, _MAX_PATH, self._closing, self._then)
        target = data[:size]
        if not target or b"\0" in target:
            raise FormatError(f"the NAR has a symlink with the target {target!r}")
        os.symlink(target, path)
        return data[-_SHORT:]

    def _regular(self, path: bytes, begin: bytes) -> bytes:
        mode = 0o666
        if begin.startswith(_EXECUTABLE_WORD, _SHORT):
            mode = 0o777
            self._must(_EMPTY)
            begin = begin[:_SHORT] + self._exactly(_NODE_BEGIN - _SHORT)
        if not begin.startswith(_CONTENTS, _SHORT):
            raise _unlike(begin[_SHORT:], _CONTENTS)
        size = left = int.from_bytes(begin[-_WORD:], "little")
        # What cannot be read is not begun to be written, unless it is large.
        data = self._sized(size, CHUNK, self._closing, self._then) if size <= CHUNK else b""
        descriptor = os.open(path, _NEW, mode)
        try:
            while left > CHUNK:
                _write(descriptor, self._exactly(CHUNK))
                left -= CHUNK
            data = data or self._sized(left, CHUNK, self._closing, self._then)
            _write(descriptor, data[:left])
        finally:
            os.close(descriptor)
        return data[-_SHORT:]

    def _sized(self, size: int, limit: int, closing: bytes, more: int) -> bytes:
        """Return `size` bytes with their padding, `closing`, and `more` bytes after it."""
        if size > limit:
            raise FormatError(
                f"the NAR has a token of {size} bytes where at most {limit} can stand"
            )
        end = size + -size % _WORD
        data = self._exactly(end + len(closing) + more)
        if data[size:end] != _ZEROS[: end - size]:
            raise FormatError("the NAR has non-zero padding")
        if not data.startswith(closing, end):
            raise _unlike(data[end:], closing)
        return data

    def _must(self, wanted: bytes) -> None:
        found = self._exactly(len(wanted))
        if found != wanted:
            raise _unlike(found, wanted)

    def _exactly(self, size: int) -> bytes:
        data = self._read(size)
        # A pipe or socket without a buffer gives what it has.
        while len(data) < size and (more := self._read(size - len(data))):
            data += more
        if len(data) != size:
            raise FormatError("the NAR is truncated")
        return data


def _write(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data) if data else 0
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def _word(found: bytes) -> bytes:
    """Return the text of the token at the front, for a message."""
    return found[_WORD : _WORD + int.from_bytes(found[:_WORD], "little")]


def _unlike(found: bytes, wanted: bytes) -> FormatError:
    """Return the error for the first token that is not the wanted one."""
    at = 0
    while wanted[at:]:
        word = _word(wanted[at:])
        end = at + len(token(word))
        if found[at:end] != wanted[at:end]:
            if found[at : at + _WORD + len(word)] == wanted[at : at + _WORD + len(word)]:
                break
            return FormatError(f"the NAR has {_word(found[at:])!r} where {word!r} must stand")
        at = end
    return FormatError("the NAR has non-zero padding")
