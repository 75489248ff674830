"""Read a .deb: what it says of itself, whether it may be unpacked, and its files (deb(5)).

An archive of ar(1) with three members: `debian-binary`, `control.tar.*` and `data.tar.*`. It is
hostile until proven otherwise, though a lock pins its SHA-256: names, types and sizes are checked
before anything is written, and nothing is written outside the new folder, through a symlink, or
twice. Symlinks themselves are kept as they are, wherever they lead. Setuid and setgid bits are
dropped and reported; devices, sockets and pipes are refused.

A member is inflated as a stream, whose length has a limit: what the package says of its installed
size, and a ratio that no real package comes near.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Self

from envtool.errors import FormatError
from envtool.formats.debian.control import Stanza, parse_stanza
from envtool.sources.folder import DebError, NewFolder, Unpacked, checked
from envtool.sources.tar import Entries, entries_of
from envtool.values import value

__all__ = ["Deb", "DebError", "Unpacked"]

_MAGIC = b"!<arch>\n"
_HEADER = 60
_RATIO, _FREE = 2000, 64 << 20
"""Members may inflate to so many times their size, and so many bytes more."""
_SLACK = 16 << 20
"""Bytes by which a package may be larger than twice what it says."""
_MOST_CONTROL = 16 << 20


@value
class _Part:
    """A member of the outer archive."""

    name: str
    start: int
    size: int


class Deb:
    """An open .deb whose control part has been read; use it with `with`.

    `filename` is what errors call it.

    :raises DebError: on opening, when it must not be unpacked.
    """

    def __init__(self, path: str, filename: str) -> None:
        self.filename = filename
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        try:
            self._control, self._data = self._parts()
            self.files = self._control_files()
            """Of the control part, by name: `postinst`, `conffiles`, `triggers`, …"""
            self.control = self._stanza()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def unpack(self, target: str, on_bytes: Callable[[int], None] = lambda _: None) -> Unpacked:
        """Write the files to the new folder `target`, with the modes and times of a store object.

        `on_bytes` hears the bytes written.

        :raises DebError: it must not be unpacked; what was written stays for the caller to remove.
        :raises OSError: the disk fails.
        """
        folder = NewFolder(target, self._fail, on_bytes)
        with self._entries(self._data, self._limit()) as entries:
            for info, contents in entries:
                folder.write(info, contents)
        return folder.finish()

    def _fail(self, message: str) -> DebError:
        return DebError(
            f"{self.filename}: {message}",
            hint="do not use this file; it is not what Debian makes",
        )

    def _parts(self) -> tuple[_Part, _Part]:
        parts = list(self._outer())
        names = [part.name for part in parts]
        if not names or names[0] != "debian-binary":
            raise self._fail("is no .deb: it does not begin with debian-binary")
        self._file.seek(parts[0].start)
        if not self._file.read(parts[0].size).startswith(b"2."):
            raise self._fail("is of another version of the format than 2")
        control = [part for part in parts if part.name.startswith("control.tar")]
        data = [part for part in parts if part.name.startswith("data.tar")]
        if len(control) != 1 or len(data) != 1:
            raise self._fail("has not one control.tar and one data.tar")
        return control[0], data[0]

    def _outer(self) -> Iterator[_Part]:
        size = os.fstat(self._file.fileno()).st_size
        if self._file.read(len(_MAGIC)) != _MAGIC:
            raise self._fail("is no .deb: it does not begin as an ar archive does")
        at = len(_MAGIC)
        while at < size:
            self._file.seek(at)
            header = self._file.read(_HEADER)
            digits = header[48:58].strip()
            if len(header) != _HEADER or header[58:] != b"`\n" or not digits.isdigit():
                raise self._fail(f"the header of a member at byte {at} is damaged")
            part = _Part(
                header[:16].decode("ascii", "replace").strip().removesuffix("/"),
                at + _HEADER,
                int(digits),
            )
            at = part.start + part.size
            if at > size:
                raise self._fail(f"{part.name} breaks off")
            at += at % 2
            yield part

    def _control_files(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        with self._entries(self._control, _MOST_CONTROL) as entries:
            for info, contents in entries:
                if contents is not None:
                    found[checked(info.name, self._fail)] = contents.read()
        return found

    def _stanza(self) -> Stanza:
        try:
            text = self.files["control"].decode()
            stanza = parse_stanza(text, f"{self.filename}: control")
        except KeyError as error:
            raise self._fail("has no control file") from error
        except UnicodeDecodeError as error:
            raise self._fail("its control file is not UTF-8") from error
        except FormatError as error:
            raise DebError(error.message) from error
        missing = [each for each in ("package", "version", "architecture") if each not in stanza]
        if missing:
            raise self._fail(f"its control file does not say {', '.join(missing)}")
        return stanza

    def _limit(self) -> int:
        """Return to how many bytes the data may inflate."""
        by_ratio = self._data.size * _RATIO + _FREE
        said = self.control.get("installed-size", "")
        if not (said.isascii() and said.isdigit()):
            return by_ratio
        return min(by_ratio, int(said[:15]) * 1024 * 2 + _SLACK)

    def _entries(self, part: _Part, limit: int) -> AbstractContextManager[Entries]:
        """Give the entries of a part, each with its contents if it is a regular file."""
        return entries_of(
            self._file,
            part.name,
            start=part.start,
            size=part.size,
            limit=limit,
            fail=self._fail,
        )
