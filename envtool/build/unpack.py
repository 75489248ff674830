"""The builder `builtin:unpack-wheel`: a wheel becomes a position-independent store object.

The object holds `site-packages/` (purelib and platlib joined), `scripts/`, `data/`, `headers/`
where the wheel has them, and `wheel.json`, which tells the composer all that it needs to know, so
that an environment is joined without reading the packages. Files are written in the order of the
NAR, which is hashed on the way: each byte is inflated, checked, hashed and written once.
"""

import json
import mmap
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.parser import HeaderParser
from functools import partial
from typing import Any

from envtool.build.finding import Finder
from envtool.build.layout import INDEX, SITE
from envtool.errors import WheelError
from envtool.formats.nix import nar
from envtool.formats.nix.hashing import Hash
from envtool.machine.sharing.twin import Twin
from envtool.sources import elf, elf_edit
from envtool.sources.members import Data
from envtool.sources.wheel import CHUNK, Member, Wheel
from envtool.values import value

VERSION = "1"
"""Part of the derivation: a change in what this module writes is a new number."""
_INSTALLER = b"envtool\n"
_SMALL = 1 << 16
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_Tree = dict[str, "Member | bytes | _Tree"]
"""Name to a wheel's member, to bytes of our own, or to a folder."""


@value
class Unpacked:
    """What registering the object needs."""

    nar_hash: Hash
    nar_size: int


def unpack(
    path: str,
    filename: str,
    target: str,
    on_bytes: Callable[[int], None] = lambda _: None,
    older: str | None = None,
    *,
    refused: tuple[str, ...] = (),
    inheriting: bool = False,
) -> Unpacked:
    """Write the wheel at `path` to the new folder `target`, in canonical form.

    `filename` is the wheel's own (PEP 427) name. `on_bytes` hears the bytes written. `older` is
    the store object of another version: files that are the same there become links to them.
    No file may have one of the `refused` texts in it. With `inheriting`, its libraries look where
    those that load them do, too (`sources.elf_edit`).

    :raises WheelError: the wheel must not be unpacked; what was written stays for the caller to
        remove.
    """
    with Wheel(path, filename) as wheel:
        tree = _tree(wheel)
        finder = Finder(refused)
        writer = _Writer(
            wheel, _folders(wheel), on_bytes, target, older, finder, inheriting=inheriting
        )
        index = _index(wheel, tree)
        tree[INDEX] = b""  # its contents depend on the ELF files seen; it sorts last
        writer.write(tree, index)
        return Unpacked(writer.sink.hash, writer.sink.size)


def _tree(wheel: Wheel) -> _Tree:
    tree: _Tree = {}
    known: dict[str, _Tree] = {}
    for member in wheel.members:
        path, _, name = member.place.rpartition("/")
        folder = known.get(path)
        if folder is None:
            folder = known[path] = _folder(tree, path)
        folder[name] = member
    dist_info = _folder(tree, f"{SITE}/{wheel.dist_info}")
    dist_info["INSTALLER"] = _INSTALLER
    if any(not member.place.startswith(SITE) for member in wheel.members):
        dist_info["RECORD"] = _record(wheel)
    return tree


def _folder(tree: _Tree, path: str) -> _Tree:
    for part in path.split("/"):
        below = tree.setdefault(part, {})
        assert isinstance(below, dict), "the wheel's names were checked"
        tree = below
    return tree


def _record(wheel: Wheel) -> bytes:
    """Return RECORD with the places that the files have in an environment."""
    import csv
    import io

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for member in wheel.members:
        digest = "=".join(member.digest) if member.digest else ""
        rows.writerow([_installed(member.place, wheel), digest, member.size if digest else ""])
    return text.getvalue().encode()


def _installed(place: str, wheel: Wheel) -> str:
    scheme, _, rest = place.partition("/")
    name = wheel.dist_info.split("-")[0]
    prefix = {SITE: "", "data": "../../../", "scripts": "../../../bin/"}
    return f"{prefix.get(scheme, f'../../../include/{name}/')}{rest}"


def _index(wheel: Wheel, tree: _Tree) -> dict[str, Any]:
    # The parser would read the description, too, which is all behind the first empty line.
    metadata = HeaderParser().parsestr(wheel.metadata_text("METADATA").partition("\n\n")[0])
    site = _folder(tree, SITE)
    return {
        "name": str(metadata.get("Name", "")),
        "version": str(metadata.get("Version", "")),
        "requires": [str(value) for value in metadata.get_all("Requires-Dist", [])],
        "console": _points(wheel, "console_scripts"),
        "gui": _points(wheel, "gui_scripts"),
        "scripts": sorted(_folder(tree, "scripts")) if "scripts" in tree else [],
        "files": sorted(name for name, node in site.items() if not isinstance(node, dict)),
        "folders": sorted(name for name, node in site.items() if isinstance(node, dict)),
        "schemes": sorted(name for name in ("data", "headers") if name in tree),
    }


def _points(wheel: Wheel, group: str) -> list[list[str]]:
    return [[point.name, point.module, point.attribute] for point in wheel.entry_points(group)]


