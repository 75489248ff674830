"""Contents indices: one line for each file that packages own, with their names.

    usr/lib/x86_64-linux-gnu/libGL.so.1        libs/libgl1

Of the five million files only shared libraries and programs are of interest here, so the lines are
looked for rather than read one by one.
"""

import re
from collections.abc import Iterator

from envtool.values import value

__all__ = ["Library", "libraries", "programs"]

_LIBRARY = re.compile(
    rb"^(?:\./)?((?:usr/)?lib(?:64)?/([^\s/]+/)?([^\s/]+/)?([^\s/]+\.so(?:\.[^\s/]+)?))"
    rb"[ \t]+(\S+)$",
    re.MULTILINE,
)
_PROGRAM = re.compile(
    rb"^(?:\./)?((?:usr/)?(?:s?bin|games)/([^\s/]+))[ \t]+(\S+)$",
    re.MULTILINE,
)


@value
class Library:
    """A file that can be a shared library, or a program, and a package that owns it."""

    name: str
    """Such as `libGL.so.1`: a soname, or a link or file of a longer name; of a program its name."""
    path: str
    """Without a leading slash."""
    package: str


def libraries(lines: bytes, triplet: str) -> Iterator[Library]:
    """Yield the libraries among the lines, in their order; one for each package that owns one.

    These are files in /lib and /usr/lib, in the folder `triplet` below them, and in folders right
    below that: alternatives such as BLAS lie there.
    """
    folder = f"{triplet}/".encode()
    for path, first, second, name, owners in _LIBRARY.findall(lines):
        if (first and first != folder) or (second and not name.startswith(b"lib")):
            continue
        yield from _owned(name, path, owners)


def programs(lines: bytes) -> Iterator[Library]:
    """Yield the programs among the lines, which are in /bin, /sbin, /usr/bin and the like."""
    for path, name, owners in _PROGRAM.findall(lines):
        yield from _owned(name, path, owners)


def _owned(name: bytes, path: bytes, owners: bytes) -> Iterator[Library]:
    for owner in owners.decode("utf-8", "surrogateescape").split(","):
        yield Library(
            name.decode("utf-8", "surrogateescape"),
            path.decode("utf-8", "surrogateescape"),
            owner.rpartition("/")[2],
        )
