"""GC roots: what must stay, because a link, an operation or a process points to it.

Permanent roots are links below `var/gcroots` and `var/profiles`. An indirect root is a link
of the user's, such as `./result`, that `var/gcroots/auto/<nix32 of the SHA-1 of its path>`
points to: deleting the user's link gives the object up. Runtime roots are what processes have
open, mapped, as their directory or in their environment (Nix's `gc.cc`). Temporary roots are those
of `envtool.machine.collecting.temproots`.

A real Nix takes a link for a root only if its target begins with the logical store directory,
which ours, so that they can be followed, do not. But a file that is named like a store path is a
root for it, wherever it lies below `gcroots`: `gcroots/named` has one for each path that one of
our links keeps. It is made before the link, and the collector brings the folder up to date.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from typing import Literal

from envtool.errors import FormatError, StoreError
from envtool.formats.nix.hashing import ALPHABET, to_nix32
from envtool.formats.nix.storepath import STORE_DIR, StorePath
from envtool.machine.collecting.temproots import read_temporary
from envtool.machine.disk import disk_errors
from envtool.machine.settings import Settings
from envtool.values import value

Kind = Literal["permanent", "indirect", "profile", "runtime", "temporary"]

NAMED = "named"
"""The folder below `gcroots` with the roots that a real Nix understands."""

_PROC = "/proc"
_PROCESS_LINKS = ("exe", "cwd", "root")
_PROCESS_TEXTS = ("maps", "environ")
_LINKED = frozenset({"permanent", "indirect", "profile"})
_NAME = rf"([{ALPHABET}]{{32}}-[A-Za-z0-9+\-._?=]{{1,211}})"


@value
class Root:
    """One reason why a store path must stay."""

    kind: Kind
    source: str
    """The link, `/proc/<pid>/exe` and its like, or the file of temporary roots."""
    path: StorePath

    def __lt__(self, other: "Root") -> bool:
        return (self.kind, self.source, self.path) < (other.kind, other.source, other.path)


def find_roots(settings: Settings) -> list[Root]:
    """Return all roots, sorted; a path may have several. Nothing is changed.

    Links to what is not in the store, or no longer, count for nothing. Other users' processes
    cannot be looked into. The order in which it is looked matters (`machine.collecting.gc`).

    :raises StoreError: what may be a root cannot be read.
    """
    pattern = _pattern(settings)
    found = [Root("temporary", file, path) for file, path in read_temporary(settings.temproots)]
    found += _links(settings.gcroots, "permanent", pattern, leave_out=NAMED)
    found += _links(settings.profiles, "profile", pattern)
    found += _runtime(pattern)
    return sorted(set(found))


def add_direct(settings: Settings, name: str, path: StorePath) -> None:
    """Make `gcroots/<name>` point to the object. Call it under `Store.shared`.

    :raises StoreError: it cannot be written.
    """
    link = f"{settings.gcroots}/{name}"
    with disk_errors(f"make the GC root {link}"):
        name_for_nix(settings, path)
        _point(link, f"{settings.store}/{path}")


def add_indirect(settings: Settings, link: str, path: StorePath) -> None:
    """Make the user's `link` point to the object and be a root for as long as it exists.

    An existing link is replaced. Call it under `Store.shared`, while the path is in use.

    :raises StoreError: something other than a link is there, or it cannot be written.
    """
    from hashlib import sha1

    link = os.path.abspath(link)
    if os.path.lexists(link) and not os.path.islink(link):
        raise StoreError(
            f"{link} exists and is not a link", hint="choose another name, or move it away"
        )
    auto = f"{settings.gcroots}/auto"
    digest = sha1(os.fsencode(link), usedforsecurity=False).digest()
    with disk_errors(f"make the GC root {link}"):
        os.makedirs(auto, exist_ok=True)
        name_for_nix(settings, path)
        # The root first: without its link it is stale, the link without it would dangle later.
        _point(f"{auto}/{to_nix32(digest)}", link)
        _point(link, f"{settings.store}/{path}")


def _point(link: str, target: str) -> None:
    temporary = f"{os.path.dirname(link)}/.tmp-{os.getpid()}-{os.path.basename(link)[:150]}"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, link)


def drop_stale(settings: Settings) -> list[str]:
    """Remove indirect roots whose user's link is gone; return the paths of those links."""
    gone = []
    with disk_errors("remove stale GC roots"):
        for entry in _stale(settings):
            gone.append(_target(entry))
            os.unlink(entry)
    return gone


def stale(settings: Settings) -> list[str]:
    """Return the user's links that indirect roots point to and that are gone; nothing changes.

    :raises StoreError: the roots cannot be read.
    """
    with disk_errors("read the GC roots"):
        return [_target(entry) for entry in _stale(settings)]


def _stale(settings: Settings) -> list[str]:
    auto = f"{settings.gcroots}/auto"
    entries = [f"{auto}/{name}" for name in _names(auto)]
    return [
        entry for entry in entries if os.path.islink(entry) and not os.path.lexists(_target(entry))
    ]