@dataclass(slots=True)
class _Writer:
    """Writes the tree and its NAR at the same time."""

    wheel: Wheel
    folders: frozenset[str]
    on_bytes: Callable[[int], None]
    target: str
    older: str | None
    finder: Finder
    inheriting: bool = False
    sink: nar.HashingSink = field(default_factory=nar.HashingSink)
    modes_hold: bool = False
    """Whether files get the modes they are made with: no umask or ACL takes a bit of them."""
    climbing: set[str] = field(default_factory=set)
    """Folders below site-packages whose ELF files look for libraries in another wheel's folder."""

    def write(self, tree: _Tree, index: Mapping[str, Any]) -> None:
        self.sink(nar.MAGIC)
        os.mkdir(self.target, 0o755)
        mode = os.stat(self.target).st_mode
        self.modes_hold = mode & 0o777 == 0o755  # noqa: PLR2004 - as just made
        self._directory(tree, self.target, "", index)

    def _directory(self, tree: _Tree, target: str, place: str, index: Mapping[str, Any]) -> None:
        self.sink(nar.DIRECTORY_OPEN)
        # By code points, which is the order of their UTF-8 bytes, too.
        for name in sorted(tree):
            node = tree[name]
            path, below = f"{target}/{name}", f"{place}/{name}" if place else name
            opening = nar.entry_open(name.encode())
            if isinstance(node, dict):
                self.sink(opening)
                os.mkdir(path, 0o755)
                self._directory(node, path, below, index)
                self.sink(nar.ENTRY_CLOSE)
            elif isinstance(node, Member):
                self._member(node, path, opening)
            else:
                data = self._index_bytes(index) if below == INDEX else node
                self._file(path, opening, len(data), iter([data]), executable=False)
        self.sink(nar.CLOSE)
        os.utime(target, (1, 1))
        os.chmod(target, 0o555)  # noqa: S103 - what the store's objects have

    def _index_bytes(self, index: Mapping[str, Any]) -> bytes:
        complete = {**index, "real": sorted(self.climbing)}
        return json.dumps(complete, sort_keys=True, separators=(",", ":")).encode()

    def _member(self, member: Member, path: str, opening: bytes) -> None:
        executable = member.executable or member.place.startswith("scripts/")
        is_small = member.size <= CHUNK
        pieces = iter((self.wheel.whole(member),)) if is_small else self.wheel.read(member)
        if self.inheriting:
            pieces = _inheriting(pieces)
        first = self._file(path, opening, member.size, pieces, executable=executable)
        if first.startswith(elf.MAGIC) and member.place.startswith(SITE):
            self._look_at_elf(first if is_small else None, path, member.place)
        self.on_bytes(member.size)

    def _file(
        self, path: str, opening: bytes, size: int, pieces: Iterator[Data], *, executable: bool
    ) -> Data:
        """Write one file and its node; return its first piece."""
        mode = 0o555 if executable else 0o444
        head = opening + nar.regular_open(size, executable=executable)
        tail = nar.regular_close(size) + nar.ENTRY_CLOSE
        if self.older is not None:
            older = f"{self.older}{path[len(self.target) :]}"
            twin = Twin.find(older, path, size, mode)
            if twin is not None:
                return self._twin(twin, head, pieces, tail, path)
        descriptor = os.open(path, _FLAGS, mode)
        try:
            first = next(pieces, b"")
            if size < _SMALL:
                self.sink(b"".join((head, first, tail)))
                self._look(first, path)
                _write(descriptor, first)
            else:
                self.sink(head)
                self._all(partial(_write, descriptor), first, pieces, path)
                self.sink(tail)
            if not self.modes_hold:
                os.fchmod(descriptor, mode)
            os.utime(descriptor, (1, 1))
        finally:
            os.close(descriptor)
        return first

    def _twin(
        self, twin: Twin, head: bytes, pieces: Iterator[Data], tail: bytes, path: str
    ) -> Data:
        """Do it for a file that the older version may have, too."""
        with twin:
            first = next(pieces, b"")
            self.sink(head)
            self._all(twin.write, first, pieces, path)
            self.sink(tail)
            twin.finish()
        return first

    def _all(
        self,
        write: Callable[[Data], object],
        first: Data,
        pieces: Iterator[Data],
        path: str,
    ) -> None:
        piece: Data | None = first
        while piece is not None:
            self.sink(piece)
            self._look(piece, path)
            write(piece)
            piece = next(pieces, None)

    def _look(self, data: Data, path: str) -> None:
        """Refuse a file with a text in it that must not be there."""
        self.finder(data)
        if self.finder.found is not None:
            place = path[len(self.target) + 1 :]
            raise WheelError(
                f"{self.wheel.filename}: {place} names {self.finder.found}, "
                "a directory of this machine",
                hint="it was built in an environment; build it elsewhere, "
                "or declare its project instead of the wheel",
            )

    def _look_at_elf(self, data: Data | None, path: str, place: str) -> None:
        if data is not None:
            found = elf.dynamic(data)
        else:
            with (
                open(path, "rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m,
            ):
                found = elf.dynamic(m)
        folder = posixpath.dirname(place.removeprefix(f"{SITE}/"))
        if found and any(self._climbs(entry, folder) for entry in found.search):
            self.climbing.add(folder)

    def _climbs(self, entry: str, folder: str) -> bool:
        """Say whether the search path leads into a folder that this wheel does not have."""
        for origin in ("$ORIGIN", "${ORIGIN}"):
            if entry.startswith(origin):
                target = posixpath.normpath(f"{folder}{entry[len(origin) :]}")
                return not target.startswith(".") and target not in self.folders
        return False


def _folders(wheel: Wheel) -> frozenset[str]:
    """Return every folder of the wheel's site-packages, relative to it."""
    found: set[str] = set()
    for member in wheel.members:
        folder = member.place.removeprefix(f"{SITE}/").rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return frozenset(found)


def _write(descriptor: int, data: Data) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def _inheriting(pieces: Iterator[Data]) -> Iterator[Data]:
    """Yield a file's pieces, or the whole of a library whose search path is changed."""
    first = next(pieces, b"")
    if first.startswith(elf.MAGIC):
        yield elf_edit.inheriting(b"".join((first, *pieces)))
    else:
        yield first
        yield from pieces
