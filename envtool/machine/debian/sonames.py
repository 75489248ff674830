"""An index of shared libraries and programs: which package has `libGL.so.1` or `dot`, and where.

Made from the lines of a Contents index that are libraries or programs, some ten thousand of each:
two sorted texts of a megabyte or two, in which a name is found by looking for its line.
"""

import os
from collections.abc import Iterable, Iterator

from envtool.errors import FormatError
from envtool.formats.debian.contents import Library, libraries, programs
from envtool.machine.disk import disk_errors

__all__ = ["VERSION", "SonameIndex", "build"]

VERSION = 2
"""Of the text's layout; part of its name."""
_PIECE = 8 << 20
_HEAD = b"# envtool sonames 2\n"
_PROGRAMS = b"\n# programs\n"
_END = b"# end\n"


def build(contents: Iterable[bytes], triplet: str, path: str) -> None:
    """Make the text of an index from the pieces of a Contents file, which are cut anywhere.

    :raises StoreError: it cannot be written.
    """
    found: set[str] = set()
    others: set[str] = set()
    for lines in _whole_lines(contents):
        found.update(map(_line, libraries(lines, triplet)))
        others.update(map(_line, programs(lines)))
    text = _joined(found) + _PROGRAMS + _joined(others)
    scratch = f"{path}.{os.getpid()}.part"
    with disk_errors("write an index of libraries"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(scratch, "wb") as file:
            file.write(_HEAD + text + _END)
        os.replace(scratch, path)


def _line(library: Library) -> str:
    return f"{library.name}\t{library.path}\t{library.package}\n"


def _joined(lines: Iterable[str]) -> bytes:
    return "".join(sorted(lines)).encode("utf-8", "surrogateescape")


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
        self._programs = self._text.find(_PROGRAMS) + 1
        if not (self._text.startswith(_HEAD) and self._programs and self._text.endswith(_END)):
            raise FormatError(f"{path} is no index of libraries")

    def find(self, soname: str) -> tuple[Library, ...]:
        """Return who has a library of this name: those in a folder of the loader's own first."""
        return self._find(soname, 0, self._programs)

    def find_program(self, name: str) -> tuple[Library, ...]:
        """Return who has a program of this name."""
        return self._find(name, self._programs, len(self._text))

    def near(self, name: str) -> list[str]:
        """Return names of libraries and programs that begin as this one does; sorted."""
        stem = name.partition(".so")[0][:3].encode("utf-8", "surrogateescape")
        found = {
            line.partition(b"\t")[0].decode("utf-8", "surrogateescape")
            for line in self._text.split(b"\n")
            if line.startswith(stem)
        }
        return sorted(found)

    def _find(self, wanted: str, start: int, end: int) -> tuple[Library, ...]:
        name = wanted.encode("utf-8", "surrogateescape")
        start = self._text.find(b"\n" + name + b"\t", start, end) + 1
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
