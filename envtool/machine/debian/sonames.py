"""An index of shared libraries: which package has `libGL.so.1`, and where.

Made from the lines of a Contents index that are libraries, some ten thousand: one sorted text of a
megabyte, in which a name is found by looking for its line.
"""

import os
from collections.abc import Iterable, Iterator

from envtool.errors import FormatError
from envtool.formats.debian.contents import Library, libraries
from envtool.machine.disk import disk_errors

__all__ = ["VERSION", "SonameIndex", "build"]

VERSION = 1
"""Of the text's layout; part of its name."""
_PIECE = 8 << 20
_HEAD = b"# envtool sonames 1\n"
_END = b"# end\n"


def build(contents: Iterable[bytes], triplet: str, path: str) -> None:
    """Make the text of an index from the pieces of a Contents file, which are cut anywhere.

    :raises StoreError: it cannot be written.
    """
    found = {
        f"{each.name}\t{each.path}\t{each.package}\n"
        for lines in _whole_lines(contents)
        for each in libraries(lines, triplet)
    }
    text = "".join(sorted(found)).encode("utf-8", "surrogateescape")
    scratch = f"{path}.{os.getpid()}.part"
    with disk_errors("write an index of libraries"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(scratch, "wb") as file:
            file.write(_HEAD + text + _END)
        os.replace(scratch, path)


def _whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _PIECE:
            lines, newline, rest = b"".join(gathered).rpartition(b"\n")
            yield lines + newline
            gathered, size = [rest], len(rest)
    yield b"".join(gathered)


class SonameIndex:
    """The libraries of one component of a suite.

    :raises FormatError: the file is no index, or not a whole one.
    """

    def __init__(self, path: str) -> None:
        with disk_errors("read an index of libraries"), open(path, "rb") as file:
            self._text = file.read()
        if not (self._text.startswith(_HEAD) and self._text.endswith(_END)):
            raise FormatError(f"{path} is no index of libraries")

    def find(self, soname: str) -> tuple[Library, ...]:
        """Return who has a library of this name: those in a folder of the loader's own first."""
        name = soname.encode("utf-8", "surrogateescape")
        start = self._text.find(b"\n" + name + b"\t") + 1
        found: list[Library] = []
        while start and self._text.startswith(name + b"\t", start):
            end = self._text.index(b"\n", start)
            found.append(
                Library(*self._text[start:end].decode("utf-8", "surrogateescape").split("\t"))
            )
            start = end + 1
        return tuple(
            sorted(found, key=lambda each: (each.path.count("/"), each.path, each.package))
        )
