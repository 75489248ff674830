"""An index of the packages of one component: a name, what it needs and who provides it, at once.

A folder with the `Packages` file as Debian has it; `index.sqlite`, which says at which bytes of it
a package stands, by its own name and by the names it provides; `summaries`, to search. To read a
package is to read its stanza: parsing all of them takes seconds, half of it for fields that nobody
asks for; finding where they begin takes a tenth of one. The folder appears by a rename, so it is
whole or not there. Its name holds the hash of what it was made from: what is older has another.
"""

import mmap
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Self
from urllib.parse import quote

from envtool.errors import StoreError
from envtool.formats.debian.package import Origin, Package, read
from envtool.machine.disk import disk_errors
from envtool.machine.metadata import delete_tree
from envtool.values import value

__all__ = ["VERSION", "Found", "PackageIndex", "build"]

VERSION = 1
"""Of the folder's layout; part of its name."""
_SCHEMA = """
create table Places (
    name text not null, virtual integer not null, start integer not null, size integer not null,
    primary key (name, virtual, start)
) without rowid
"""
_PROVIDED = re.compile(r"(?:^|,)\s*([^\s,:(]+)")
_NAME = b"Package: "
"""What a stanza of a Packages file begins with ("Debian Repository Format")."""


@value
class Found:
    """A package that a search found."""

    name: str
    version: str
    summary: str
    origin: Origin


def build(packages: bytes, folder: str) -> None:
    """Make the folder of an index from the text of a Packages file; what is there is replaced.

    :raises StoreError: it cannot be written.
    """
    scratch = f"{folder}.{os.getpid()}.part"
    with disk_errors("write an index of packages"):
        try:
            delete_tree(scratch)
            os.makedirs(scratch)
            with open(f"{scratch}/Packages", "wb", buffering=0) as file:
                file.write(packages)
            with open(f"{scratch}/summaries", "w", encoding="utf-8") as summaries:
                summaries.write(_summaries(packages))
            _write_places(f"{scratch}/index.sqlite", packages)
            delete_tree(folder)
            with suppress(FileExistsError):  # another process made the very same
                os.rename(scratch, folder)
        finally:
            delete_tree(scratch)


def _write_places(path: str, packages: bytes) -> None:
    database = sqlite3.connect(path)
    try:
        # It is made beside its place, and made again if anything happens.
        database.execute("pragma synchronous = off")
        database.execute("pragma journal_mode = off")
        database.execute(_SCHEMA)
        database.executemany("insert or ignore into Places values (?, ?, ?, ?)", _places(packages))
        database.commit()
    except sqlite3.Error as error:
        raise StoreError(f"cannot write {path}: {error}") from error
    finally:
        database.close()


def _stanzas(packages: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the stanzas and where they begin; what does not begin with a name is none."""
    start = 0
    for stanza in packages.split(b"\n\n"):
        if stanza.startswith(_NAME):
            yield start, stanza
        start += len(stanza) + 2


def _places(packages: bytes) -> list[tuple[str, int, int, int]]:
    """Return each name with whether it is provided only, and where its stanza is; sorted."""
    found: list[tuple[str, int, int, int]] = []
    for start, stanza in _stanzas(packages):
        size = len(stanza)
        found.append((_value(stanza, _NAME, 0), 0, start, size))
        at = stanza.find(b"\nProvides: ")
        if at >= 0:
            provided = _PROVIDED.findall(_value(stanza, b"Provides: ", at + 1))
            found += [(name, 1, start, size) for name in provided]
    return sorted(found)


def _summaries(packages: bytes) -> str:
    """Return name, version and first line of each package, a line each."""
    lines = []
    for _, stanza in _stanzas(packages):
        version, summary = stanza.find(b"\nVersion: "), stanza.find(b"\nDescription: ")
        lines.append(
            f"{_value(stanza, _NAME, 0)}\t{_value(stanza, b'Version: ', version + 1)}\t"
            f"{_value(stanza, b'Description: ', summary + 1)}\n"
        )
    return "".join(lines)


def _value(stanza: bytes, field: bytes, at: int) -> str:
    """Return the line's value of the field that stands at `at`; empty if it does not."""
    if not stanza.startswith(field, at):
        return ""
    end = stanza.find(b"\n", at)
    line = stanza[at + len(field) : len(stanza) if end < 0 else end]
    return line.decode("utf-8", "replace").strip().replace("\t", " ")


class PackageIndex:
    """An open index; use it with `with`. One thread at a time.

    :raises StoreError: it cannot be read; then it is damaged, since it appears as a whole.
    """

    def __init__(self, folder: str, origin: Origin) -> None:
        self.origin = origin
        self._folder = folder
        self._read: dict[int, Package] = {}
        try:
            with open(f"{folder}/Packages", "rb") as file:
                self._packages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._database = sqlite3.connect(
                f"file:{quote(folder)}/index.sqlite?mode=ro&immutable=1", uri=True
            )
            self._database.execute("select 1 from Places").fetchone()
        except (OSError, ValueError, sqlite3.Error) as error:
            raise StoreError(f"the index {folder} cannot be read: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its files."""
        self._database.close()
        self._packages.close()

    def named(self, name: str) -> list[Package]:
        """Return the packages of this name, in the order of the index."""
        return self._find(name, 0)

    def providing(self, name: str) -> list[Package]:
        """Return the packages that provide this name, in the order of the index."""
        return self._find(name, 1)

    def names(self, prefix: str = "", most: int = 1000) -> list[str]:
        """Return names of packages that begin with `prefix`; sorted."""
        rows = self._database.execute(
            "select distinct name from Places where virtual = 0 and name >= ? and name < ? limit ?",
            (prefix, prefix + "\U0010ffff", most),
        )
        return [name for (name,) in rows]

    def all_names(self) -> list[str]:
        """Return the names of all packages; sorted."""
        return self.names(most=-1)

    def search(self, word: str) -> Iterator[Found]:
        """Yield packages with a word in their name or first line, in the order of the index.

        Upper and lower case of ASCII are the same. The word is not empty and has no line break.

        :raises StoreError: the index is damaged.
        """
        with disk_errors("search an index"), open(f"{self._folder}/summaries", "rb") as file:
            text = file.read()
        small, wanted = text.lower(), word.encode("utf-8", "surrogateescape").lower()
        at = small.find(wanted)
        while at >= 0:
            start, end = small.rfind(b"\n", 0, at) + 1, small.find(b"\n", at)
            fields = small[start:end].split(b"\t", 2)
            if wanted in fields[0] or wanted in fields[2]:
                line = text[start:end].decode("utf-8", "replace")
                name, version, summary = line.split("\t", 2)
                yield Found(name, version, summary, self.origin)
            at = small.find(wanted, end)

    def _find(self, name: str, virtual: int) -> list[Package]:
        rows = self._database.execute(
            "select start, size from Places where name = ? and virtual = ? order by start",
            (name, virtual),
        )
        return [self._package(start, size) for start, size in rows.fetchall()]

    def _package(self, start: int, size: int) -> Package:
        if start not in self._read:
            text = self._packages[start : start + size].decode("utf-8", "replace")
            self._read[start] = read(text, self.origin)
        return self._read[start]
