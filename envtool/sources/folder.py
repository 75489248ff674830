"""A new folder that is filled from an archive of tar, in the form of a store object.

Nobody but this module writes there, so it knows all that is in it: nothing is written outside,
through a symlink, or twice. What cannot be in a store object is refused.
"""

import os
import stat
import tarfile
from collections.abc import Callable
from typing import IO

from envtool.errors import FormatError
from envtool.sources.inflate import CHUNK
from envtool.values import value

__all__ = ["DebError", "NewFolder", "Unpacked", "checked"]

_MOST_DEPTH, _MOST_NAME, _MOST_PATH = 100, 255, 3000
_FILE_MODE, _EXECUTABLE_MODE, _FOLDER_MODE, _TIME = 0o444, 0o555, 0o555, (1, 1)
"""Those of store objects."""


class DebError(FormatError):
    """A .deb that must not be unpacked: malformed, lying or hostile."""


@value
class Unpacked:
    """What unpacking found."""

    size: int
    """Bytes of all files; of those with several names once."""
    stripped: tuple[tuple[str, int], ...]
    """Path and mode of what lost its setuid or setgid bit; sorted."""


def checked(name: str, fail: Callable[[str], FormatError]) -> str:
    """Return a name of tar as a path without `./`; empty for the top folder."""
    path = name.removeprefix("./").rstrip("/")
    if path in {"", "."}:
        return ""
    parts = path.split("/")
    if name.startswith("/"):
        raise fail(f"{name!r} is an absolute name")
    if ".." in parts:
        raise fail(f"{name!r} leads out of the package")
    if "" in parts or "." in parts or "\0" in path:
        raise fail(f"{name!r} is no name of a file")
    lengths = [len(os.fsencode(part)) for part in parts]
    if max(lengths) > _MOST_NAME or sum(lengths) > _MOST_PATH or len(parts) > _MOST_DEPTH:
        raise fail(f"{name[:80]!r}… is too long, or too deep")
    return path


class NewFolder:
    """A folder that is made, and filled entry by entry; `fail` makes the error of a message."""

    def __init__(
        self, target: str, fail: Callable[[str], FormatError], on_bytes: Callable[[int], None]
    ) -> None:
        self._target = target
        self._fail = fail
        self._on_bytes = on_bytes
        self._folders = [""]
        self._kinds = {"": "folder"}
        """Path to `folder`, `file` or `symlink`."""
        self._stripped: list[tuple[str, int]] = []
        self._size = 0
        os.mkdir(target, 0o755)

    def write(self, info: tarfile.TarInfo, contents: IO[bytes] | None) -> None:
        """Write an entry; the folders above it are made if the archive does not have them."""
        path = checked(info.name, self._fail)
        if info.isdir():
            self._folder(path)
            return
        if path in self._kinds:
            raise self._fail(f"{path!r} is there twice")
        self._folder(path.rpartition("/")[0], within=path)
        place = f"{self._target}/{path}"
        if info.issym():
            os.symlink(self._link(info), place)
            os.utime(place, _TIME, follow_symlinks=False)
            self._kinds[path] = "symlink"
        elif info.islnk():
            other = self._other(info, path)
            os.link(f"{self._target}/{other}", place, follow_symlinks=False)
            self._kinds[path] = self._kinds[other]
        elif contents is not None and not info.issparse():
            self._file(path, info, contents)
        else:
            raise self._fail(f"{path!r} is a device, a pipe or of a kind that is not known")

    def finish(self) -> Unpacked:
        """Give the folders their modes and times, and return what was found."""
        for path in reversed(self._folders):
            place = f"{self._target}/{path}" if path else self._target
            os.chmod(place, _FOLDER_MODE)
            os.utime(place, _TIME)
        return Unpacked(self._size, tuple(sorted(self._stripped)))

    def _folder(self, path: str, within: str = "") -> None:
        kind = self._kinds.get(path)
        if kind == "folder":
            return
        if kind is not None:
            raise self._fail(f"{within or path!r} lies in {path!r}, which is a {kind}")
        self._folder(path.rpartition("/")[0], within=within or path)
        os.mkdir(f"{self._target}/{path}", 0o755)
        self._kinds[path] = "folder"
        self._folders.append(path)

    def _link(self, info: tarfile.TarInfo) -> str:
        target = info.linkname
        if not target or "\0" in target or len(os.fsencode(target)) > _MOST_PATH:
            raise self._fail(f"the symlink {info.name!r} has no target that can be")
        return target

    def _other(self, info: tarfile.TarInfo, path: str) -> str:
        """Return the file or symlink of which an entry is another name."""
        target = checked(info.linkname, self._fail)
        if self._kinds.get(target, "folder") == "folder":
            raise self._fail(
                f"{path!r} is another name of {info.linkname!r}, which is no file before it"
            )
        return target

    def _file(self, path: str, info: tarfile.TarInfo, contents: IO[bytes]) -> None:
        if info.mode & (stat.S_ISUID | stat.S_ISGID):
            self._stripped.append((path, stat.S_IMODE(info.mode)))
        mode = _EXECUTABLE_MODE if info.mode & stat.S_IXUSR else _FILE_MODE
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(f"{self._target}/{path}", flags, 0o600)
        try:
            while data := contents.read(CHUNK):
                _write_all(descriptor, data)
                self._on_bytes(len(data))
            os.fchmod(descriptor, mode)
            os.utime(descriptor, _TIME)
        finally:
            os.close(descriptor)
        self._size += info.size
        self._kinds[path] = "file"


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
