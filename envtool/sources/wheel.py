"""Read a wheel: what it holds, whether it may be unpacked, and where each file belongs.

A wheel is hostile until proven otherwise: names, types, modes and sizes are checked before
anything is written, and every file against the wheel's RECORD while it is read (PEP 427 and the
"Binary distribution format" specification). Nothing here writes.

Members are read by hand from the file's memory map, one inflate each: for the 105 wheels of a
data-science environment that is half the time of `zipfile`'s own reader.
"""

import csv
import hashlib
import mmap
import os
import re
import stat
import struct
import zipfile
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping
from email.parser import HeaderParser
from typing import Self

from envtool.errors import WheelError
from envtool.sources.members import Data, DeflateError, inflate, inflate_pieces
from envtool.values import value

MAX_INFLATE = 1032
"""Deflate cannot expand further; a member that claims more lies about its size."""
CHUNK = 8 << 20
"""Members up to this size are read in one piece."""
_WHOLE = 64 << 20
"""Members up to this size are inflated in one piece, larger ones in pieces of `CHUNK`."""
_PIECE = 1 << 20
"""What is inflated in one piece is handed on in pieces that a processor's cache holds."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SIGNATURES = ("RECORD", "RECORD.jws", "RECORD.p7s")
_SCHEMES = {"purelib": "site-packages", "platlib": "site-packages"}
_SCHEMES |= {"scripts": "scripts", "data": "data", "headers": "headers"}
_HASHES = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_PLAIN_NAME = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9_.+ -]*/)*[A-Za-z0-9_][A-Za-z0-9_.+ -]*/?"
).fullmatch
"""Names that nothing can be wrong with; the others, which are few, are looked at in parts."""
_PLAIN_MODES = frozenset({0, 0o100644, 0o100664, 0o100755, 0o100775, 0o644, 0o755, 0o40755})
_SHOWN = 3
_RECORD_COLUMNS = 3
_SHOWN_NAME = 60
MAX_DEPTH = 100
"""Folders in a member's name; real wheels have about ten."""
_MAX_NAME = 255
_DRIVE = re.compile("[A-Za-z]:")


@value
class Member:
    """One file of the wheel."""

    name: str
    """As the archive spells it."""
    place: str
    """Where it belongs: `site-packages/…`, `scripts/…`, `data/…` or `headers/…`."""
    size: int
    executable: bool
    offset: int
    packed: int
    method: int
    digest: tuple[str, str] | None
    """Algorithm and unpadded urlsafe base64 as RECORD has them; None for RECORD itself."""


