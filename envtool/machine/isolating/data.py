"""Data below /usr and /etc of a root of our own: that of an interpreter's closure."""

import os
from collections.abc import Iterator

from envtool.machine.isolating.sandbox import View
from envtool.sources.binaries import read_file

__all__ = ["data_views"]

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_BUNDLE = "/usr/share/ca-certificates.crt"


def data_views(python: str) -> tuple[View, ...]:
    """Return what an otherwise empty root sees of the closure, besides the store.

    `python` is the program of an environment whose interpreter is our own. Libraries that wheels
    need are seen at Debian's place for them, for their plugins' sake: the loader does not look
    there.
    """
    real = os.path.realpath(python)
    base = os.path.dirname(os.path.dirname(real))
    found: dict[str, str] = {}
    for tree in (f"{base}/shared/..", f"{base}/lib/../.."):
        for inside, path in _places(os.path.realpath(tree)):
            found.setdefault(inside, path)
    elf = read_file(real)
    if os.path.isdir(f"{base}/shared") and elf and elf.interpreter:
        folder = os.path.basename(os.path.dirname(elf.interpreter))
        found[f"/usr/lib/{folder}"] = os.path.realpath(f"{base}/shared")
    if _BUNDLE in found and not os.path.exists(_CERTIFICATES):
        found[_CERTIFICATES] = found[_BUNDLE]
    return tuple(View(path, inside) for inside, path in sorted(found.items()))


def _places(tree: str) -> Iterator[tuple[str, str]]:
    """Yield where each name is seen, and where it lies."""
    for folder in ("usr/share", "usr/lib", "etc"):
        if os.path.isdir(f"{tree}/{folder}"):
            for name in os.listdir(f"{tree}/{folder}"):
                # Of an interpreter; libraries have their own folder, which is `lib`.
                if folder != "usr/lib" or name == "locale" or os.path.isdir(f"{tree}/lib"):
                    yield f"/{folder}/{name}", f"{tree}/{folder}/{name}"
