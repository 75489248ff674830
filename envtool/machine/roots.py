"""GC roots: what must stay, because a link or a running process points to it.

Permanent roots are links below `var/gcroots` and `var/profiles`. An indirect root is a link
of the user's, such as `./result`, that `var/gcroots/auto/<nix32 of the SHA-1 of its path>`
points to: deleting the user's link gives the object up. Runtime roots are what processes have
open, mapped, as their directory or in their environment (Nix's `gc.cc`).
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from envtool.errors import FormatError, StoreError
from envtool.formats.nix.hashing import ALPHABET, to_nix32
from envtool.formats.nix.storepath import STORE_DIR, StorePath
from envtool.machine.disk import disk_errors
from envtool.machine.settings import Settings

Kind = Literal["permanent", "indirect", "profile", "runtime"]

_PROC = "/proc"
_PROCESS_LINKS = ("exe", "cwd", "root")
_PROCESS_TEXTS = ("maps", "environ")
_NAME = rf"([{ALPHABET}]{{32}}-[A-Za-z0-9+\-._?=]{{1,211}})"


@dataclass(frozen=True, slots=True, order=True)
class Root:
    """One reason why a store path must stay."""

    kind: Kind
    source: str
    """The link, or `/proc/<pid>/exe` and its like."""
    path: StorePath


def find_roots(settings: Settings) -> list[Root]:
    """Return all roots, sorted; a path may have several. Nothing is changed.

    Links to what is not in the store, or no longer, count for nothing. Other users' processes
    cannot be looked into.
    """
    pattern = _pattern(settings)
    found = {
        *_links(settings.gcroots, "permanent", pattern),
        *_links(settings.profiles, "profile", pattern),
        *_runtime(pattern),
    }
    return sorted(found)


def add_indirect(settings: Settings, link: str, path: StorePath) -> None:
    """Make the user's `link` point to the object and be a root for as long as it exists.

    An existing link is replaced. Call it under `Store.shared`.

    :raises StoreError: something other than a link is there, or it cannot be written.
    """
    link = os.path.abspath(link)
    if os.path.lexists(link) and not os.path.islink(link):
        raise StoreError(
            f"{link} exists and is not a link", hint="choose another name, or move it away"
        )
    auto = f"{settings.gcroots}/auto"
    digest = hashlib.sha1(os.fsencode(link), usedforsecurity=False).digest()
    with disk_errors(f"make the GC root {link}"):
        os.makedirs(auto, exist_ok=True)
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
    auto = f"{settings.gcroots}/auto"
    gone = []
    with disk_errors("remove stale GC roots"):
        for name in sorted(os.listdir(auto)) if os.path.isdir(auto) else ():
            entry = f"{auto}/{name}"
            if os.path.islink(entry) and not os.path.lexists(_target(entry)):
                gone.append(_target(entry))
                os.unlink(entry)
    return gone


def _pattern(settings: Settings) -> re.Pattern[bytes]:
    """Match a path into the store, under any name by which a process may know the store."""
    directories = {settings.store, os.path.realpath(settings.store), STORE_DIR}
    names = b"|".join(re.escape(os.fsencode(name)) for name in sorted(directories))
    return re.compile(b"(?:" + names + b")/" + _NAME.encode())


def _links(folder: str, kind: Kind, pattern: re.Pattern[bytes]) -> Iterator[Root]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        # A root that is overlooked would be deleted.
        raise StoreError(f"cannot look for GC roots in {folder}: {error.strerror}") from error
    for entry in entries:
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
