"""Unpack an sdist: names, links and types are checked before anything is written.

`tarfile.data_filter` does the same since 3.11.4; Debian 12's Python is older. Where it is there, it
looks at every member too.
"""

import os
import posixpath
import tarfile
from collections.abc import Iterator

_MODES = 0o755


class HostileMemberError(tarfile.TarError):
    """A member that leads out of the archive, or is neither file, folder nor link."""


def extract(archive: str, target: str) -> None:
    """Write the members of a tar archive below the existing folder `target`.

    :raises tarfile.TarError: damaged or hostile.
    :raises OSError: it cannot be read or written.
    """
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", _as_it_is)
        tar.extractall(target, list(_checked(tar)))  # noqa: S202 - checked


def _as_it_is(member: tarfile.TarInfo, _: str) -> tarfile.TarInfo:
    return member


def _checked(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    links: set[str] = set()
    for member in tar:
        name = posixpath.normpath(member.name)
        if member.name.startswith("/") or ".." in member.name.split("/"):
            raise HostileMemberError(f"{member.name!r} leads out of it")
        if not links.isdisjoint(_parents(name)):
            raise HostileMemberError(f"{member.name!r} lies behind a link")
        if member.issym() or member.islnk():
            _check_link(member, name)
            links.add(name)
        elif not (member.isreg() or member.isdir()):
            raise HostileMemberError(f"{member.name!r} is neither file, folder nor link")
        member.mode &= _MODES
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        yield member


def _parents(name: str) -> Iterator[str]:
    while name := posixpath.dirname(name):
        yield name


def _check_link(member: tarfile.TarInfo, name: str) -> None:
    """Check a link's target, whose `..` may only lead it: behind another link they would lie."""
    target = member.linkname
    parts = target.split("/")
    up = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    # A symlink's target starts at its folder, a hard link's at the top.
    depth = name.count("/") if member.issym() else 0
    if target.startswith("/") or ".." in parts[up:] or up > depth:
        raise HostileMemberError(f"{member.name!r} is a link to {target!r}, out of it")
