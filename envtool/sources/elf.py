"""Read what an ELF file wants from its surroundings: needed libraries and search paths.

A reader of the dynamic section alone (System V ABI, "Dynamic Section"), for 32- and 64-bit files of
either byte order. A whole ELF library takes milliseconds a file, and every shared object of every
wheel passes here.
"""

import struct
from collections.abc import Iterator
from mmap import mmap

from envtool.values import value

_WIDE, _NARROW = 2, 1
_IDENT_SIZE = 16
_HEADER_SIZE = 64
MAGIC = b"\x7fELF"
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 14, 15, 29
_MOST_ENTRIES = 4096
_LONGEST_TEXT = 8192
"""No real file has more; a hostile one could name one long string any number of times."""


@value
class Dynamic:
    """What the dynamic section says."""

    needed: tuple[str, ...]
    soname: str | None
    search: tuple[str, ...]
    """Entries of DT_RUNPATH, or of DT_RPATH where there is none; `$ORIGIN` unexpanded."""


@value
class _Layout:
    header: struct.Struct
    """Of the ELF header from byte 16: …, program header offset, …, entry size, count."""
    segment: struct.Struct
    entry: struct.Struct


def _layout(order: str, *, wide: bool) -> _Layout:
    if wide:
        return _Layout(
            struct.Struct(f"{order}HHIQQQIHHH"),
            struct.Struct(f"{order}IIQQQQQQ"),
            struct.Struct(f"{order}qQ"),
        )
    return _Layout(
        struct.Struct(f"{order}HHIIIIIHHH"),
        struct.Struct(f"{order}IIIIIIII"),
        struct.Struct(f"{order}iI"),
    )


_LAYOUTS = {
    (wide, order): _layout(sign, wide=wide == _WIDE)
    for wide in (_NARROW, _WIDE)
    for order, sign in ((1, "<"), (2, ">"))
}


def dynamic(data: bytes | mmap) -> Dynamic | None:
    """Return what the dynamic section of the ELF file `data` says.

    None when it is no ELF file, is static, or is damaged: a damaged file is the loader's to refuse.
    """
    if data[:4] != MAGIC or len(data) < _HEADER_SIZE:
        return None
    layout = _LAYOUTS.get((data[4], data[5]))
    if layout is None:
        return None
    try:
        return _dynamic(data, layout)
    except (struct.error, IndexError, ValueError, OverflowError):
        return None


def _dynamic(data: bytes | mmap, layout: _Layout) -> Dynamic | None:
    loads: list[tuple[int, int, int]] = []
    section: tuple[int, int] | None = None
    for kind, offset, address, size in _segments(data, layout):
        if kind == _PT_LOAD:
            loads.append((address, offset, size))
        elif kind == _PT_DYNAMIC:
            section = (offset, size)
    if section is None:
        return None
    entries = list(_entries(data, layout, *section))
    table = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    if table is None:
        return None
    strings = _file_offset(table, loads)

    def text(value: int) -> str:
        start = strings + value
        end = data.find(b"\0", start, start + _LONGEST_TEXT)
        if end < 0:
            raise ValueError(start)
        return data[start:end].decode("utf-8", "replace")

    def texts(wanted: int) -> list[str]:
        return [text(value) for tag, value in entries if tag == wanted]

    search = texts(_DT_RUNPATH) or texts(_DT_RPATH)
    return Dynamic(
        needed=tuple(texts(_DT_NEEDED)),
        soname=next(iter(texts(_DT_SONAME)), None),
        search=tuple(part for joined in search for part in joined.split(":") if part),
    )


def _segments(data: bytes | mmap, layout: _Layout) -> Iterator[tuple[int, int, int, int]]:
    header = layout.header.unpack_from(data, _IDENT_SIZE)
    start, size, count = header[4], header[8], header[9]
    for index in range(count):
        fields = layout.segment.unpack_from(data, start + index * size)
        if data[4] == _WIDE:
            kind, _, offset, address, _, file_size, _, _ = fields
        else:
            kind, offset, address, _, file_size, _, _, _ = fields
        yield kind, offset, address, file_size


def _entries(
    data: bytes | mmap, layout: _Layout, offset: int, size: int
) -> Iterator[tuple[int, int]]:
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
