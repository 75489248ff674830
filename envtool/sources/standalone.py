"""python-build-standalone: which interpreters there are, and how one is unpacked.

The catalogue is that of the package pbs-installer, with the SHA-256 of every archive. An archive is
a tar with everything below `python/`; it is unpacked below `usr/`, as an interpreter of Debian
lies there, and trusted no more than a .deb.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from envtool.errors import FormatError, InterpreterError
from envtool.formats.standalone import StandaloneArchive
from envtool.sources.folder import NewFolder, Unpacked
from envtool.sources.interpreter import satisfies
from envtool.sources.tar import entries_of

__all__ = ["choose", "unpack"]

_OLDEST, _NEWEST = 9, 40
"""Minor versions of Python that are looked for."""
_RATIO, _FREE = 200, 64 << 20
"""An archive may inflate to so many times its size, and so many bytes more."""
_TOP = "python/"


def choose(machine: str, specifier: str | None) -> StandaloneArchive:
    """Return the newest interpreter for a machine (`x86_64`) that satisfies a specifier.

    :raises InterpreterError: there is none; it says which there are.
    """
    newest = list(_newest(machine))
    for archive in newest:
        for each in (archive, *_older(machine, archive)):
            if specifier is None or satisfies(each.version, specifier):
                return each
    wanted = f"CPython {specifier}" if specifier else "CPython"
    shown = ", ".join(each.version for each in newest) or "none"
    raise InterpreterError(
        f"python-build-standalone has no {wanted} for {machine}; it has {shown}, and older patches",
        hint='ask for one of these, or write interpreter = "host"',
    )


def _newest(machine: str) -> Iterator[StandaloneArchive]:
    """Yield the newest patch release of each feature release, the newest first."""
    for minor in range(_NEWEST, _OLDEST - 1, -1):
        yield from _listed(f"3.{minor}", machine)


def _older(machine: str, newest: StandaloneArchive) -> Iterator[StandaloneArchive]:
    feature, _, patch = newest.version.rpartition(".")
    for micro in range(int(patch) - 1, -1, -1):
        yield from _listed(f"{feature}.{micro}", machine)


def _listed(request: str, machine: str) -> Iterator[StandaloneArchive]:
    """Yield what the catalogue has for a version, if it has that and vouches for it by a hash."""
    import warnings

    with suppress(ValueError), warnings.catch_warnings():
        # It reads its catalogue by a function that Python wants to be rid of.
        warnings.simplefilter("ignore", DeprecationWarning)
        from pbs_installer import get_download_link

        found, (url, sha256) = get_download_link(request, arch=machine, platform="linux")
        # What is for developers of Python is larger, and laid out in another way.
        if sha256 and url.endswith(".tar.gz"):
            version = f"{found.major}.{found.minor}.{found.micro}"
            yield StandaloneArchive(version, url, sha256)


def unpack(
    path: str, filename: str, target: str, on_bytes: Callable[[int], None] = lambda _: None
) -> Unpacked:
    """Unpack an archive to the new folder `target`; `filename` is what errors call it.

    :raises FormatError: it must not be unpacked; what was written stays for the caller to remove.
    :raises OSError: the disk fails.
    """

    def fail(message: str) -> FormatError:
        return FormatError(f"{filename}: {message}", hint="do not use this file")

    folder = NewFolder(target, fail, on_bytes)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        with entries_of(
            file, filename, start=0, size=size, limit=size * _RATIO + _FREE, fail=fail
        ) as entries:
            for info, contents in entries:
                info.name = _moved(info.name, fail)
                if info.islnk():
                    info.linkname = _moved(info.linkname, fail)
                folder.write(info, contents)
    return folder.finish()


def _moved(name: str, fail: Callable[[str], FormatError]) -> str:
    plain = name.removeprefix("./")
    if f"{plain}/" == _TOP:
        return "usr"
    if not plain.startswith(_TOP):
        raise fail(f"{name!r} does not lie below {_TOP}")
    return f"usr/{plain.removeprefix(_TOP)}"
