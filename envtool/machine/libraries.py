"""The shared libraries that a program finds on this machine, as the loader would (ld.so(8)).

A program of the host looks into LD_LIBRARY_PATH, /etc/ld.so.cache and the default directories. One
with a loader of the store's own has these shut: it finds what its own search path leads to.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from envtool.errors import FormatError
from envtool.formats.loader_cache import parse
from envtool.sources.binaries import read_file
from envtool.sources.elf import Elf, Target
from envtool.values import replace

__all__ = ["Libraries", "libraries_of"]

_CACHE = "/etc/ld.so.cache"
_X86, _X86_64, _AARCH64, _RISCV = 3, 62, 183, 243
_TRIPLETS = {
    _X86: "i386-linux-gnu",
    _X86_64: "x86_64-linux-gnu",
    _AARCH64: "aarch64-linux-gnu",
    _RISCV: "riscv64-linux-gnu",
}


class Libraries:
    """What a program's loader would find.

    `first` are folders that go before a library's own DT_RUNPATH (LD_LIBRARY_PATH), `last` those
    behind it, and `cache` paths by soname, asked before `last`. A file is read once.
    """

    def __init__(
        self,
        program: str,
        *,
        first: Sequence[str] = (),
        cache: Mapping[str, Sequence[str]] | None = None,
        last: Sequence[str] = (),
        beside: Sequence[str] = (),
        starts_programs: bool = False,
    ) -> None:
        self.program = program
        """Absolute path, links resolved."""
        self.beside = tuple(beside)
        """Folders that the program's own DT_RPATH will lead to, and what is in them looks into."""
        self.starts_programs = starts_programs
        """Wheels' programs are made to start by its loader, too: it is our own."""
        self._first = tuple(first)
        self._cache = cache or {}
        self._last = tuple(last)
        self._read: dict[str, Elf | None] = {}

    def open(self, path: str) -> Elf | None:
        """Return what the file at an absolute path says; None when it is no ELF file."""
        if path not in self._read:
            elf = read_file(path)
            if elf and elf.dynamic and path.startswith(self.beside):
                elf = replace(elf, dynamic=replace(elf.dynamic, rpath=(), runpath=None))
            self._read[path] = elf
        return self._read[path]

    def find_first(self, soname: str, target: Target) -> str | None:
        """Return the path of what goes before a library's own DT_RUNPATH."""
        return self._fitting((f"{folder}/{soname}" for folder in self._first), target)

    def find_last(self, soname: str, target: Target) -> str | None:
        """Return the path of what every program finds."""
        folders = (f"{folder}/{soname}" for folder in self._last)
        return self._fitting((*self._cache.get(soname, ()), *folders), target)

    def _fitting(self, paths: Sequence[str] | Iterator[str], target: Target) -> str | None:
        for path in paths:
            elf = self.open(path)
            if elf is not None and elf.target == target:
                return path
        return None


def libraries_of(program: str, environ: Mapping[str, str], *, store: str) -> Libraries:
    """Return what a Python's loader finds here; `store` is the physical store directory."""
    real = os.path.realpath(program)
    elf = read_file(real)
    first = [each for each in environ.get("LD_LIBRARY_PATH", "").split(":") if each]
    if elf and elf.interpreter and elf.interpreter.startswith(f"{store}/"):
        return Libraries(real, first=first, starts_programs=True)
    machine = elf.target.machine if elf else 0
    return Libraries(real, first=first, cache=_host_cache(), last=_defaults(machine))


def _host_cache() -> Mapping[str, Sequence[str]]:
    with suppress(OSError, FormatError), open(_CACHE, "rb") as file:
        return parse(file.read())
    return {}


def _defaults(machine: int) -> Sequence[str]:
    triplet = _TRIPLETS.get(machine)
    multiarch = [f"/lib/{triplet}", f"/usr/lib/{triplet}"] if triplet else []
    return [*multiarch, "/lib64", "/usr/lib64", "/lib", "/usr/lib"]
