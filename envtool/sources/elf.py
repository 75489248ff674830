"""Read what an ELF file wants from its surroundings: libraries, their versions, search paths.

A reader of the dynamic section alone (System V ABI, "Dynamic Section"; for symbol versions the
Linux Standard Base, "Symbol Versioning"), for 32- and 64-bit files of either byte order. A whole
ELF library takes milliseconds a file, and every shared object of every wheel passes here.
"""

import struct
from collections.abc import Iterator
from mmap import mmap

from envtool.values import value

__all__ = [
    "DT_RPATH",
    "DT_RUNPATH",
    "MAGIC",
    "Dynamic",
    "Elf",
    "Target",
    "Wanted",
    "dynamic",
    "read",
    "search_tags",
]

Data = bytes | bytearray | mmap
_WIDE, _NARROW = 2, 1
_IDENT_SIZE = 16
_HEADER_SIZE = 64
MAGIC = b"\x7fELF"
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_SONAME = 1, 5, 14
DT_RPATH, DT_RUNPATH = 15, 29
_DT_VERDEF, _DT_VERDEFNUM, _DT_VERNEED, _DT_VERNEEDNUM = (0x6FFFFFFC + each for each in range(4))
_VER_BASE, _VER_WEAK = 1, 2
_MOST_SEGMENTS = 4096
_MOST_ENTRIES = 4096
_LONGEST_TEXT = 8192
"""No real file has more; a hostile one could name one long string any number of times."""
_LONGEST_VERSION = 512


@value
class Dynamic:
    """What the dynamic section says."""

    needed: tuple[str, ...]
    soname: str | None
    rpath: tuple[str, ...]
    """Entries of DT_RPATH, `$ORIGIN` unexpanded; it counts only where there is no DT_RUNPATH."""
    runpath: tuple[str, ...] | None
    """Entries of DT_RUNPATH; None where there is none, which is another thing than an empty one."""

    @property
    def search(self) -> tuple[str, ...]:
        """What the loader looks at for this file: DT_RUNPATH, or DT_RPATH where there is none."""
        return self.rpath if self.runpath is None else self.runpath


@value
class Wanted:
    """A version of symbols that a library must define: `GLIBC_2.38` of `libc.so.6`."""

    library: str
    version: str
    weak: bool
    """The loader starts the program without it, too."""


@value
class Target:
    """What a file was made for: only files of the same can be loaded together."""

    wide: bool
    """64-bit."""
    little: bool
    """Least significant byte first."""
    machine: int
    """ELF's number: 62 is x86-64, 183 AArch64."""


@value
class Elf:
    """One ELF file."""

    target: Target
    interpreter: str | None
    """Absolute path of the loader it asks for; None for most libraries."""
    dynamic: Dynamic | None
    """None when it is static: it needs nothing."""
    wanted: tuple[Wanted, ...]
    defined: tuple[str, ...]
    """Versions of symbols that it defines, without the base one that is its own name."""

    @property
    def is_program(self) -> bool:
        """Whether it is started rather than loaded; libc.so.6, which can be both, is loaded."""
        return self.interpreter is not None and not (self.dynamic and self.dynamic.soname)

    def starts_by(self, loader: str) -> bool:
        """Say whether it is a program that asks for a loader of the name that a path ends in."""
        if not self.is_program or self.interpreter is None:
            return False
        return self.interpreter.rpartition("/")[2] == loader.rpartition("/")[2]


@value
class _Layout:
    header: struct.Struct
    """Of the ELF header from byte 16: …, program header offset, …, entry size, count."""
    segment: struct.Struct
    entry: struct.Struct
    need: struct.Struct
    """A library of DT_VERNEED: …, count, file, first version, next library."""
    needed_version: struct.Struct
    """…, flags, …, name, next."""
    definition: struct.Struct
    """A version of DT_VERDEF: …, flags, …, count, …, first name, next version."""
    name: struct.Struct


