"""Raw deflate is inflated to what it was, to nothing more, with and without the fast libraries."""

import random
import sys
import zlib
from collections.abc import Iterator

import pytest

from envtool.sources import members
from envtool.sources.members import DeflateError, inflate, inflate_pieces

TEXTS = (b"", b"x", b"abc" * 70_000, random.Random(1).randbytes(300_000))


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.fixture(params=["the fast libraries", "zlib alone"], autouse=True)
def libraries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known = (members._whole, members._isal)
    if request.param == "zlib alone":
        monkeypatch.setitem(sys.modules, "deflate", None)
        monkeypatch.setitem(sys.modules, "isal", None)
    for each in known:
        each.cache_clear()
    yield
    for each in known:
        each.cache_clear()


def test_whole_is_what_it_was() -> None:
    for text in TEXTS:
        assert inflate(memoryview(deflated(text)), len(text)) == text


def test_pieces_are_what_it_was_and_no_larger_than_asked_for() -> None:
    for text in TEXTS:
        packed = deflated(text)
        halves = iter((packed[: len(packed) // 2], packed[len(packed) // 2 :]))
        pieces = list(inflate_pieces(halves, 1000))
        assert b"".join(pieces) == text
        assert max(map(len, pieces), default=0) <= 1000


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_another_size_than_said_is_refused(change: int) -> None:
    text = TEXTS[2]
    with pytest.raises(DeflateError):
        inflate(memoryview(deflated(text)), len(text) + change)


@pytest.mark.parametrize(
    "packed", [b"", b"\xff" * 40, deflated(TEXTS[3])[:-5], deflated(b"abc" * 900)[:-2]]
)
def test_damaged_data_are_refused(packed: bytes) -> None:
    for size in (0, 10, len(TEXTS[3]), 2700):
        with pytest.raises(DeflateError):
            inflate(memoryview(packed), size)


def test_a_bomb_yields_no_more_than_asked_for() -> None:
    packed = deflated(b"\0" * 50_000_000)
    with pytest.raises(DeflateError):
        inflate(memoryview(packed), 10)
    assert len(next(inflate_pieces(iter((packed,)), 1000))) == 1000


def test_damaged_pieces_are_refused() -> None:
    with pytest.raises(DeflateError):
        list(inflate_pieces(iter((b"\xff" * 40,)), 1000))
