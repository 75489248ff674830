"""Store paths: their names, and the fingerprints that they are computed from.

A store path is `<store dir>/<32 base-32 digits>-<name>`; the digits are the folded SHA-256 of a
fingerprint `<type>:sha256:<inner hash>:<store dir>:<name>` (Nix manual, "Store Path
Specification"). The store directory is part of every hash, so it is a parameter here.
"""

from __future__ import annotations

from envtool.errors import FormatError
from envtool.formats.digest import sha256
from envtool.formats.nix.hashing import ALPHABET, fold, to_nix32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from envtool.formats.nix.hashing import Hash

STORE_DIR = "/envtool/store"
"""The logical store directory: what hashes, derivations, database and caches speak of."""

DIGEST_LENGTH = 32
MAX_NAME_LENGTH = 211
_NAME_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-._?="


class StorePath(str):
    """The base name of a store object, `<digest>-<name>`, whichever directory it lies in.

    A string, so that it sorts, hashes and prints at no cost; made only by `parse`, `parse_full`
    and the `make_*` functions, which validate.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, base_name: str) -> Self:
        """Return `base_name` as a store path. :raises FormatError: it is none."""
        digest, name = base_name[:DIGEST_LENGTH], base_name[DIGEST_LENGTH + 1 :]
        is_digest = len(digest) == DIGEST_LENGTH and not digest.strip(ALPHABET)
        if not is_digest or base_name[DIGEST_LENGTH:][:1] != "-" or not _is_name(name):
            raise FormatError(f"{base_name!r} is not a store path")
        return cls(base_name)

    @classmethod
    def parse_full(cls, path: str, store_dir: str = STORE_DIR) -> Self:
        """Return `<store_dir>/<base name>` as a store path; inverse of `full`.

        :raises FormatError: another directory, or something below a store object.
        """
        prefix = store_dir + "/"
        if not path.startswith(prefix):
            raise FormatError(f"{path!r} is not in the store {store_dir}")
        return cls.parse(path[len(prefix) :])

    @property
    def digest(self) -> str:
        """The 32 base-32 digits, what references are recognised by."""
        return self[:DIGEST_LENGTH]

    @property
    def name(self) -> str:
        """The readable part."""
        return self[DIGEST_LENGTH + 1 :]

    def full(self, store_dir: str = STORE_DIR) -> str:
        """Return the path in `store_dir`, which is without a trailing slash."""
        return f"{store_dir}/{self}"


def _is_name(text: str) -> bool:
    """Say whether a store object may be called so, without `re`, which takes 3 ms to load."""
    if not 0 < len(text) <= MAX_NAME_LENGTH or text.strip(_NAME_LETTERS):
        return False
    # Those that begin with `.-` or `..-` are refused, too, as Nix does today (2.8 did not).
    return text.partition("-")[0] not in {".", ".."}


def check_name(name: str) -> str:
    """Return `name` if a store object may be called so. :raises FormatError: it may not."""
    if not _is_name(name):
        raise FormatError(
            f"{name!r} cannot name a store object: 1 to {MAX_NAME_LENGTH} of "
            "A-Z a-z 0-9 + - . _ ? =, the part before the first dash not . or .."
        )
    return name


def make_path(kind: str, inner: str, name: str, store_dir: str = STORE_DIR) -> StorePath:
    """Return the path of the fingerprint `<kind>:sha256:<inner>:<store_dir>:<name>`.

    `inner` is a SHA-256 in base 16.
    """
    check_name(name)
    fingerprint = f"{kind}:sha256:{inner}:{store_dir}:{name}"
    return StorePath(f"{to_nix32(fold(sha256(fingerprint.encode()).digest(), 20))}-{name}")


def make_text(
    name: str, data: bytes, references: Iterable[StorePath] = (), store_dir: str = STORE_DIR
) -> StorePath:
    """Return the path of a text object, such as a `.drv`, with these contents and references."""
    kind = ":".join(["text", *sorted(reference.full(store_dir) for reference in references)])
    return make_path(kind, sha256(data).hexdigest(), name, store_dir)


def make_source(
    name: str,
    nar_sha256: bytes,
    references: Iterable[StorePath] = (),
    *,
    refers_to_itself: bool = False,
    store_dir: str = STORE_DIR,
) -> StorePath:
    """Return the path of a tree that is addressed by the SHA-256 of its NAR.

    With `refers_to_itself` that hash is the one modulo the object's own digest.
    """
    parts = ["source", *sorted(reference.full(store_dir) for reference in references)]
    kind = ":".join([*parts, "self"] if refers_to_itself else parts)
    return make_path(kind, nar_sha256.hex(), name, store_dir)


def make_fixed_output(
    name: str, content: Hash, *, recursive: bool = False, store_dir: str = STORE_DIR
) -> StorePath:
    """Return the path of a fixed output: `content` is of the file, or of the NAR if recursive."""
    if recursive and content.algorithm == "sha256":
        return make_source(name, content.digest, store_dir=store_dir)
    method = "r:" if recursive else ""
    inner = f"fixed:out:{method}{content.algorithm}:{content.base16}:"
    return make_path("output:out", sha256(inner.encode()).hexdigest(), name, store_dir)


def make_output(
    output: str, derivation_hash: str, derivation_name: str, store_dir: str = STORE_DIR
) -> StorePath:
    """Return the path of an output of an ordinary derivation.

    `derivation_hash` is the base-16 hash modulo fixed outputs, own outputs blanked
    (`envtool.formats.nix.derivation`).
    """
    name = derivation_name if output == "out" else f"{derivation_name}-{output}"
    return make_path(f"output:{output}", derivation_hash, name, store_dir)
