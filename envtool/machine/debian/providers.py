"""Which package of Debian has a shared library, and whether this machine is a Debian itself."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from envtool.formats.debian.contents import Library
from envtool.machine.debian.archive import Archive

if TYPE_CHECKING:
    from envtool.machine.debian.sonames import SonameIndex

__all__ = ["Providers", "best", "host_suite"]

_RELEASE = "/etc/os-release"
_OTHERS = re.compile(r"/debug/|-dbg$|-dev$|^primus-libs$").search
"""Folders and packages of what is no library for programs to run with."""


def best(soname: str, found: Iterable[Library]) -> Library | None:
    """Return the one to take of those that have a library, which is for the loader to find.

    One that every program finds goes first; of alternatives (`libblas.so.3` has eight) the one
    named after the library (`libblas3`), else the one with the shortest name.
    """
    stem, _, version = soname.partition(".so.")
    named = f"{stem.removeprefix('lib')}{version}".lower().replace("_", "-")

    def rank(library: Library) -> tuple[bool, int, bool, int, str]:
        other = bool(_OTHERS(library.path) or _OTHERS(library.package))
        depth = library.path.count("/")
        plain = library.package.removeprefix("lib").removesuffix("t64")
        is_named = plain in {named, named.replace("-", "")}
        return other, depth, not is_named, len(library.package), library.package

    return min(found, key=rank, default=None)


class Providers:
    """Looks libraries up in a suite, whose index is had when the first is asked for.

    :raises FetchError: the suite cannot be had.
    """

    def __init__(self, archive: Archive, suite: str, *, refresh: bool = False) -> None:
        self._archive = archive
        self.suite = suite
        self._refresh = refresh
        self._index: SonameIndex | None = None

    def find(self, sonames: Iterable[str]) -> dict[str, Library]:
        """Return what has these libraries, as far as the suite has them."""
        wanted = sorted(set(sonames))
        if not wanted:
            return {}
        if self._index is None:
            suite = self._archive.suite(self.suite, refresh=self._refresh)
            self._index = self._archive.libraries(suite, "main")
        index = self._index
        found = {name: best(name, index.find(name)) for name in wanted}
        return {name: library for name, library in found.items() if library is not None}


def host_suite(path: str = _RELEASE) -> str | None:
    """Return the codename of Debian's suite that this machine is; None if it is another system."""
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        lines = dict(line.strip().split("=", 1) for line in file if "=" in line)
        if lines.get("ID", "").strip("\"'") == "debian":
            return lines.get("VERSION_CODENAME", "").strip("\"'") or None
    return None
