"""Hashes and their spellings: base16, nix-base32, base64 and SRI.

Nix's base 32 reads the digest as one little-endian number and writes it most significant
digit first, in an alphabet without e, o, t and u; there is no padding (Nix manual, "Store
Path Specification"; Nix's `base-nix-32.cc`).
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

from envtool.errors import FormatError
from envtool.formats.digest import LITTLE, sha256
from envtool.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"
DIGEST_SIZES = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
"""Bytes of each algorithm that Nix's formats know."""

_TO_NIX = str.maketrans("0123456789abcdefghijklmnopqrstuv", ALPHABET)
_FROM_NIX = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_BASE16 = "0123456789abcdefABCDEF"


def nix32_length(size: int) -> int:
    """Return how many digits `size` bytes take: 32 for 20 bytes, 52 for 32."""
    return (size * 8 + 4) // 5


def to_nix32(digest: bytes) -> str:
    """Return the digest in Nix's base 32; inverse of `from_nix32`."""
    number = int.from_bytes(digest, "little")
    length = nix32_length(len(digest))
    return "".join([ALPHABET[(number >> shift) & 31] for shift in range(5 * length - 5, -5, -5)])


def from_nix32(text: str, size: int) -> bytes:
    """Return the `size` bytes that `text` spells; inverse of `to_nix32`.

    :raises FormatError: wrong length, a character outside the alphabet, or spare bits set.
    """
    if len(text) != nix32_length(size) or text.strip(ALPHABET):
        raise FormatError(f"{text!r} is not a nix-base32 digest of {size} bytes")
    number = int(text.translate(_FROM_NIX) or "0", 32)
    if number >> (size * 8):
        raise FormatError(f"{text!r} has bits beyond its {size} bytes")
    return number.to_bytes(size, "little")


def fold(digest: bytes, size: int) -> bytes:
    """Return the digest folded to `size` bytes: byte i is XORed into position i mod size."""
    folded = bytearray(size)
    for position, byte in enumerate(digest):
        folded[position % size] ^= byte
    return bytes(folded)


@value
class Hash:
    """A digest that knows its algorithm; `of` and `parse` make valid ones."""

    algorithm: str
    """A key of `DIGEST_SIZES`."""
    digest: bytes

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """Return the hash of `data`."""
        if algorithm == "sha256" and len(data) < LITTLE:
            return cls(algorithm, sha256(data).digest())
        import hashlib

        return cls(algorithm, hashlib.new(algorithm, data, usedforsecurity=False).digest())

    @classmethod
    def parse(cls, text: str, algorithm: str | None = None) -> Self:
        """Return the hash that `text` spells.

        Accepted are `algo:digits`, SRI `algo-base64`, and bare digits when `algorithm` is given;
        base16, nix-base32 and base64 are told apart by their length alone, as Nix does. One
        digest has one spelling in each, but for the case of base16.

        :raises FormatError: anything else, or another algorithm than the one given.
        """
        named, separator, rest = text.partition(":")
        sri, dash, sri_rest = text.partition("-")
        if separator and named in DIGEST_SIZES:
            return cls(_agreed(named, algorithm, text), _decode(rest, named))
        if dash and sri in DIGEST_SIZES:
            return cls(_agreed(sri, algorithm, text), _decode_base64(sri_rest, sri))
        if algorithm is None:
            raise FormatError(
                f"hash {text!r} does not begin with an algorithm ({', '.join(DIGEST_SIZES)}); "
                "write sha256:… or sha256-…"
            )
        if algorithm not in DIGEST_SIZES:
            raise FormatError(f"unknown hash algorithm {algorithm!r}")
        return cls(algorithm, _decode(text, algorithm))

    @property
    def base16(self) -> str:
        """The digest in lower-case hexadecimal, without the algorithm."""
        return self.digest.hex()

    @property
    def nix32(self) -> str:
        """The digest in Nix's base 32, without the algorithm."""
        return to_nix32(self.digest)

    @property
    def base64(self) -> str:
        """The digest in padded base 64, without the algorithm."""
        return b2a_base64(self.digest, newline=False).decode()

    @property
    def sri(self) -> str:
        """The W3C Subresource Integrity form, `sha256-<base64>`."""
        return f"{self.algorithm}-{self.base64}"

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.nix32}"


def _agreed(named: str, expected: str | None, text: str) -> str:
    if expected is not None and named != expected:
        raise FormatError(f"hash {text!r} is not {expected}")
    return named


def _decode(digits: str, algorithm: str) -> bytes:
    size = DIGEST_SIZES[algorithm]
    if len(digits) == size * 2 and not digits.strip(_BASE16):
        return bytes.fromhex(digits)
    if len(digits) == nix32_length(size):
        return from_nix32(digits, size)
    return _decode_base64(digits, algorithm)


def _decode_base64(digits: str, algorithm: str) -> bytes:
    try:
        digest = a2b_base64(digits, strict_mode=True)
    except ValueError:
        digest = b""
    # Encoding it again refuses spare bits that are set: Python's decoder drops them.
    if (
        len(digest) != DIGEST_SIZES[algorithm]
        or b2a_base64(digest, newline=False).decode() != digits
    ):
        raise FormatError(f"{digits!r} is not a {algorithm} digest in any known spelling")
    return digest