@value
class EntryPoint:
    """A console or GUI script: `name = module:attribute`."""

    name: str
    module: str
    attribute: str


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class Wheel:
    """An open wheel whose names, types and RECORD have been checked; use it with `with`.

    :raises WheelError: on opening, when the wheel must not be unpacked.
    """

    def __init__(self, path: str, filename: str) -> None:
        self.filename = filename
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        try:
            self._infos = self._directory()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            self._bytes = memoryview(self._map)
        except BaseException:
            self._file.close()
            raise
        try:
            self.dist_info = self._find_dist_info()
            self._check_wheel_version()
            self.members = self._members()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._bytes.release()
        self._map.close()
        self._file.close()

    def _fail(self, message: str) -> WheelError:
        return WheelError(
            f"{self.filename}: {message}",
            hint="do not use this file; tell the package's authors, or pin another version",
        )

    def _directory(self) -> dict[str, zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self._file) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self._fail(f"is not a zip archive: {error}") from error
        found: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            self._check_name(info)
            if info.filename in found:
                raise self._fail(f"holds {info.filename!r} twice")
            found[info.filename] = info
        return {name: info for name, info in found.items() if not name.endswith("/")}

    def _check_name(self, info: zipfile.ZipInfo) -> None:
        name = info.filename
        if info.orig_filename != name or len(name) > _MAX_NAME or not _PLAIN_NAME(name):
            self._check_odd_name(info)
        mode = info.external_attr >> 16
        if mode not in _PLAIN_MODES:
            self._check_mode(name, mode)
        if info.flag_bits & 1:
            raise self._fail(f"has the encrypted member {name!r}")
        if info.compress_type not in _METHODS:
            raise self._fail(f"has {name!r} in a compression other than deflate")
        if info.file_size > info.compress_size * MAX_INFLATE + CHUNK:
            raise self._fail(f"claims that {name!r} has {info.file_size} bytes, which cannot be")

    def _check_odd_name(self, info: zipfile.ZipInfo) -> None:
        name = info.filename
        parts = name.removesuffix("/").split("/")
        if info.orig_filename != name or "\\" in name or "\0" in name:
            raise self._fail(f"has the forbidden name {info.orig_filename!r}")
        if name.startswith("/") or _DRIVE.match(name) or not {"", ".", ".."}.isdisjoint(parts):
            raise self._fail(f"has a name that leads out of the wheel: {name!r}")
        if len(parts) > MAX_DEPTH or max(len(os.fsencode(part)) for part in parts) > _MAX_NAME:
            raise self._fail(f"has a name too long or too deep: {name[:_SHOWN_NAME]!r}…")

    def _check_mode(self, name: str, mode: int) -> None:
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFLNK:
            raise self._fail(f"holds a symlink: {name!r}; wheels may hold only files")
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise self._fail(f"holds {name!r}, which is neither file nor folder")
        if mode & (stat.S_ISUID | stat.S_ISGID):
            raise self._fail(f"has a setuid or setgid bit on {name!r}")

    def _find_dist_info(self) -> str:
        folders = {name.split("/", 1)[0] for name in self._infos if "/" in name}
        found = sorted(folder for folder in folders if folder.endswith(".dist-info"))
        if len(found) != 1:
            raise self._fail(f"must have one .dist-info folder, has {len(found)}: {found}")
        stem = found[0].removesuffix(".dist-info")
        expected = "-".join(self.filename.split("-")[:2])
        if _normalise(stem.replace("-", "_")) != _normalise(expected.replace("-", "_")):
            raise self._fail(f"has metadata of another package: {found[0]}")
        for needed in ("WHEEL", "METADATA", "RECORD"):
            if f"{found[0]}/{needed}" not in self._infos:
                raise self._fail(f"lacks {found[0]}/{needed}")
        return found[0]

    def _check_wheel_version(self) -> None:
        fields = HeaderParser().parsestr(self.metadata_text("WHEEL"))
        version = str(fields.get("Wheel-Version", ""))
        if not version.startswith("1."):
            raise self._fail(f"is in wheel format {version or 'unknown'}; 1.x is understood")

    def _members(self) -> tuple[Member, ...]:
        record = self._record()
        signatures = {f"{self.dist_info}/{name}" for name in _SIGNATURES}
        members = [
            self._member(info, None if name in signatures else record.pop(name, ("", "")))
            for name, info in self._infos.items()
        ]
        for signature in signatures:
            record.pop(signature, None)
        if record:
            raise self._fail(f"RECORD names files that are not there: {_some(record)}")
        unrecorded = [member.name for member in members if member.digest == ("", "")]
        if unrecorded:
            raise self._fail(f"RECORD gives no hash for {_some(unrecorded)}")
        self._check_places([member.place for member in members])
        return tuple(members)

    def _check_places(self, places: list[str]) -> None:
        """Check that no place is taken twice, whichever scheme leads there."""
        files = set(places)
        if len(files) != len(places):
            raise self._fail("puts two files in one place")
        folders: set[str] = set()
        for place in places:
            folder = place.rpartition("/")[0]
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
        if clash := files & folders:
            raise self._fail(f"has a file and a folder in one place: {_some(clash)}")

    def _record(self) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        try:
            rows = list(csv.reader(self.metadata_text("RECORD").splitlines(), strict=True))
        except csv.Error as error:
            raise self._fail(f"RECORD cannot be read: {error}") from error
        for row in rows:
            if not row:
                continue
            if len(row) != _RECORD_COLUMNS:
                raise self._fail(f"RECORD has {','.join(row)!r}, which is no path, hash and size")
            name, digest = row[0].removeprefix("./"), row[1]
            if name in found:
                raise self._fail(f"RECORD names {name!r} twice")
            algorithm, _, value = digest.partition("=")
            if digest and algorithm not in _HASHES:
                raise self._fail(
                    f"RECORD uses {algorithm!r} for {name!r}; sha256 or better it must be"
                )
            found[name] = (algorithm, value.rstrip("=")) if digest else ("", "")
        return {name: digest for name, digest in found.items() if not name.endswith("/")}

    def _member(self, info: zipfile.ZipInfo, digest: tuple[str, str] | None) -> Member:
        return Member(
            name=info.filename,
            place=self._place(info.filename),
            size=info.file_size,
            executable=bool((info.external_attr >> 16) & 0o111),
            offset=info.header_offset,
            packed=info.compress_size,
            method=info.compress_type,
            digest=digest,
        )

    def _place(self, name: str) -> str:
        data = self.dist_info.removesuffix(".dist-info") + ".data"
        if not name.startswith(data + "/"):
            return f"site-packages/{name}"
        scheme, _, rest = name[len(data) + 1 :].partition("/")
        if scheme not in _SCHEMES or not rest:
            raise self._fail(f"uses the unknown install scheme {name!r}")
        if scheme == "scripts" and "/" in rest:
            raise self._fail(f"has a script in a folder: {name!r}")
        return f"{_SCHEMES[scheme]}/{rest}"

    def metadata_text(self, name: str) -> str:
        """Return the text of a file of the .dist-info folder; empty if there is none."""
        info = self._infos.get(f"{self.dist_info}/{name}")
        if info is None:
            return ""
        data = b"".join(self.read(self._bare(info)))
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._fail(f"{info.filename} is not UTF-8") from error

    def _bare(self, info: zipfile.ZipInfo) -> Member:
        return Member(
            name=info.filename,
            place="",
            size=info.file_size,
            executable=False,
            offset=info.header_offset,
            packed=info.compress_size,
            method=info.compress_type,
            digest=None,
        )

    def entry_points(self, group: str) -> tuple[EntryPoint, ...]:
        """Return the entry points of `console_scripts` or `gui_scripts`.

        :raises WheelError: a name that is no plain file name, or an object reference that is none.
        """
        found: list[EntryPoint] = []
        for name, reference in _sections(self.metadata_text("entry_points.txt")).get(group, ()):
            module, _, attribute = reference.split("[", 1)[0].strip().partition(":")
            too_long = len(name.encode()) > _MAX_NAME
            if "/" in name or name in {"", ".", ".."} or "\0" in name or too_long:
                raise self._fail(f"entry point {name!r} is no file name")
            words = [*module.strip().split("."), *attribute.strip().split(".")]
            if not all(word.isidentifier() for word in words):
                raise self._fail(f"entry point {name!r} refers to {reference!r}, not module:object")
            found.append(EntryPoint(name, module.strip(), attribute.strip()))
        return tuple(found)

    def whole(self, member: Member) -> Data:
        """Return all bytes of a member of at most `CHUNK`, checked as `read` does."""
        data = self._contents(member)
        if member.digest is not None:
            algorithm = member.digest[0]
            self._check_digest(member, member.digest, _HASHES[algorithm](data).digest())
        return data

    def _contents(self, member: Member) -> Data:
        start = self._data_start(member)
        with self._bytes[start : start + member.packed] as packed:
            if len(packed) != member.packed:
                raise self._fail(f"{member.name!r} is truncated")
            try:
                stored = member.method == zipfile.ZIP_STORED
                data = bytes(packed) if stored else inflate(packed, member.size)
            except DeflateError as error:
                raise self._damaged(member) from error
        if len(data) != member.size:
            raise self._damaged(member)
        return data

    def _damaged(self, member: Member) -> WheelError:
        return self._fail(f"{member.name!r} is damaged, or not the {member.size} bytes it claims")

    def _check_digest(self, member: Member, recorded: tuple[str, str], digest: bytes) -> None:
        if b2a_base64(digest, newline=False).translate(_URLSAFE, b"=") != recorded[1].encode():
            raise self._fail(f"{member.name!r} is not what RECORD says it is")

    def read(self, member: Member) -> Iterator[Data]:
        """Yield the member's bytes, `member.size` in all, checked against RECORD at the end.

        :raises WheelError: truncated, of another size, or not what RECORD says.
        """
        hasher = _HASHES[member.digest[0]]() if member.digest else None
        left = member.size
        for piece in self._pieces(member):
            left -= len(piece)
            if left < 0:
                break
            if hasher is not None:
                hasher.update(piece)
            yield piece
        if left:
            raise self._damaged(member)
        if hasher is not None and member.digest is not None:
            self._check_digest(member, member.digest, hasher.digest())

    def _pieces(self, member: Member) -> Iterator[Data]:
        if member.size <= _WHOLE:
            data = self._contents(member)
            yield from (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
            return
        start = self._data_start(member)
        end = start + member.packed
        if end > len(self._map):
            raise self._fail(f"{member.name!r} is truncated")
        packed = (self._map[at : min(at + CHUNK, end)] for at in range(start, end, CHUNK))
        if member.method == zipfile.ZIP_STORED:
            yield from packed
            return
        try:
            yield from inflate_pieces(packed, CHUNK)
        except DeflateError as error:
            raise self._damaged(member) from error

    def _data_start(self, member: Member) -> int:
        try:
            signature, name, extra = _LOCAL_HEADER.unpack_from(self._map, member.offset)
        except struct.error:  # beyond the end
            signature = b""
        if signature != b"PK\3\4":
            raise self._fail(f"{member.name!r} has no local header")
        return member.offset + _LOCAL_HEADER.size + int(name) + int(extra)


def _sections(text: str) -> Mapping[str, list[tuple[str, str]]]:
    """Return the `[group]` sections of an entry_points.txt; keys keep their case."""
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            current = found.setdefault(line[1:-1].strip(), [])
        elif "=" in line:
            name, _, reference = line.partition("=")
            current.append((name.strip(), reference.strip()))
    return found


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown, rest = ordered[:_SHOWN], ordered[_SHOWN:]
    more = f" and {len(rest)} more" if rest else ""
    return ", ".join(map(repr, shown)) + more
