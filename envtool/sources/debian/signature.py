"""Verify what Debian's archive signs: `InRelease`, or `Release` with `Release.gpg`.

The OpenPGP is that of Sequoia, by pysequoia (2 ms to import, 5 ms to verify); its interface is
not settled yet, so nothing else here imports it. One good signature by a trusted key is enough, as
for apt: Debian signs with the keys of two suites, so that either will do.

What comes back is the signed text alone: of a file that says more, the rest is gone.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from envtool.errors import FetchError
from envtool.values import value

if TYPE_CHECKING:
    from pysequoia import Cert, Decrypted
    from pysequoia.packet import Packet

__all__ = ["ArchiveError", "Key", "archive_keys", "read_keys", "verify", "verify_detached"]

_HINT = (
    "ask another mirror; if Debian has new keys, update envtool or name a file of keys that you "
    "trust"
)
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_BEGIN = re.compile(rb"\s*-----BEGIN PGP SIGNED MESSAGE-----\r?\n")


class ArchiveError(FetchError):
    """An archive of Debian packages is not what it should be: unsigned, altered, aged, another."""


@value
class Key:
    """A certificate whose signatures count."""

    name: str
    """Its first user id."""
    fingerprints: tuple[str, ...]
    """Hexadecimal in lower case, of the certificate and its subkeys."""
    ends: tuple[int | None, ...]
    """When each of these expires, in seconds since 1970; None: never."""
    data: bytes

    def expired(self, fingerprint: str, now: int) -> int | None:
        """Return when the certificate, or its subkey of this fingerprint, expired; None: neither.

        A subkey lives no longer than its certificate.
        """
        own = self.ends[self.fingerprints.index(fingerprint)]
        past = [end for end in (own, self.ends[0]) if end is not None and end < now]
        return min(past, default=None)


def archive_keys() -> tuple[Key, ...]:
    """Return the keys of Debian's own archive that come with envtool (see `keys/README.md`)."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "keys")
    names = sorted(name for name in os.listdir(folder) if name.endswith(".pgp"))
    return tuple(key for name in names for key in read_keys(os.path.join(folder, name)))


def read_keys(path: str) -> tuple[Key, ...]:
    """Return the keys of a file, armoured or not.

    :raises ArchiveError: it cannot be read, or holds no keys.
    """
    from pysequoia import Cert

    try:
        with open(path, "rb") as file:
            data = file.read()
        certificates = list(Cert.split_bytes(data))
        # To write a certificate takes Sequoia 7 ms, more than all the rest.
        whole = len(certificates) == 1 and not data.startswith(b"-")
        keys = tuple(_key(each, data if whole else bytes(each)) for each in certificates)
    except OSError as error:
        raise ArchiveError(f"the keys {path} cannot be read: {error.strerror}") from error
    except RuntimeError as error:
        raise ArchiveError(f"the keys {path} are not OpenPGP keys: {_first(error)}") from error
    if not keys:
        raise ArchiveError(f"the file of keys {path} holds none")
    return keys


def verify(message: bytes, keys: Sequence[Key], place: str, *, now: int) -> str:
    """Return the text of a clear-signed message, such as InRelease.

    `place` is what an error calls it; `now` is in seconds since 1970.

    :raises ArchiveError: no signature is good.
    """
    from pysequoia import verify as check

    if _BEGIN.match(message) is None:
        raise ArchiveError(f"{place} is not a signed message", hint=_HINT)
    certificates = _certificates(keys)
    found = message[message.find(_SIGNATURE) :]
    try:
        signed = check(message, lambda _: certificates)
    except RuntimeError as error:
        raise _refused(place, found, keys, now, _first(error)) from None
    if not _counts(signed, keys, now):
        raise _refused(place, found, keys, now, "")
    return _text(signed.bytes or b"", place)


