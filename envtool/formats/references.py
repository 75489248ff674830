"""Find which store objects a stream refers to, by the digests that occur in it.

Any 32 characters of the base-32 alphabet may be a digest; names are not looked at (Nix manual,
"Scanning for references"; Nix's `references.cc`).
"""

import re
from collections.abc import Iterable

from envtool.formats.storepath import DIGEST_LENGTH, StorePath

_OVERLAP = DIGEST_LENGTH - 1


class ReferenceScanner:
    """A sink that notes which of the candidates' digests pass through, chunk borders included."""

    def __init__(self, candidates: Iterable[StorePath]) -> None:
        self._by_digest = {path.digest.encode(): path for path in candidates}
        self._pattern = (
            re.compile(b"|".join(map(re.escape, sorted(self._by_digest))))
            if self._by_digest
            else None
        )
        self._tail = b""
        self._found: set[bytes] = set()

    def __call__(self, data: bytes) -> None:
        """Take the next piece."""
        if self._pattern is None:
            return
        # Digests cannot overlap each other unless one candidate is a shifted part of another,
        # which a hash's randomness rules out; findall is therefore enough.
        self._found.update(self._pattern.findall(self._tail + data[:_OVERLAP]))
        self._found.update(self._pattern.findall(data))
        self._tail = (self._tail + data)[-_OVERLAP:]

    @property
    def found(self) -> frozenset[StorePath]:
        """The candidates seen so far."""
        return frozenset(self._by_digest[digest] for digest in self._found)
