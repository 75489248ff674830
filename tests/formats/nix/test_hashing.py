"""Hashes: the vectors of Nix 2.8.0, and every spelling there and back."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import FormatError
from envtool.formats.nix.hashing import DIGEST_SIZES, Hash, fold, from_nix32, nix32_length, to_nix32

HELLO = hashlib.sha256(b"hello\n").hexdigest()
HELLO_NIX32 = "00xyyr3fi8l6hb839bv3f7yb86yjv7xi1cgh1xnhipym4asvb4aq"
HELLO_BASE64 = "WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="
hashes = st.sampled_from(sorted(DIGEST_SIZES)).flatmap(
    lambda algorithm: st.binary(
        min_size=DIGEST_SIZES[algorithm], max_size=DIGEST_SIZES[algorithm]
    ).map(lambda digest: Hash(algorithm, digest))
)


@pytest.mark.parametrize(
    ("algorithm", "nix32"),
    [
        ("sha256", "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"),
        ("sha1", "143xibwh31h9bvxzalr0sjvbbvpa6ffs"),
        ("md5", "3y8bwfr609h3lh9ch0izcqq7fl"),
        (
            "sha512",
            "0zdl9zrg8r3i9c1g90lgg9ip5ijzv3yhz91i0zzn3r8ap9ws784gkp9dk9j3aglhgf1amqb0pj21mh7h1nxcl18akqvvf7ggqsy30yg",
        ),
    ],
)
def test_hash_of_nothing_in_nix_base_32(algorithm: str, nix32: str) -> None:
    assert Hash.of(b"", algorithm).nix32 == nix32


@pytest.mark.parametrize(
    ("base16", "nix32"),
    [
        ("ff" + "00" * 31, "0" * 50 + "7z"),
        ("00" * 31 + "01", "0080" + "0" * 48),
        ("ff" * 32, "1" + "z" * 51),
        ("800d59cfcd3c05e900cb4e214be48f6b886a08df", "vw46m23bizj4n8afrc0fj19wrp7mj3c0"),
        ("", ""),
    ],
)
def test_nix_base_32_is_little_endian_with_the_last_digit_first(base16: str, nix32: str) -> None:
    assert to_nix32(bytes.fromhex(base16)) == nix32
    assert from_nix32(nix32, len(base16) // 2).hex() == base16


def test_fold_xors_instead_of_truncating() -> None:
    folded = fold(bytes.fromhex(HELLO), 20)
    assert folded.hex() == "3b3e8165a0537de02bf94eb210fbd9d21bb4fc71"
    assert to_nix32(folded) == "f7yb86yjv7xi1cjfz4my0zakl1jq2giv"


@pytest.mark.parametrize(
    "spelling",
    [
        HELLO,
        HELLO.upper(),
        HELLO_NIX32,
        HELLO_BASE64,
        f"sha256:{HELLO}",
        f"sha256:{HELLO_NIX32}",
        f"sha256:{HELLO_BASE64}",
        f"sha256-{HELLO_BASE64}",
    ],
)
def test_spellings_are_told_apart_by_their_length(spelling: str) -> None:
    assert Hash.parse(spelling, "sha256") == Hash.of(b"hello\n")


@given(hashes)
def test_every_spelling_parses_back(value: Hash) -> None:
    assert Hash.parse(str(value)) == Hash.parse(value.sri) == value
    for spelling in (value.base16, value.nix32, value.base64):
        assert Hash.parse(spelling, value.algorithm) == value
        assert Hash.parse(f"{value.algorithm}:{spelling}") == value


@given(st.binary(max_size=70))
def test_nix_base_32_round_trip(digest: bytes) -> None:
    text = to_nix32(digest)
    assert len(text) == nix32_length(len(digest))
    assert from_nix32(text, len(digest)) == digest


@pytest.mark.parametrize(
    "text",
    [
        HELLO_NIX32[1:],
        HELLO_NIX32 + "0",
        "2" + HELLO_NIX32[1:],  # a bit beyond the 256
        "e" + HELLO_NIX32[1:],
        HELLO_NIX32[:-1] + "\n",
        HELLO_NIX32.upper(),
        HELLO_NIX32[:-1] + "\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_bad_nix_base_32_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        from_nix32(text, 32)


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [
        ("", None),
        (HELLO, None),
        (HELLO, "sha3"),
        (HELLO, "sha1"),
        ("sha256:", None),
        ("sha256-", None),
        (f"sha3:{HELLO}", None),
        (f"sha256:{HELLO}", "sha512"),
        (f"sha256-{HELLO}", None),
        (f"sha256:{HELLO[:-1]}g", None),
        (f"sha256:{HELLO}\n", None),
        (f"sha256-{HELLO_BASE64[:-1]}", None),
        (f"sha256-{HELLO_BASE64[:-2]}N=", None),  # the same digest but for spare bits
        (f"sha256-{HELLO_BASE64[:10]}\n{HELLO_BASE64[11:]}", None),
        ("sha256-é", None),
    ],
)
def test_bad_hash_is_refused(text: str, algorithm: str | None) -> None:
    with pytest.raises(FormatError):
        Hash.parse(text, algorithm)


@given(st.text(), st.sampled_from([None, "", *DIGEST_SIZES]))
def test_any_text_is_a_hash_or_a_format_error(text: str, algorithm: str | None) -> None:
    try:
        value = Hash.parse(text, algorithm)
    except FormatError:
        return
    assert len(value.digest) == DIGEST_SIZES[value.algorithm]
