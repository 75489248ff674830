"""Inside of store objects: finding a file without leaving the store, and where a reference stands.

Objects are data from elsewhere, so that their symlinks are walked here, component by component,
rather than by the kernel, which would follow one to `/etc/passwd`.
"""

import os
import stat
from collections import deque
from collections.abc import Iterator

from envtool.errors import FormatError, StoreError
from envtool.formats.nix.storepath import STORE_DIR, StorePath
from envtool.machine.disk import disk_errors
from envtool.values import value

__all__ = ["Entry", "Mention", "entries", "find", "mentions", "open_file"]

MOST_LINKS = 40
"""Symlinks on one way, as Linux has it (`path_resolution(7)`)."""
_CHUNK = 1 << 20


@value
class Entry:
    """A file, folder or link of a store object."""

    path: StorePath
    """The object that it is in at last; another one than asked for if a link led there."""
    inside: str
    """Its path in the object, without a slash at either end; empty for the object itself."""
    place: str
    """Where it lies on this machine."""
    kind: str
    """`regular`, `executable`, `directory` or `symlink`; `other` is nothing a store may hold."""
    size: int
    """Bytes; 0 unless it is a file."""
    target: str | None
    """What a symlink says."""


@value
class Mention:
    """One place in an object where another's digest stands."""

    inside: str
    """The file's or link's path in the object; empty for the object itself."""
    how: str
    """`contents`, `target` of a symlink, or `name`."""


def find(store: str, path: StorePath, inside: str) -> Entry:
    """Return what lies at `inside` of an object of the physical `store`, links followed.

    :raises StoreError: there is nothing, or a link leads out of the store or in a circle.
    """
    real = os.path.realpath(store)
    shown = f"{path}/{inside}" if inside else str(path)
    done: list[str] = []
    todo = deque([path, *inside.split("/")])
    links = 0
    while todo:
        part = todo.popleft()
        if part == ".." and not done:
            raise _leaving(shown, "..")
        if part in {"", ".", ".."}:
            del done[len(done) - (part == "..") :]
            continue
        place = "/".join([real, *done, part])
        with disk_errors(f"look at {shown}"):
            target = _target(place, shown, "/".join(done))
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > MOST_LINKS:
            raise StoreError(f"{shown} leads through more than {MOST_LINKS} symlinks")
        if os.path.isabs(target):
            todo.extendleft(reversed(_below(target, store, shown).split("/")))
            done = []
        else:
            todo.extendleft(reversed(target.split("/")))
    return _found(real, done, shown)


def _target(place: str, shown: str, above: str) -> str | None:
    """Return what a link says; None for what is no link."""
    try:
        return os.readlink(place) if stat.S_ISLNK(os.lstat(place).st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(
            f"there is no {shown!a} in the store: {os.path.basename(place)!a} is missing",
            hint=f"envtool store ls {above}" if above else None,
        ) from None


def _below(target: str, store: str, shown: str) -> str:
    for folder in (STORE_DIR, store, os.path.realpath(store)):
        if target.startswith(f"{folder}/"):
            return target[len(folder) + 1 :]
    raise _leaving(shown, target)


def _leaving(shown: str, target: str) -> StoreError:
    return StoreError(f"{shown!a} leads out of the store, by a symlink to {target!a}")


def _found(store: str, parts: list[str], shown: str) -> Entry:
    try:
        path = StorePath.parse(parts[0] if parts else "")
    except FormatError:
        raise StoreError(f"{shown!a} leads to no object of the store") from None
    with disk_errors(f"look at {shown}"):
        return _entry(path, "/".join(parts[1:]), "/".join([store, *parts]))


def _entry(path: StorePath, inside: str, place: str) -> Entry:
    status = os.lstat(place)
    kind, size, target = "other", 0, None
    if stat.S_ISREG(status.st_mode):
        kind = "executable" if status.st_mode & stat.S_IXUSR else "regular"
        size = status.st_size
    elif stat.S_ISDIR(status.st_mode):
        kind = "directory"
    elif stat.S_ISLNK(status.st_mode):
        kind, target = "symlink", os.readlink(place)
    return Entry(path, inside, place, kind, size, target)


def entries(folder: Entry, *, recursive: bool) -> Iterator[Entry]:
    """Return what is in a directory, in order of the names' bytes; no links are followed.

    With `recursive` each directory's own entries come right behind it.
    """
    stack = [folder]
    while stack:
        entry = stack.pop()
        if entry is not folder:
            yield entry
        if entry is folder or (recursive and entry.kind == "directory"):
            stack += reversed(_listed(entry))


def _listed(folder: Entry) -> list[Entry]:
    lead = f"{folder.inside}/" if folder.inside else ""
    with disk_errors(f"list {folder.place}"):
        names = sorted(os.listdir(folder.place), key=os.fsencode)
        return [_entry(folder.path, f"{lead}{name}", f"{folder.place}/{name}") for name in names]


def open_file(entry: Entry) -> int:
    """Open a file of the store for reading and return its descriptor.

    :raises StoreError: it is no file.
    """
    if entry.kind not in {"regular", "executable"}:
        shown = f"{entry.path}/{entry.inside}" if entry.inside else str(entry.path)
        raise StoreError(
            f"{shown!a} is a {entry.kind}, not a file",
            hint=f"envtool store ls {shown!a}" if entry.kind == "directory" else None,
        )
    with disk_errors(f"read {entry.place}"):
        return os.open(entry.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def mentions(store: str, path: StorePath, reference: StorePath) -> Iterator[Mention]:
    """Search an object for the digest of another, in order of the names' bytes.

    :raises StoreError: something of it cannot be read.
    """
    with disk_errors(f"read {path}"):
        top = _entry(path, "", f"{store}/{path}")
    everything = entries(top, recursive=True) if top.kind == "directory" else ()
    for entry in (top, *everything) if top.kind != "directory" else everything:
        if reference.digest in os.path.basename(entry.inside):
            yield Mention(entry.inside, "name")
        if entry.target is not None and reference.digest in entry.target:
            yield Mention(entry.inside, "target")
        elif entry.kind in {"regular", "executable"} and _contains(entry, reference.digest):
            yield Mention(entry.inside, "contents")


def _contains(entry: Entry, digest: str) -> bool:
    wanted, tail = digest.encode(), b""
    with open(open_file(entry), "rb", buffering=0) as file, disk_errors(f"read {entry.place}"):
        while data := file.read(_CHUNK):
            if wanted in tail + data:
                return True
            tail = (tail + data)[1 - len(wanted) :]
    return False
