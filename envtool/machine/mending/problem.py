"""What can be wrong with a store, as values."""

from typing import Literal

from envtool.values import value

__all__ = ["Kind", "Problem"]

Kind = Literal[
    "missing",
    "changed",
    "unreadable",
    "metadata",
    "derivation",
    "database",
    "dangling",
    "unknown",
]
"""Of a valid path: its object is not there, has other contents, cannot be read, has modes, times
or owners that no store object has, or is a `.drv` that must not be realised. Then: the database
disagrees with itself; a root leads to what is not valid; nobody knows what a file is."""

_CONTENTS = frozenset({"missing", "changed", "unreadable", "derivation"})


@value
class Problem:
    """One thing that is wrong."""

    kind: Kind
    name: str
    """The name in the store directory, a store path but for what is unknown; of the database
    its file."""
    message: str
    hint: str | None = None
    """The next command."""

    @property
    def harms(self) -> bool:
        """Whether anything depends on it: unknown files only take space."""
        return self.kind != "unknown"

    @property
    def of_contents(self) -> bool:
        """Whether the object has to be made again."""
        return self.kind in _CONTENTS