def _layout(order: str, *, wide: bool) -> _Layout:
    return _Layout(
        header=struct.Struct(f"{order}HHIQQQIHHH" if wide else f"{order}HHIIIIIHHH"),
        segment=struct.Struct(f"{order}IIQQQQQQ" if wide else f"{order}IIIIIIII"),
        entry=struct.Struct(f"{order}qQ" if wide else f"{order}iI"),
        need=struct.Struct(f"{order}HHIII"),
        needed_version=struct.Struct(f"{order}IHHII"),
        definition=struct.Struct(f"{order}HHHHIII"),
        name=struct.Struct(f"{order}II"),
    )


_LAYOUTS = {
    (wide, order): _layout(sign, wide=wide == _WIDE)
    for wide in (_NARROW, _WIDE)
    for order, sign in ((1, "<"), (2, ">"))
}
_DAMAGE = (struct.error, IndexError, ValueError, OverflowError)


def dynamic(data: Data) -> Dynamic | None:
    """Return what the dynamic section of the ELF file `data` says.

    None when it is no ELF file, is static, or is damaged: a damaged file is the loader's to refuse.
    """
    layout = _layout_of(data)
    if layout is None:
        return None
    try:
        section = _Section.find(data, layout)
        return section.dynamic() if section else None
    except _DAMAGE:
        return None


def read(data: Data) -> Elf | None:
    """Return all that an ELF file says to the loader; None when it is none, or is damaged."""
    layout = _layout_of(data)
    if layout is None:
        return None
    try:
        section = _Section.find(data, layout)
        header = layout.header.unpack_from(data, _IDENT_SIZE)
        return Elf(
            target=Target(data[4] == _WIDE, data[5] == 1, header[1]),
            interpreter=_interpreter(data, layout),
            dynamic=section.dynamic() if section else None,
            wanted=tuple(section.wanted()) if section else (),
            defined=tuple(section.defined()) if section else (),
        )
    except _DAMAGE:
        return None


def search_tags(data: bytes) -> list[tuple[int, int, str]]:
    """Return the tags of search paths: which, where in the file, and in which form (`struct`)."""
    layout = _layout_of(data)
    if layout is None:
        return []
    form = layout.entry.format[:2]
    found = []
    try:
        for kind, offset, _, size in _segments(data, layout):
            if kind == _PT_DYNAMIC:
                for number, (tag, _) in enumerate(_entries(data, layout, offset, size)):
                    if tag in {DT_RPATH, DT_RUNPATH}:
                        found.append((tag, offset + number * layout.entry.size, form))
    except _DAMAGE:
        return []
    return found


def _layout_of(data: Data) -> _Layout | None:
    if data[:4] != MAGIC or len(data) < _HEADER_SIZE:
        return None
    return _LAYOUTS.get((data[4], data[5]))


def _interpreter(data: Data, layout: _Layout) -> str | None:
    for kind, offset, _, size in _segments(data, layout):
        if kind == _PT_INTERP:
            text = data[offset : offset + min(size, _LONGEST_TEXT)]
            return text.split(b"\0", 1)[0].decode("utf-8", "replace")
    return None


