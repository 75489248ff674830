"""Whose signatures count. What GnuPG signed lies in `vectors`, the rest is signed here."""

from pathlib import Path

import pytest
from pysequoia import SignatureMode, Tsk, sign

from envtool.sources.debian.signature import (
    ArchiveError,
    Key,
    archive_keys,
    read_keys,
    verify,
    verify_detached,
)

VECTORS = Path(__file__).parent / "vectors"
NOW = 1_800_000_000
TEXT = b"Suite: stable\nCodename: tested\n"


def vector(name: str) -> str:
    keys = read_keys(str(VECTORS / "expired-key.pgp")) + read_keys(str(VECTORS / "lasting-key.asc"))
    return verify((VECTORS / name).read_bytes(), keys, "InRelease", now=NOW)


@pytest.fixture(scope="module")
def secret() -> Tsk:
    return Tsk.generate("Archive of Tests <test@example.org>")


@pytest.fixture(scope="module")
def keys(secret: Tsk, tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, ...]:
    path = tmp_path_factory.mktemp("keys") / "key.pgp"
    path.write_bytes(bytes(secret.extract_certificate()))
    return read_keys(str(path))


def test_what_gnupg_signed_is_good() -> None:
    assert vector("lasting.InRelease").startswith("Origin: Test\nSuite: stable\n")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("expired-key.InRelease", "Expired Key .* expired on 2020-12-31"),
        ("expired-signature.InRelease", "signature by Lasting Key .* expired on 2020-01-12"),
        ("sha1.InRelease", "signature by Lasting Key .* a hash that is no longer safe"),
    ],
)
def test_what_does_not_count_any_more_is_refused(name: str, told: str) -> None:
    with pytest.raises(ArchiveError, match=told) as caught:
        vector(name)
    assert "mirror" in str(caught.value.hint)


def test_a_key_counts_until_it_expires() -> None:
    keys = read_keys(str(VECTORS / "expired-key.pgp"))
    message = (VECTORS / "expired-key.InRelease").read_bytes()
    day = 86400
    before, after = keys[0].ends[0] or 0, (keys[0].ends[0] or 0) + day
    assert verify(message, keys, "InRelease", now=before - day).startswith("Origin: Test\n")
    with pytest.raises(ArchiveError, match="expired"):
        verify(message, keys, "InRelease", now=after)


def test_only_the_signed_text_comes_back(secret: Tsk, keys: tuple[Key, ...]) -> None:
    message = sign(secret.signer(), TEXT, mode=SignatureMode.CLEAR)
    found = verify(message + b"\nSuite: evil\n", keys, "InRelease", now=NOW)
    assert found.rstrip("\n") == TEXT.decode().rstrip("\n")


def test_a_text_before_the_message_is_refused(secret: Tsk, keys: tuple[Key, ...]) -> None:
    message = sign(secret.signer(), TEXT, mode=SignatureMode.CLEAR)
    with pytest.raises(ArchiveError, match="InRelease is not a signed message"):
        verify(b"Suite: evil\n\n" + message, keys, "InRelease", now=NOW)


def test_an_altered_text_is_refused(secret: Tsk, keys: tuple[Key, ...]) -> None:
    message = sign(secret.signer(), TEXT, mode=SignatureMode.CLEAR)
    with pytest.raises(ArchiveError, match=r"Archive of Tests .* does not fit what it signs"):
        verify(message.replace(b"tested", b"twisted"), keys, "InRelease", now=NOW)


def test_a_key_that_is_not_trusted_is_named(secret: Tsk) -> None:
    message = sign(secret.signer(), TEXT, mode=SignatureMode.CLEAR)
    with pytest.raises(ArchiveError, match=r"[0-9A-F]{40} is no key that is trusted"):
        verify(message, archive_keys(), "InRelease", now=NOW)


@pytest.mark.parametrize("cut", [60, 120, 300])
def test_a_message_that_breaks_off_is_refused(secret: Tsk, keys: tuple[Key, ...], cut: int) -> None:
    message = sign(secret.signer(), TEXT, mode=SignatureMode.CLEAR)
    with pytest.raises(ArchiveError, match=r"InRelease has no (good )?signature"):
        verify(message[:cut], keys, "InRelease", now=NOW)


def test_one_good_signature_of_a_file_of_several_is_enough(
    secret: Tsk, keys: tuple[Key, ...]
) -> None:
    stranger = Tsk.generate("Stranger <stranger@example.org>")
    signatures = b"".join(
        sign(each.signer(), TEXT, mode=SignatureMode.DETACHED, armor=False)
        for each in (stranger, secret)
    )
    assert verify_detached(TEXT, signatures, keys, "Release", now=NOW) == TEXT.decode()
    with pytest.raises(ArchiveError, match="does not fit what it signs"):
        verify_detached(TEXT + b"\n", signatures, keys, "Release", now=NOW)


@pytest.mark.parametrize("signature", [b"", b"nonsense", b"\x88\x00"])
def test_a_file_of_signatures_without_one_is_refused(
    signature: bytes, keys: tuple[Key, ...]
) -> None:
    with pytest.raises(ArchiveError, match=r"Release has no (good )?signature"):
        verify_detached(TEXT, signature, keys, "Release", now=NOW)


def test_debians_keys_are_of_current_suites_and_none_has_expired() -> None:
    keys = archive_keys()
    names = " ".join(key.name for key in keys)
    assert all(suite in names for suite in ("12/bookworm", "13/trixie"))
    assert min(end for key in keys for end in key.ends if end is not None) > NOW


def test_a_file_that_holds_no_keys_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    with pytest.raises(ArchiveError, match="cannot be read: No such file"):
        read_keys(str(path))
    path.write_bytes(b"not a key")
    with pytest.raises(ArchiveError, match=r"keys .* (are not OpenPGP|holds none)"):
        read_keys(str(path))
