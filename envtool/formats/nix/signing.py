"""Signatures of store paths: ed25519 keys and signatures in Nix's spelling, `name:base64`.

A public key is 32 bytes, a signature 64, a secret key 64: its seed, then its public half (as
libsodium and hence Nix keep it). What is signed is a path's fingerprint
(`envtool.formats.nix.narinfo`). Errors never quote a key: what was given for one may be a secret.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Self

from envtool.errors import FormatError
from envtool.values import value

PUBLIC_SIZE = 32
SEED_SIZE = 32
SECRET_SIZE = SEED_SIZE + PUBLIC_SIZE
SIGNATURE_SIZE = 64
_NAME = re.compile(r"[^\s:\x00-\x1f\x7f]+")


@value
class PublicKey:
    """What signatures are judged by; who lists it trusts its owner."""

    name: str
    data: bytes

    @classmethod
    def parse(cls, text: str, *, place: str = "public key") -> Self:
        """Return the key that `name:base64` spells; inverse of `str`.

        :raises FormatError: it spells none; `place` is how the message calls it.
        """
        name, data = _parse(text, place)
        if len(data) == SECRET_SIZE:
            raise FormatError(f"{place} is a secret key; give its public one and keep it secret")
        _check_size(data, PUBLIC_SIZE, place)
        return cls(name, data)

    def __str__(self) -> str:
        return _spell(self.name, self.data)

    def holds(self, message: str, signature: bytes) -> bool:
        """Return whether the 64 bytes are this key's signature of the message."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.data).verify(signature, message.encode())
        except InvalidSignature:
            return False
        return True


@value
class SecretKey:
    """What signatures are made with. `spelled` gives it away; `repr` and `str` do not."""

    name: str
    data: bytes
    """The seed, then the public half."""

    @classmethod
    def generate(cls, name: str) -> Self:
        """Return a new key. :raises FormatError: no key can be called so.

        The name says whose and which key it is, such as `cache.example.org-1`.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not _NAME.fullmatch(name):
            raise FormatError(f"{name!r} cannot name a key: it needs to be without blanks or colon")
        return cls._of_seed(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str, *, place: str = "secret key") -> Self:
        """Return the key that `name:base64` spells; inverse of `spelled`.

        :raises FormatError: it spells none, or its two halves do not belong together.
        """
        name, data = _parse(text, place)
        if len(data) == PUBLIC_SIZE:
            raise FormatError(f"{place} is a public key, which cannot sign")
        _check_size(data, SECRET_SIZE, place)
        key = cls._of_seed(name, data[:SEED_SIZE])
        if key.data != data:
            raise FormatError(f"{place} is damaged: its halves do not belong together")
        return key

    @classmethod
    def _of_seed(cls, name: str, seed: bytes) -> Self:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return cls(name, seed + public)

    def __repr__(self) -> str:
        return f"<secret key {self.name}>"

    def spelled(self) -> str:
        """Return `name:base64`, to be kept in a file that only its owner can read."""
        return _spell(self.name, self.data)

    @property
    def public(self) -> PublicKey:
        """What others need to judge this key's signatures."""
        return PublicKey(self.name, self.data[SEED_SIZE:])

    def sign(self, message: str) -> str:
        """Return the signature of a message, such as a fingerprint, as `name:base64`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.from_private_bytes(self.data[:SEED_SIZE])
        return _spell(self.name, key.sign(message.encode()))


def signers(
    message: str, signatures: Iterable[str], trusted: Iterable[PublicKey]
) -> frozenset[PublicKey]:
    """Return the trusted keys of which a signature of the message is among `signatures`.

    A signature that is malformed, or of a key that is not trusted, counts for nothing. Several
    keys may have one name, as while a key is replaced.
    """
    keys: dict[str, list[PublicKey]] = {}
    for key in trusted:
        keys.setdefault(key.name, []).append(key)
    found = set[PublicKey]()
    for text in signatures:
        name, _, digits = text.partition(":")
        if name in keys and len(signature := _decode(digits) or b"") == SIGNATURE_SIZE:
            found.update(key for key in keys[name] if key.holds(message, signature))
    return frozenset(found)


def _spell(name: str, data: bytes) -> str:
    return f"{name}:{b64encode(data).decode()}"


def _parse(text: str, place: str) -> tuple[str, bytes]:
    name, colon, digits = text.strip().partition(":")
    data = _decode(digits)
    if not colon or data is None or not _NAME.fullmatch(name):
        raise FormatError(f"{place} is not spelled NAME:BASE64")
    return name, data


def _decode(digits: str) -> bytes | None:
    try:
        return b64decode(digits, validate=True)
    except ValueError:
        return None


def _check_size(data: bytes, size: int, place: str) -> None:
    if len(data) != size:
        raise FormatError(f"{place} has {len(data)} bytes; an ed25519 key of its kind has {size}")
