"""Objects that prove themselves: their contents lead to the very store path that they lie at.

That holds for texts (such as `.drv` files), sources, generations and fixed outputs. No row of the
database is needed to know what they are, and nobody can pass off something else as one of them.
The output of an ordinary derivation proves nothing: its path follows from its inputs alone.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from hashlib import file_digest

from envtool.errors import FormatError
from envtool.formats.nix import nar
from envtool.formats.nix.derivation import parse
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.references import ReferenceScanner
from envtool.formats.nix.storepath import StorePath, make_fixed_output, make_source, make_text
from envtool.machine.database import PathInfo
from envtool.values import value

__all__ = ["Read", "prove", "read"]

_DRV = ".drv"
_MOST_TEXT = 64 << 20
"""Bytes; texts are read whole."""


@value
class Read:
    """What an object is found to be."""

    path: StorePath
    nar_hash: Hash
    nar_size: int
    mentioned: frozenset[StorePath]
    """The candidates whose digests occur in it."""


def read(place: str, path: StorePath, candidates: Mapping[bytes, StorePath]) -> Read:
    """Read the object at `place` in one pass.

    :raises OSError: it cannot be read.
    :raises FormatError: it holds what no object can hold.
    """
    hashed, scanner = nar.HashingSink(), ReferenceScanner(candidates)

    def take(data: bytes) -> None:
        hashed(data)
        scanner(data)

    nar.dump(place, take)
    return Read(path, hashed.hash, hashed.size, scanner.found)


def prove(place: str, found: Read) -> PathInfo | None:
    """Return what the object at `place` is beyond doubt; None if it does not prove itself."""
    for references, ca, leads_to in _claims(place, found):
        if leads_to == found.path:
            return PathInfo(found.path, found.nar_hash, found.nar_size, references, ca=ca)
    return None


_Claim = tuple[frozenset[StorePath], str, StorePath]
"""References, the `ca` field, and the path that follows."""


def _claims(place: str, found: Read) -> Iterator[_Claim]:
    name, none = found.path.name, frozenset[StorePath]()
    mentioned = found.mentioned - {found.path}
    status = os.lstat(place)
    if stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IXUSR:
        yield from _file_claims(place, name, status.st_size, mentioned)
    source = f"fixed:r:{found.nar_hash}"
    for references in {none, mentioned}:
        yield references, source, make_source(name, found.nar_hash.digest, references)


def _file_claims(
    place: str, name: str, size: int, mentioned: frozenset[StorePath]
) -> Iterator[_Claim]:
    with open(place, "rb") as file:
        contents = Hash("sha256", file_digest(file, "sha256").digest())
    yield frozenset(), f"fixed:{contents}", make_fixed_output(name, contents)
    if size > _MOST_TEXT:
        return
    with open(place, "rb") as file:
        data = file.read()
    ca = f"text:{contents}"
    if name.endswith(_DRV):
        try:
            mentioned = parse(
                data.decode("utf-8", "surrogateescape"), name.removesuffix(_DRV)
            ).references()
        except FormatError:
            return
    for references in {frozenset[StorePath](), mentioned}:
        yield references, ca, make_text(name, data, references)
