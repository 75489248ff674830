"""Looking in an output for this machine's store directory, which must not be in it.

What names the physical store works on no other machine, and not here after the root was moved.
"""

import os

from envtool.machine.linux import contains

__all__ = ["Finder", "store_names"]


def store_names(store: str) -> tuple[str, ...]:
    """Return the names that a builder may know the physical store directory by."""
    return tuple(dict.fromkeys((store, os.path.realpath(store))))


class Finder:
    """A sink that looks for strings in a stream, whatever its pieces."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self._wanted = tuple(map(os.fsencode, wanted))
        self._reach = max(map(len, self._wanted), default=1) - 1
        self._tail: bytes | bytearray = b""
        self.found: str | None = None
        """The first that was met."""

    def __call__(self, data: bytes | bytearray) -> None:
        """Take the next piece."""
        border = self._tail + data[: self._reach]
        for wanted in self._wanted:
            if self.found is None and (wanted in border or contains(data, wanted)):
                self.found = os.fsdecode(wanted)
        if self._reach:
            piece = data if len(data) >= self._reach else self._tail + data
            self._tail = piece[-self._reach :]
