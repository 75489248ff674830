"""Verify what Debian's archive signs: `InRelease`, or `Release` with `Release.gpg`.

The OpenPGP is that of Sequoia, by pysequoia (2 ms to import, 5 ms to verify); its interface is
not settled yet, so nothing else here imports it. One good signature by a trusted key is enough, as
for apt: Debian signs with the keys of two suites, so that either will do.

What comes back is the signed text alone: of a file that says more, the rest is gone.
"""

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from envtool.errors import FetchError
from envtool.values import value

if TYPE_CHECKING:
    from pysequoia import Cert
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
    expires: int | None
    """Seconds since 1970; None: never."""
    data: bytes


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
            keys = tuple(map(_key, Cert.split_bytes(file.read())))
    except OSError as error:
        raise ArchiveError(f"the keys {path} cannot be read: {error.strerror}") from error
    except RuntimeError as error:
        raise ArchiveError(f"the keys {path} are not OpenPGP keys: {_first(error)}") from error
    if not keys:
        raise ArchiveError(f"the file of keys {path} holds none")
    return keys


def verify(message: bytes, keys: Sequence[Key], place: str, *, now: int) -> str:
    """Return the text of a clear-signed message, such as InRelease.

    `place` is what an error calls it. `now`, in seconds since 1970, only serves to explain a
    failure; the clock that counts is the machine's.

    :raises ArchiveError: no signature is good.
    """
    from pysequoia import verify as check

    if _BEGIN.match(message) is None:
        raise ArchiveError(f"{place} is not a signed message", hint=_HINT)
    certificates = _certificates(keys)
    try:
        signed = check(message, lambda _: certificates).bytes
    except RuntimeError as error:
        found = message[message.find(_SIGNATURE) :]
        raise _refused(place, found, keys, now, error) from error
    return _text(signed or b"", place)


def verify_detached(
    message: bytes, signature: bytes, keys: Sequence[Key], place: str, *, now: int
) -> str:
    """Return the text of a message whose signatures stand in another file, such as Release.gpg.

    :raises ArchiveError: no signature is good.
    """
    from pysequoia import Sig
    from pysequoia import verify as check

    certificates = _certificates(keys)
    last = RuntimeError("it holds no signature")
    for packet in _signatures(signature):
        try:
            check(message, lambda _: certificates, signature=Sig.from_bytes(bytes(packet)))
        except RuntimeError as error:
            last = error
        else:
            return _text(message, place)
    raise _refused(place, signature, keys, now, last) from last


def _certificates(keys: Sequence[Key]) -> "list[Cert]":
    from pysequoia import Cert

    return [Cert.from_bytes(key.data) for key in keys]


def _key(certificate: "Cert") -> Key:
    from pysequoia.packet import PacketPile

    data = bytes(certificate)
    packets: list[Packet] = list(PacketPile.from_bytes(data))
    return Key(
        name=str(next(iter(certificate.user_ids), "a key without a name")),
        fingerprints=tuple(each.fingerprint for each in packets if each.fingerprint),
        expires=int(certificate.expiration.timestamp()) if certificate.expiration else None,
        data=data,
    )


def _signatures(data: bytes) -> "list[Packet]":
    """Return the signatures of an armoured or binary block; none if it is neither."""
    from pysequoia.packet import PacketPile, Tag

    try:
        return [packet for packet in PacketPile.from_bytes(data) if packet.tag == Tag.Signature]
    except RuntimeError:
        return []


def _refused(
    place: str, signature: bytes, keys: Sequence[Key], now: int, error: RuntimeError
) -> ArchiveError:
    """Return what to say of a message that has no good signature."""
    packets = _signatures(signature)
    if not packets:
        return ArchiveError(f"{place} has no signature that can be read: {_first(error)}")
    known = {fingerprint: key for key in keys for fingerprint in key.fingerprints}
    reasons = "; ".join(dict.fromkeys(_reason(packet, known, now) for packet in packets))
    return ArchiveError(f"{place} has no good signature: {reasons}", hint=_HINT)


def _reason(packet: "Packet", known: dict[str, Key], now: int) -> str:
    issuer = packet.issuer_fingerprint or packet.issuer_key_id or "nobody"
    key = known.get(issuer)
    if key is None:
        return f"{issuer.upper()} is no key that is trusted"
    if key.expires is not None and key.expires < now:
        return f"{key.name} expired on {_day(key.expires)}"
    until = packet.signature_expiration_time
    if until is not None and until.timestamp() < now:
        return f"the signature by {key.name} expired on {_day(int(until.timestamp()))}"
    return f"that by {key.name} does not fit what it signs"


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