class _Section:
    """A dynamic section and the strings that it names."""

    def __init__(
        self,
        data: Data,
        layout: _Layout,
        entries: list[tuple[int, int]],
        loads: list[tuple[int, int, int]],
        strings: int,
    ) -> None:
        self.data = data
        self.layout = layout
        self.entries = entries
        self.loads = loads
        self.strings = strings
        """Where in the file they begin."""

    @classmethod
    def find(cls, data: Data, layout: _Layout) -> "_Section | None":
        loads: list[tuple[int, int, int]] = []
        place: tuple[int, int] | None = None
        for kind, offset, address, size in _segments(data, layout):
            if kind == _PT_LOAD:
                loads.append((address, offset, size))
            elif kind == _PT_DYNAMIC:
                place = (offset, size)
        if place is None:
            return None
        entries = list(_entries(data, layout, *place))
        table = next((value for tag, value in entries if tag == _DT_STRTAB), None)
        if table is None:
            return None
        return cls(data, layout, entries, loads, _file_offset(table, loads))

    def dynamic(self) -> Dynamic:
        return Dynamic(
            needed=tuple(self._texts(_DT_NEEDED)),
            soname=next(iter(self._texts(_DT_SONAME)), None),
            rpath=_folders(self._texts(DT_RPATH)) or (),
            runpath=_folders(self._texts(DT_RUNPATH)),
        )

    def wanted(self) -> Iterator[Wanted]:
        """Yield what DT_VERNEED asks of libraries.

        Each name is short and no more are read than a file can have, so that one which leads
        in a circle, or claims any number, costs no more than a large one.
        """
        layout, left = self.layout, _MOST_ENTRIES
        for at in self._chain(_DT_VERNEED, _DT_VERNEEDNUM, layout.need):
            _, count, file, first, _ = layout.need.unpack_from(self.data, at)
            library, at_version = self._text(file, _LONGEST_VERSION), at + first
            for _ in range(count):
                left -= 1
                if left < 0:
                    raise ValueError(at)
                fields = layout.needed_version.unpack_from(self.data, at_version)
                _, flags, _, name, following = fields
                version = self._text(name, _LONGEST_VERSION)
                yield Wanted(library, version, bool(flags & _VER_WEAK))
                if not following:
                    break
                at_version += following

    def defined(self) -> Iterator[str]:
        """Yield the versions that DT_VERDEF defines."""
        layout = self.layout
        for at in self._chain(_DT_VERDEF, _DT_VERDEFNUM, layout.definition):
            _, flags, _, count, _, first, _ = layout.definition.unpack_from(self.data, at)
            if count and not flags & _VER_BASE:
                name, _ = layout.name.unpack_from(self.data, at + first)
                yield self._text(name, _LONGEST_VERSION)

    def _chain(self, start: int, count: int, form: struct.Struct) -> Iterator[int]:
        """Yield where the records are that follow each other by the last of their fields."""
        address, claimed = self._value(start), self._value(count)
        if address is None or claimed is None:
            return
        if claimed > _MOST_ENTRIES:
            raise ValueError(claimed)
        at = _file_offset(address, self.loads)
        for _ in range(claimed):
            yield at
            following = form.unpack_from(self.data, at)[-1]
            if not following:
                return
            at += following

    def _value(self, wanted: int) -> int | None:
        return next((value for tag, value in self.entries if tag == wanted), None)

    def _texts(self, wanted: int) -> list[str]:
        return [self._text(value, _LONGEST_TEXT) for tag, value in self.entries if tag == wanted]

    def _text(self, value: int, longest: int) -> str:
        start = self.strings + value
        end = self.data.find(b"\0", start, start + longest)
        if end < 0:
            raise ValueError(start)
        return self.data[start:end].decode("utf-8", "replace")


def _folders(joined: list[str]) -> tuple[str, ...] | None:
    if not joined:
        return None
    return tuple(part for each in joined for part in each.split(":") if part)


def _segments(data: Data, layout: _Layout) -> Iterator[tuple[int, int, int, int]]:
    header = layout.header.unpack_from(data, _IDENT_SIZE)
    start, size, count = header[4], header[8], header[9]
    for index in range(min(count, _MOST_SEGMENTS)):
        fields = layout.segment.unpack_from(data, start + index * size)
        if data[4] == _WIDE:
            kind, _, offset, address, _, file_size, _, _ = fields
        else:
            kind, offset, address, _, file_size, _, _, _ = fields
        yield kind, offset, address, file_size


def _entries(data: Data, layout: _Layout, offset: int, size: int) -> Iterator[tuple[int, int]]:
    for at in range(offset, offset + size, layout.entry.size)[:_MOST_ENTRIES]:
        tag, value = layout.entry.unpack_from(data, at)
        if tag == 0:
            return
        yield tag, value


def _file_offset(address: int, loads: list[tuple[int, int, int]]) -> int:
    for start, offset, size in loads:
        if start <= address < start + size:
            return offset + address - start
    raise ValueError(address)
