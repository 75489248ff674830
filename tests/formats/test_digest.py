"""SHA-256 of little is the SHA-256 of `hashlib`."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.formats.digest import LITTLE, sha256
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.nar import HashingSink


@given(st.lists(st.binary(max_size=200)))
def test_digests_are_those_of_hashlib(pieces: list[bytes]) -> None:
    ours, theirs = sha256(), hashlib.sha256()
    for piece in pieces:
        ours.update(piece)
        theirs.update(piece)
    assert ours.hexdigest() == theirs.hexdigest()
    assert ours.digest() == theirs.digest()


@pytest.mark.parametrize("size", [0, 1, LITTLE - 1, LITTLE, LITTLE + 1, 3 * LITTLE])
def test_little_and_much_give_the_same_hash(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    expected = hashlib.sha256(data).digest()
    assert Hash.of(data).digest == expected
    sink = HashingSink()
    buffer = bytearray(1000)
    for start in range(0, size, len(buffer)):
        piece = data[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        # Its owner writes to it again as soon as the sink has returned.
        sink(memoryview(buffer)[: len(piece)])
    assert (sink.hash.digest, sink.size) == (expected, size)
