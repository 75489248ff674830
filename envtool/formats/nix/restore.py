"""Making the tree of a NAR: a reader that believes nothing it reads.

Sizes are those that the NAR claims, names those that it gives: nothing is allocated, and nothing
written elsewhere, because of them.
"""

import os
import stat
from typing import BinaryIO

from envtool.errors import FormatError
from envtool.formats.nix.nar import (
    CASE_HACK,
    CHUNK,
    CLOSE,
    ENTRY_CLOSE,
    MAGIC,
    MAX_PATH,
    OPEN,
    case_hacked,
    named,
    token,
)

__all__ = ["restore"]

_WORD = 8
_ZEROS = bytes(_WORD)
_MAX_NAME = 255
_NODE_OPEN = OPEN + token(b"type")
_REGULAR = token(b"regular")
_SYMLINK = token(b"symlink")
_DIRECTORY = token(b"directory")
_SHORT = len(_REGULAR)
"""Bytes of every token of one to eight bytes, the NAR's words but two among them."""
_NODE_BEGIN = 2 * _SHORT + _WORD
"""Bytes that every node has, after what is the same in all of them."""
_CONTENTS = token(b"contents")
_EXECUTABLE = token(b"executable")
_EMPTY = token(b"")
_TARGET = token(b"target")
_ENTRY = token(b"entry")
_NAME_OPEN = OPEN + token(b"name")
_NAME_CLOSE = token(b"node") + _NODE_OPEN
_FORBIDDEN = frozenset({b"", b".", b".."})
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


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
    except BaseException as error:
        _remove(os.fsencode(target))
        if isinstance(error, OSError):
            raise named(error) from None
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
            if word == _ENTRY:
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
        if CASE_HACK in name:
            raise case_hacked(name)
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
        if len(path) > MAX_PATH:
            raise FormatError(
                f"the NAR is nested too deep: it needs a path of more than {MAX_PATH} bytes"
            )
        if begin.startswith(_REGULAR):
            return self._regular(path, begin)
        if begin.startswith(_DIRECTORY):
            self._enter(path)
            return begin[-_SHORT:]
        if begin.startswith(_SYMLINK):
            return self._symlink(path, begin)
        raise FormatError(f"the NAR has a node of unknown type {_word(begin)!r}")

    def _symlink(self, path: bytes, begin: bytes) -> bytes:
        if not begin.startswith(_TARGET, _SHORT):
            raise _unlike(begin[_SHORT:], _TARGET)
        size = int.from_bytes(begin[-_WORD:], "little")
        data = self._sized(size, MAX_PATH, self._closing, self._then)
        target = data[:size]
        if not target or b"\0" in target:
            raise FormatError(f"the NAR has a symlink with the target {target!r}")
        os.symlink(target, path)
        return data[-_SHORT:]

    def _regular(self, path: bytes, begin: bytes) -> bytes:
        mode = 0o666
        if begin.startswith(_EXECUTABLE, _SHORT):
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
