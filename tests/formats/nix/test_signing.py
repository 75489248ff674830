"""Keys and signatures: what Nix 2.8.0 made of a known seed, and keys that are none."""

import traceback
from base64 import b64encode
from pathlib import Path

import pytest

from envtool.errors import FormatError
from envtool.formats.nix.narinfo import parse
from envtool.formats.nix.signing import PublicKey, SecretKey, signers

VECTORS = Path(__file__).parent / "vectors"
SECRET = SecretKey.parse((VECTORS / "key.sec").read_text())
PUBLIC = PublicKey.parse((VECTORS / "key.pub").read_text())
NARINFOS = sorted(VECTORS.glob("cache-*/*.narinfo"))
DIGITS = b64encode(SECRET.data).decode()


def spelled(data: bytes) -> str:
    return f"key-1:{b64encode(data).decode()}"


def test_public_key_is_the_one_nix_derived() -> None:
    assert SECRET.public == PUBLIC
    assert str(PUBLIC) == "test-1:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


def test_secret_key_is_seed_and_public_half() -> None:
    assert SECRET.data == bytes(range(32)) + PUBLIC.data


@pytest.mark.parametrize("file", NARINFOS, ids=lambda file: f"{file.parent.name}-{file.name[:4]}")
def test_our_signature_is_the_one_nix_wrote(file: Path) -> None:
    info = parse(file.read_bytes(), store_dir="/nix/store")
    assert (SECRET.sign(info.fingerprint("/nix/store")),) == info.signatures


@pytest.mark.parametrize("file", NARINFOS, ids=lambda file: f"{file.parent.name}-{file.name[:4]}")
def test_signature_of_nix_holds_for_what_it_signed_and_nothing_else(file: Path) -> None:
    info = parse(file.read_bytes(), store_dir="/nix/store")
    message = info.fingerprint("/nix/store")
    assert signers(message, info.signatures, [PUBLIC]) == {PUBLIC}
    assert signers(message + " ", info.signatures, [PUBLIC]) == frozenset()
    assert signers(info.fingerprint(), info.signatures, [PUBLIC]) == frozenset()


def test_keys_are_spelled_and_read_back() -> None:
    key = SecretKey.generate("cache.example.org-1")
    assert SecretKey.parse(f"{key.spelled()}\n") == key
    assert PublicKey.parse(f"{key.public}\n") == key.public
    assert PublicKey.parse(str(key.public)).name == "cache.example.org-1"


def test_generated_keys_differ() -> None:
    assert SecretKey.generate("a-1") != SecretKey.generate("a-1")


def test_only_trusted_keys_count() -> None:
    key, stranger = SecretKey.generate("a-1"), SecretKey.generate("b-1")
    signatures = [key.sign("text"), stranger.sign("text")]
    assert signers("text", signatures, [key.public]) == {key.public}
    assert signers("text", signatures, []) == frozenset()
    assert signers("text", [], [key.public]) == frozenset()


def test_stranger_under_a_trusted_name_is_found_out() -> None:
    key, thief = SecretKey.generate("a-1"), SecretKey.generate("a-1")
    assert signers("text", [thief.sign("text")], [key.public]) == frozenset()


def test_keys_may_share_a_name_while_one_is_replaced() -> None:
    old, new = SecretKey.generate("a-1"), SecretKey.generate("a-1")
    trusted = [old.public, new.public]
    assert signers("text", [new.sign("text")], trusted) == {new.public}
    assert signers("text", [old.sign("text"), new.sign("text")], trusted) == set(trusted)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "test-1",
        "test-1:",
        "test-1:*",
        "test-1:é",
        "test-1:AAAA",
        f"test-1:{b64encode(bytes(63)).decode()}",
        f"test-1:{b64encode(bytes(64)).decode()}",
        f"test-1:{b64encode(bytes(65)).decode()}",
    ],
)
def test_malformed_signature_counts_for_nothing_and_hides_no_other(signature: str) -> None:
    assert signers("text", [signature], [PUBLIC]) == frozenset()
    assert signers("text", [signature, SECRET.sign("text")], [PUBLIC]) == {PUBLIC}


def test_signature_with_any_bit_turned_does_not_hold() -> None:
    name, _, digits = SECRET.sign("text").partition(":")
    for position in range(len(digits) - 3):
        changed = "A" if digits[position] != "A" else "B"
        text = f"{name}:{digits[:position]}{changed}{digits[position + 1 :]}"
        assert signers("text", [text], [PUBLIC]) == frozenset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not spelled NAME:BASE64"),
        (DIGITS, "is not spelled NAME:BASE64"),
        (f":{DIGITS}", "is not spelled NAME:BASE64"),
        (f"my key:{DIGITS}", "is not spelled NAME:BASE64"),
        (f"a:b:{DIGITS}", "is not spelled NAME:BASE64"),
        (f"key-1:{DIGITS[:-1]}", "is not spelled NAME:BASE64"),
        (f"key-1:{DIGITS[:20]}\n{DIGITS[20:]}", "is not spelled NAME:BASE64"),
        (f"key-1:{DIGITS[:-4]}é===", "is not spelled NAME:BASE64"),
        ("key-1:", "has 0 bytes"),
        (spelled(SECRET.data[:-1]), "has 63 bytes; an ed25519 key of its kind has 64"),
        (spelled(SECRET.data + b"x"), "has 65 bytes"),
        (spelled(PUBLIC.data), "is a public key, which cannot sign"),
        (spelled(bytes(32) + PUBLIC.data), "its halves do not belong together"),
    ],
)
def test_bad_secret_key_is_refused_without_being_quoted(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        SecretKey.parse(text, place="signing.key")
    shown = "".join(traceback.format_exception(caught.value))
    assert caught.value.message.startswith("signing.key ")
    assert not any(DIGITS[start : start + 8] in shown for start in range(len(DIGITS) - 8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not spelled NAME:BASE64"),
        ("key-1", "is not spelled NAME:BASE64"),
        ("key-1:*", "is not spelled NAME:BASE64"),
        (spelled(PUBLIC.data[:-1]), "has 31 bytes; an ed25519 key of its kind has 32"),
        (spelled(SECRET.data), "is a secret key; give its public one"),
    ],
)
def test_bad_public_key_is_refused_without_being_quoted(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        PublicKey.parse(text, place="trusted-keys, line 3")
    assert caught.value.message.startswith("trusted-keys, line 3 ")
    assert DIGITS[:8] not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n", "\x00"])
def test_name_that_no_key_can_have_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="cannot name a key"):
        SecretKey.generate(name)


def test_secret_is_not_shown_by_accident() -> None:
    shown = f"{SECRET!r} {SECRET} {[SECRET]}"
    assert shown == "<secret key test-1> <secret key test-1> [<secret key test-1>]"