def verify_detached(
    message: bytes, signature: bytes, keys: Sequence[Key], place: str, *, now: int
) -> str:
    """Return the text of a message whose signatures stand in another file, such as Release.gpg.

    :raises ArchiveError: no signature is good.
    """
    from pysequoia import Sig
    from pysequoia import verify as check

    certificates = _certificates(keys)
    for packet in _signatures(signature):
        with suppress(RuntimeError):
            one = Sig.from_bytes(bytes(packet))
            if _counts(check(message, lambda _: certificates, signature=one), keys, now):
                return _text(message, place)
    raise _refused(place, signature, keys, now, "it holds no signature")


def _certificates(keys: Sequence[Key]) -> "list[Cert]":
    return [_certificate(key.data) for key in keys]


@lru_cache(64)  # a release is verified thrice, with its updates
def _certificate(data: bytes) -> "Cert":
    from pysequoia import Cert

    return Cert.from_bytes(data)


def _counts(signed: "Decrypted", keys: Sequence[Key], now: int) -> bool:
    """Return whether one of the good signatures is by a key that has not expired since.

    To Sequoia a signature is good for ever if the key was when it was made, as it says itself.
    """
    by = {each.signing_key: each.certificate for each in signed.valid_sigs}
    known = {key.fingerprints[0]: key for key in keys}
    return any(known[by[made]].expired(made, now) is None for made in by)


def _key(certificate: "Cert", data: bytes) -> Key:
    from pysequoia.packet import PacketPile, SignatureType

    own = int(certificate.expiration.timestamp()) if certificate.expiration else None
    ends: dict[str, int | None] = {}
    made, fingerprint = 0.0, ""
    for packet in PacketPile.from_bytes(data):
        if packet.fingerprint and packet.key_created:
            made, fingerprint = packet.key_created.timestamp(), packet.fingerprint
            ends[fingerprint] = None if ends else own
        elif packet.signature_type == SignatureType.SubkeyBinding and packet.key_validity_period:
            ends[fingerprint] = int(made + packet.key_validity_period.total_seconds())
    name = str(next(iter(certificate.user_ids), "a key without a name"))
    return Key(name, tuple(ends), tuple(ends.values()), data)


def _signatures(data: bytes) -> "list[Packet]":
    """Return the signatures of an armoured or binary block; none if it is neither."""
    from pysequoia.packet import PacketPile, Tag

    try:
        return [packet for packet in PacketPile.from_bytes(data) if packet.tag == Tag.Signature]
    except RuntimeError:
        return []


def _refused(
    place: str, signature: bytes, keys: Sequence[Key], now: int, otherwise: str
) -> ArchiveError:
    """Return what to say of a message that has no good signature."""
    packets = _signatures(signature)
    if not packets:
        return ArchiveError(f"{place} has no signature that can be read: {otherwise}")
    known = {fingerprint: key for key in keys for fingerprint in key.fingerprints}
    reasons = "; ".join(dict.fromkeys(_reason(packet, known, now) for packet in packets))
    return ArchiveError(f"{place} has no good signature: {reasons}", hint=_HINT)


def _reason(packet: "Packet", known: dict[str, Key], now: int) -> str:
    from pysequoia.packet import HashAlgorithm

    issuer = packet.issuer_fingerprint or packet.issuer_key_id or "nobody"
    key = known.get(issuer)
    if key is None:
        return f"{issuer.upper()} is no key that is trusted"
    expired = key.expired(issuer, now)
    if expired is not None:
        return f"{key.name} expired on {_day(expired)}"
    until = packet.signature_expiration_time
    if until is not None and until.timestamp() < now:
        return f"the signature by {key.name} expired on {_day(int(until.timestamp()))}"
    if packet.hash_algorithm in (HashAlgorithm.MD5, HashAlgorithm.SHA1):  # not hashable itself
        return f"the signature by {key.name} is of a hash that is no longer safe"
    return f"the signature by {key.name} does not fit what it signs"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _text(data: bytes, place: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{place} is not UTF-8") from error


def _first(error: RuntimeError) -> str:
    """Return the first line; a back trace of the library's own follows it."""
    return str(error).partition("\n")[0].rstrip(".")
