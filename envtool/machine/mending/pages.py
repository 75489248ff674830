"""Rows out of a damaged SQLite file: every page of a table that can still be made sense of.

SQLite itself gives up at the first bad page on the way to a row. Here nobody goes a way: each page
of the file, and of its write-ahead log, that looks like a leaf of a table is read for itself ("The
SQLite Database File Format", sections 1.6, 2.1 and 4). Rows of deleted pages come back, too, and
what is found may be nonsense: who uses it must be able to prove each row.
"""

from collections.abc import Iterator

__all__ = ["Row", "rows_of_database", "rows_of_log"]

Row = tuple[int, tuple[int | str | None, ...]]
"""The row's number, and its columns."""

_MAGIC = b"SQLite format 3\0"
_LEAF = 0x0D
_HEADER = 100
_PAGE_SIZE = 4096
"""SQLite's default, where the header is lost."""
_SMALLEST, _LARGEST = 512, 65536
_LOG_MAGIC = frozenset({0x377F0682, 0x377F0683})
_LOG_HEADER, _FRAME_HEADER = 32, 24
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Serial type to bytes."""
_ZERO, _ONE, _TEXT = 8, 9, 13
_NO_OVERFLOW = 35
"""A record that leaves fewer bytes of its page than this goes on elsewhere."""


def rows_of_database(data: bytes) -> Iterator[Row]:
    """Yield what the pages of a database file hold, in their order."""
    size = _PAGE_SIZE
    if data.startswith(_MAGIC):
        size = _checked(int.from_bytes(data[16:18], "big"))
    for start in range(0, len(data), size):
        page = data[start : start + size].ljust(size, b"\0")
        yield from _rows(page, 0 if start else _HEADER)


def rows_of_log(data: bytes) -> Iterator[Row]:
    """Yield what the frames of a write-ahead log hold, the oldest first."""
    size = _PAGE_SIZE
    if len(data) >= _LOG_HEADER and int.from_bytes(data[:4], "big") in _LOG_MAGIC:
        size = _checked(int.from_bytes(data[8:12], "big"))
    for start in range(_LOG_HEADER, len(data), _FRAME_HEADER + size):
        number = int.from_bytes(data[start : start + 4], "big")
        begin = start + _FRAME_HEADER
        page = data[begin : begin + size].ljust(size, b"\0")
        yield from _rows(page, _HEADER if number == 1 else 0)


def _checked(size: int) -> int:
    size = _LARGEST if size == 1 else size
    valid = _SMALLEST <= size <= _LARGEST and size & (size - 1) == 0
    return size if valid else _PAGE_SIZE


def _rows(page: bytes, start: int) -> Iterator[Row]:
    if page[start] != _LEAF:
        return
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    first = start + 8
    for at in range(first, min(first + 2 * count, len(page) - 1), 2):
        place = int.from_bytes(page[at : at + 2], "big")
        try:
            yield _cell(page, place)
        except (IndexError, ValueError):
            continue  # this cell is damaged, the next may not be


def _cell(page: bytes, at: int) -> Row:
    size, at = _varint(page, at)
    number, at = _varint(page, at)
    if size > len(page) - _NO_OVERFLOW or at + size > len(page):
        raise ValueError(size)
    return number, tuple(_columns(page[at : at + size]))


def _columns(record: bytes) -> Iterator[int | str | None]:
    head, at = _varint(record, 0)
    place = head
    while at < head:
        kind, at = _varint(record, at)
        size = _INTEGERS.get(kind, 0)
        if kind >= _TEXT and kind % 2:
            size = (kind - _TEXT) // 2
            yield _piece(record, place, size).decode("utf-8")
        elif size:
            yield int.from_bytes(_piece(record, place, size), "big", signed=True)
        elif kind in {_ZERO, _ONE}:
            yield kind - _ZERO
        elif kind == 0:
            yield None
        else:
            raise ValueError(kind)  # floats and bytes, which no table of ours has
        place += size


def _piece(record: bytes, at: int, size: int) -> bytes:
    if at + size > len(record):
        raise ValueError(size)
    return record[at : at + size]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where it ends."""
    number = 0
    for place in range(at, at + 8):
        byte = data[place]
        number = number << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follows
            return number, place + 1
    return number << 8 | data[at + 8], at + 9