def _names(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def _pattern(settings: Settings) -> re.Pattern[bytes]:
    """Match a path into the store, under any name by which a process may know the store."""
    directories = {settings.store, os.path.realpath(settings.store), STORE_DIR}
    names = b"|".join(re.escape(os.fsencode(name)) for name in sorted(directories))
    return re.compile(b"(?:" + names + b")/" + _NAME.encode())


def name_for_nix(settings: Settings, path: StorePath) -> None:
    """Let a real Nix know that a link is about to keep `path`."""
    folder = f"{settings.gcroots}/{NAMED}"
    os.makedirs(folder, exist_ok=True)
    # Read-only: one that is there already cannot be opened for writing, but by root.
    os.close(os.open(f"{folder}/{path}", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))


def mirror_for_nix(settings: Settings, roots: Iterable[Root]) -> None:
    """Let a real Nix know of exactly what links keep. Call it under `Store.exclusive`."""
    folder = f"{settings.gcroots}/{NAMED}"
    wanted = {root.path for root in roots if root.kind in _LINKED}
    known = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    with disk_errors("note the GC roots"):
        for path in wanted - known:
            name_for_nix(settings, path)
        for name in known - wanted:
            os.unlink(f"{folder}/{name}")


def let_nix_wait(settings: Settings) -> None:
    """Let a real Nix that wants to add something wait while we collect.

    It tries to tell its roots to the collector, and tries again if a socket is there that nobody
    listens to; if there is none, Nix 2.8 fails. Such a socket is what every collector leaves.
    """
    folder = f"{settings.state}/gc-socket"
    if not os.path.lexists(f"{folder}/socket"):
        import socket

        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with socket.socket(socket.AF_UNIX) as unused:
                # Not by its own path, which may be longer than the 107 bytes of an address.
                unused.bind(f"/proc/self/fd/{descriptor}/socket")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # another collector was faster
                raise
        finally:
            os.close(descriptor)


def _links(
    folder: str, kind: Kind, pattern: re.Pattern[bytes], *, leave_out: str | None = None
) -> Iterator[Root]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        # A root that is overlooked would be deleted.
        raise StoreError(f"cannot look for GC roots in {folder}: {error.strerror}") from error
    for entry in entries:
        if entry.name == leave_out:
            continue
        if entry.is_symlink():
            yield from _link(entry.path, kind, pattern)
        elif entry.is_dir():
            yield from _links(entry.path, kind, pattern)
        else:
            yield from _named(entry.path, kind)


def _link(link: str, kind: Kind, pattern: re.Pattern[bytes]) -> Iterator[Root]:
    target = _target(link)
    if (path := _in_store(target, pattern)) is not None:
        yield Root(kind, link, path)
    elif os.path.islink(target) and kind == "permanent":
        path = _in_store(_target(target), pattern)
        if path is not None:
            yield Root("indirect", target, path)


def _named(file: str, kind: Kind) -> Iterator[Root]:
    """Yield the path that an ordinary file keeps by having its name."""
    try:
        yield Root(kind, file, StorePath.parse(os.path.basename(file)))
    except FormatError:
        return


def _target(link: str) -> str:
    try:
        return os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    except FileNotFoundError:
        return link


def _in_store(target: str, pattern: re.Pattern[bytes]) -> StorePath | None:
    real = os.path.join(os.path.realpath(os.path.dirname(target)), os.path.basename(target))
    for name in (target, real):
        if match := pattern.match(os.fsencode(name)):
            return StorePath(match[1].decode())
    return None


def _runtime(pattern: re.Pattern[bytes]) -> Iterator[Root]:
    for pid in os.listdir(_PROC):
        if pid.isdigit():
            yield from _process(f"{_PROC}/{pid}", pattern)


def users(settings: Settings) -> dict[StorePath, list[int]]:
    """Return the processes, by number, that have a store path open, mapped or in a variable.

    This process is not counted. Other users' processes cannot be looked into.
    """
    pattern, own, found = _pattern(settings), os.getpid(), dict[StorePath, list[int]]()
    for process in sorted(int(name) for name in os.listdir(_PROC) if name.isdigit()):
        if process != own:
            for path in {root.path for root in _process(f"{_PROC}/{process}", pattern)}:
                found.setdefault(path, []).append(process)
    return found


def _process(folder: str, pattern: re.Pattern[bytes]) -> Iterator[Root]:
    links = [f"{folder}/{name}" for name in _PROCESS_LINKS]
    links += [f"{folder}/fd/{name}" for name in _listed(f"{folder}/fd")]
    for link in links:
        if match := pattern.match(_readlink(link)):
            yield Root("runtime", link, StorePath(match[1].decode()))
    for name in _PROCESS_TEXTS:
        for found in set(pattern.findall(_contents(f"{folder}/{name}"))):
            yield Root("runtime", f"{folder}/{name}", StorePath(found.decode()))


# A process may end while it is looked at, and those of others refuse it: both read as empty.


def _listed(folder: str) -> Iterable[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return ()


def _readlink(link: str) -> bytes:
    try:
        return os.readlink(os.fsencode(link))
    except OSError:
        return b""


def _contents(file: str) -> bytes:
    try:
        with open(file, "rb", buffering=0) as source:
            return source.read()
    except OSError:
        return b""
