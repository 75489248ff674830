"""Shut the ways by which an interpreter of our own would reach libraries of the host.

The dynamic loader looks into /etc/ld.so.cache and into its default directories for what nothing
else provides, and loads what /etc/ld.so.preload names. Libc loads converters of character sets,
libcrypto engines and providers from folders of theirs. These paths are strings in the files; each
is replaced by one of the same length at which there can never be anything. A library that is
missing is then an error here rather than on someone else's machine.

Data is not shut out: locales, /etc/resolv.conf, /etc/hosts and /etc/nsswitch.conf are the host's.
"""

import os
import re
from collections.abc import Callable

from envtool.build.closed.joining import library_folder
from envtool.errors import BuildError

__all__ = ["loader", "never", "replaced", "shut"]

_NOWHERE = b"/dev/null/"
"""Nothing can be below a file."""


def never(path: bytes) -> bytes:
    """Return a path of the same length at which there is nothing; it ends in `/` if `path` does."""
    end = b"/" if path.endswith(b"/") else b""
    spare = len(path) - len(_NOWHERE) - len(end)
    if spare >= 0:
        return _NOWHERE + b"-" * spare + end
    # Too short for a path that cannot be: a name in the root folder that nobody gives.
    return b"/" + b"\x7f" * (len(path) - 1 - len(end)) + end


def replaced(data: bytes, path: str) -> tuple[bytes, int]:
    """Return the file with each whole string `path` replaced, and how many there were."""
    wanted = path.encode()
    return re.subn(rb"(?<=\0)" + re.escape(wanted) + rb"(?=\0)", never(wanted), data)


def _default_directories(multiarch: str) -> bytes:
    """Return the loader's table of default directories, as glibc's build joins it."""
    folders = (f"/lib/{multiarch}/", f"/usr/lib/{multiarch}/", "/lib/", "/usr/lib/")
    return b"".join(folder.encode() + b"\0" for folder in folders)


def shut(tree: str) -> None:
    """Shut the loader, libc and libcrypto of an interpreter's tree.

    :raises BuildError: the loader is not built as Debian's are, so that it would stay open.
    """
    folder = library_folder(tree)
    multiarch = os.path.basename(folder)
    _rewrite(loader(folder), _shut_loader, multiarch)
    _rewrite(f"{folder}/libc.so.6", _shut_libc, multiarch)
    for name in sorted(os.listdir(folder)):
        if re.fullmatch(r"libcrypto\.so\.\d+", name):
            _rewrite(f"{folder}/{name}", _shut_libcrypto, multiarch)


def loader(folder: str) -> str:
    """Return the path of the dynamic loader among the libraries of a folder.

    :raises BuildError: there is none.
    """
    for name in sorted(os.listdir(folder)):
        if re.fullmatch(r"ld-linux[^/]*\.so\.\d+|ld64\.so\.\d+", name):
            return f"{folder}/{name}"
    raise BuildError("the interpreter's packages have no dynamic loader")


def _rewrite(path: str, change: Callable[[bytes, str], bytes], multiarch: str) -> None:
    """Replace the file behind `path`, which other objects may share, by a changed one."""
    real = os.path.realpath(path)
    with open(real, "rb") as file:
        data = file.read()
    mode = os.stat(real).st_mode
    os.unlink(real)
    with open(real, "xb") as file:
        file.write(change(data, multiarch))
        os.fchmod(file.fileno(), mode & 0o777)


def _shut_loader(data: bytes, multiarch: str) -> bytes:
    table = _default_directories(multiarch)
    shut_table = b"".join(never(folder) + b"\0" for folder in table.split(b"\0")[:-1])
    count = data.count(table)
    data = data.replace(table, shut_table)
    for path in ("/etc/ld.so.cache", "/etc/ld.so.preload"):
        data, found = replaced(data, path)
        count = min(count, found)
    if not count:
        raise BuildError(
            "the dynamic loader names its default directories in another way than expected, "
            "and would load libraries of the host",
        )
    return data


def _shut_libc(data: bytes, multiarch: str) -> bytes:
    for name in ("gconv", "gconv/gconv-modules.cache"):
        data, _ = replaced(data, f"/usr/lib/{multiarch}/{name}")
    return data


def _shut_libcrypto(data: bytes, multiarch: str) -> bytes:
    for name in ("ossl-modules", "engines-3", "engines-1.1"):
        data, _ = replaced(data, f"/usr/lib/{multiarch}/{name}")
    return data
