"""The reference scanner: whatever the stream's pieces, the same references."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.formats.nix.hashing import ALPHABET
from envtool.formats.nix.references import ReferenceScanner
from envtool.formats.nix.storepath import StorePath, make_text

CANDIDATES = [make_text(name, b"") for name in ("glibc", "zlib", "python")]
GLIBC, ZLIB, PYTHON = CANDIDATES


def scan(*pieces: bytes, candidates: list[StorePath] = CANDIDATES) -> frozenset[StorePath]:
    scanner = ReferenceScanner(candidates)
    for piece in pieces:
        scanner(piece)
    return scanner.found


def test_only_the_digest_counts() -> None:
    assert scan(b"/elsewhere/" + GLIBC.digest.encode() + b"-another-name") == {GLIBC}
    assert scan(GLIBC.name.encode()) == frozenset()
    assert scan(GLIBC.digest.encode()[:-1]) == frozenset()
    assert scan(GLIBC.digest.upper().encode()) == frozenset()


def test_without_candidates_nothing_is_found() -> None:
    assert scan(GLIBC.full().encode(), candidates=[]) == frozenset()


def test_digest_inside_a_longer_run_of_digits_is_found() -> None:
    assert scan(b"0123456789abc" + ZLIB.digest.encode() + b"xyz") == {ZLIB}
    assert scan((GLIBC.digest + PYTHON.digest).encode()) == {GLIBC, PYTHON}


def test_overlapping_digests_are_all_found() -> None:
    text = GLIBC.digest + ZLIB.digest
    shifted = [StorePath.parse(f"{text[start : start + 32]}-shifted") for start in range(33)]
    assert scan(text.encode(), candidates=shifted) == frozenset(shifted)


@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 64])
def test_pieces_of_any_one_size_give_the_same_answer(size: int) -> None:
    stream = b"\0" * 40 + GLIBC.full().encode() + b"\n" + ZLIB.digest.encode() + b"\xff" * 7
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert scan(*pieces) == {GLIBC, ZLIB}


def test_every_split_in_two_gives_the_same_answer() -> None:
    stream = GLIBC.digest.encode() + b"/" + PYTHON.digest.encode()
    for split in range(len(stream) + 1):
        assert scan(stream[:split], stream[split:]) == {GLIBC, PYTHON}


def test_digest_torn_apart_by_another_byte_is_not_found() -> None:
    digest = GLIBC.digest.encode()
    for split in range(1, len(digest)):
        assert scan(digest[:split], b"-", digest[split:]) == frozenset()


fragments = st.one_of(
    st.sampled_from([path.digest.encode() for path in CANDIDATES]),
    st.text(ALPHABET, max_size=40).map(str.encode),
    st.binary(max_size=10),
)


@given(st.lists(fragments, max_size=8), st.randoms(use_true_random=False))
def test_random_streams_agree_with_a_plain_search(
    parts: list[bytes], randomness: random.Random
) -> None:
    stream = b"".join(parts)
    expected = {path for path in CANDIDATES if path.digest.encode() in stream}
    cuts = sorted(randomness.choices(range(len(stream) + 1), k=5))
    starts, ends = [0, *cuts], [*cuts, len(stream)]
    assert scan(*(stream[start:end] for start, end in zip(starts, ends, strict=True))) == expected
