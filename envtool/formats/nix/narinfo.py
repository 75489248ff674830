"""Narinfo: what a binary cache says about one store path, and `nix-cache-info` about itself.

Both are lines of `Key: value` in UTF-8, each ended by a newline; keys that are not known are
ignored (Nix's `nar-info.cc`; Nix manual, "Binary cache"). Signed is only the fingerprint, which
holds neither the URL nor the compression nor the deriver: those are to be distrusted until the
archive has the NAR hash. Signatures are made and judged in `envtool.formats.nix.signing`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from envtool.errors import FormatError
from envtool.formats.nix import content_address
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import STORE_DIR, StorePath
from envtool.values import value

MAX_SIZE = (1 << 63) - 1
"""Bytes; what Nix's database can hold."""
_DECIMAL = re.compile("[0-9]{1,19}")
# Nix wrote no compression in its first caches, and those were of this one.
_DEFAULT_COMPRESSION = "bzip2"
_UNKNOWN_DERIVER = "unknown-deriver"
_REPEATABLE = frozenset({"Sig"})
_URL = re.compile(r"[^\s\x00-\x1f\x7f]+")
_Value = TypeVar("_Value")


@value
class NarInfo:
    """What a cache says about one store path; `parse` and the store make valid ones."""

    store_path: StorePath
    url: str
    """Of the archive, relative to the cache; may carry a query."""
    compression: str
    """Of the archive, such as `zstd`, `xz` or `none`."""
    file_hash: Hash | None
    """Of the archive as it is fetched; None when the cache does not say."""
    file_size: int | None
    """Bytes of the archive as it is fetched; None when the cache does not say."""
    nar_hash: Hash
    """SHA-256 of the NAR within the archive."""
    nar_size: int
    """Bytes of the NAR."""
    references: frozenset[StorePath]
    """May include the path itself."""
    deriver: StorePath | None = None
    system: str | None = None
    """For which system it was built; older Nix writes it, today's does not."""
    signatures: tuple[str, ...] = ()
    """Each `name:base64`, as they stand: a stranger's that is malformed does no harm."""
    ca: str | None = None
    """How the content leads to the path, such as `fixed:r:sha256:…`; None if inputs do."""

    def fingerprint(self, store_dir: str = STORE_DIR) -> str:
        """Return the text that signatures sign."""
        return fingerprint(
            self.store_path, self.nar_hash, self.nar_size, self.references, store_dir
        )

    def is_content_addressed(self, store_dir: str = STORE_DIR) -> bool:
        """Return whether the contents alone lead to the path, so that it needs no signature.

        That is so once the archive has the NAR hash and, unless that is what `ca` names, its
        contents the hash that `ca` names.
        """
        if self.ca is None:
            return False
        address = content_address.parse(self.ca)
        of_nar = address.method == "fixed:r" and self.store_path not in self.references
        if of_nar and address.content.algorithm == "sha256" and address.content != self.nar_hash:
            return False
        return address.leads_to(self.store_path, self.references, store_dir)


@value
class CacheInfo:
    """What a cache says about itself."""

    store_dir: str
    """The store that its paths belong to; a cache for another one is of no use."""
    want_mass_query: bool = False
    """Whether asking for many paths at once is welcome."""
    priority: int | None = None
    """Caches with lower numbers are asked first; None leaves it to the client."""


def fingerprint(
    path: StorePath,
    nar_hash: Hash,
    nar_size: int,
    references: Iterable[StorePath],
    store_dir: str = STORE_DIR,
) -> str:
    """Return the text that a signature of this path signs (Nix's `path-info.cc`)."""
    names = ",".join(each.full(store_dir) for each in sorted(references))
    return f"1;{path.full(store_dir)};{nar_hash};{nar_size};{names}"


def render(info: NarInfo, store_dir: str = STORE_DIR) -> bytes:
    """Return the narinfo as Nix writes it; inverse of `parse`."""
    lines = [
        ("StorePath", info.store_path.full(store_dir)),
        ("URL", info.url),
        ("Compression", info.compression),
        ("FileHash", info.file_hash),
        ("FileSize", info.file_size),
        ("NarHash", info.nar_hash),
        ("NarSize", info.nar_size),
        ("References", " ".join(sorted(info.references))),
        ("Deriver", info.deriver),
        ("System", info.system),
        *(("Sig", signature) for signature in sorted(set(info.signatures))),
        ("CA", info.ca),
    ]
    return _render(lines)


def parse(data: bytes, *, place: str = "narinfo", store_dir: str = STORE_DIR) -> NarInfo:
    """Return what a narinfo says; inverse of `render`.

    `place` is its URL or file name, for the messages. Without a compression it is bzip2.

    :raises FormatError: not lines of `Key: value`; a key is missing, stands twice or has a value
        that it cannot have; a path outside of `store_dir`. The message names the line.
    """
    fields = _Fields(data, place)
    return NarInfo(
        store_path=fields.needed("StorePath", lambda text: StorePath.parse_full(text, store_dir)),
        url=fields.needed("URL", _url),
        compression=fields.get("Compression", str) or _DEFAULT_COMPRESSION,
        file_hash=fields.get("FileHash", Hash.parse),
        # Nix writes and reads 0 for a size that it does not know.
        file_size=fields.get("FileSize", _size) or None,
        nar_hash=fields.needed("NarHash", _sha256),
        nar_size=fields.needed("NarSize", _nar_size),
        references=fields.get("References", _references) or frozenset(),
        deriver=fields.get("Deriver", _deriver),
        system=fields.get("System", str),
        signatures=tuple(fields.each("Sig", _not_empty)),
        ca=fields.get("CA", _ca),
    )


def render_cache_info(info: CacheInfo) -> bytes:
    """Return the `nix-cache-info` of a cache; inverse of `parse_cache_info`."""
    mass = "1" if info.want_mass_query else None
    lines = [
        ("StoreDir", info.store_dir),
        ("WantMassQuery", mass),
        ("Priority", info.priority),
    ]
    return _render(lines)


def parse_cache_info(data: bytes, *, place: str = "nix-cache-info") -> CacheInfo:
    """Return what a `nix-cache-info` says.

    :raises FormatError: as `parse`; the caller compares the store directory.
    """
    fields = _Fields(data, place)
    return CacheInfo(
        store_dir=fields.needed("StoreDir", _store_dir),
        want_mass_query=fields.get("WantMassQuery", str) == "1",
        priority=fields.get("Priority", _size),
    )


def _render(lines: Iterable[tuple[str, object]]) -> bytes:
    pairs = [(key, str(each)) for key, each in lines if each is not None]
    for key, text in pairs:
        if "\n" in text:
            raise FormatError(f"{key} cannot hold a line break: {text!r}")
    return "".join(f"{key}: {text}\n" for key, text in pairs).encode()


class _Fields:
    """The lines of one file by their keys; each fault is raised with its line."""

    def __init__(self, data: bytes, place: str) -> None:
        self._place = place
        self._lines: Mapping[str, list[tuple[int, str]]] = self._read(data)

    def _read(self, data: bytes) -> dict[str, list[tuple[int, str]]]:
        found: dict[str, list[tuple[int, str]]] = {}
        for number, line in enumerate(self._split(data), 1):
            key, separator, text = line.partition(": ")
            if not separator or not key:
                raise self._fault(number, f"{line[:80]!r} is not 'Key: value'")
            before = found.setdefault(key, [])
            if before and key not in _REPEATABLE:
                raise self._fault(number, f"{key} stands on line {before[0][0]} already")
            before.append((number, text))
        return found

    def _split(self, data: bytes) -> list[str]:
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError as error:
            raise FormatError(f"{self._place} is not UTF-8: {error}") from error
        if lines.pop():
            raise FormatError(f"{self._place} is cut off: its last line does not end")
        return lines

    def _fault(self, line: int, message: str) -> FormatError:
        return FormatError(f"{self._place}, line {line}: {message}")

    def each(self, key: str, read: Callable[[str], _Value]) -> Iterator[_Value]:
        """Give what `read` makes of each value of the key."""
        for number, text in self._lines.get(key, ()):
            try:
                yield read(text)
            except FormatError as error:
                raise self._fault(number, f"{key}: {error.message}") from error

    def get(self, key: str, read: Callable[[str], _Value]) -> _Value | None:
        """Return what `read` makes of the value; None when the key is not there."""
        return next(self.each(key, read), None)

    def needed(self, key: str, read: Callable[[str], _Value]) -> _Value:
        """Return what `read` makes of the value of a key that must be there."""
        if key not in self._lines:
            raise FormatError(f"{self._place} has no {key}")
        return next(self.each(key, read))


def _not_empty(text: str) -> str:
    if not text:
        raise FormatError("it is empty")
    return text


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise FormatError(f"{text[:80]!r} is not a URL")
    return text


def _size(text: str) -> int:
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise FormatError(f"{text[:80]!r} is not a number from 0 to {MAX_SIZE}")
    return int(text)


def _nar_size(text: str) -> int:
    size = _size(text)
    if not size:
        raise FormatError("no NAR is empty")
    return size


def _sha256(text: str) -> Hash:
    found = Hash.parse(text)
    if found.algorithm != "sha256":
        raise FormatError(f"{text!r} is not a SHA-256, which is what signatures sign")
    return found


def _references(text: str) -> frozenset[StorePath]:
    return frozenset(map(StorePath.parse, filter(None, text.split(" "))))


def _deriver(text: str) -> StorePath | None:
    return None if text == _UNKNOWN_DERIVER else StorePath.parse(text)


def _ca(text: str) -> str:
    content_address.parse(text)
    return text


def _store_dir(text: str) -> str:
    if not text.startswith("/") or (text.endswith("/") and text != "/"):
        raise FormatError(f"{text!r} is not the absolute path of a directory")
    return text
