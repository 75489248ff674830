"""Fetching, against a real server on loopback that misbehaves on request."""

import hashlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fixtures.misbehaving import BODY, SHA256, Act, Server, get, refused

from envtool.errors import FormatError, StoreError
from envtool.formats.nix.hashing import Hash
from envtool.machine.fetching.fetch import MAX_PAUSE, FetchCancelledError, Fetcher, pause


@pytest.mark.parametrize("act", ["ok", "drip", "chunked", "unannounced", "ok_then_hang_up"])
@pytest.mark.parametrize("size", [len(BODY), None])
def test_every_way_of_sending_a_body_arrives(
    server: Server, fetcher: Fetcher, target: Path, act: str, size: int | None
) -> None:
    assert get(fetcher, server.plan(act), target, size=size) == len(BODY)
    assert target.read_bytes() == BODY
    assert os.listdir(target.parent) == ["file"]


def test_the_hash_may_be_spelled_in_sri(server: Server, fetcher: Fetcher, target: Path) -> None:
    assert get(fetcher, server.plan("ok"), target, sha256=Hash.of(BODY).sri) == len(BODY)


def test_a_hash_that_is_none_is_refused(server: Server, fetcher: Fetcher, target: Path) -> None:
    with pytest.raises(FormatError, match="sha256"):
        get(fetcher, server.plan("ok"), target, sha256="abc")
    assert server.log == []


def test_an_empty_file_arrives(server: Server, fetcher: Fetcher, target: Path) -> None:
    url = server.plan("empty")
    assert get(fetcher, url, target, sha256=hashlib.sha256().hexdigest(), size=0) == 0
    assert target.read_bytes() == b""


def test_progress_adds_up_to_the_size(server: Server, fetcher: Fetcher, target: Path) -> None:
    heard: list[int] = []
    server.ranges = False
    get(fetcher, server.plan("truncate", "ok"), target, on_bytes=heard.append)
    assert sum(heard) == len(BODY)
    assert min(heard) < 0


@pytest.mark.parametrize(
    "act",
    [
        500,
        503,
        408,
        429,
        (503, {"Retry-After": "0"}),
        (503, {"Retry-After": "Fri, 01 Jan 2021 00:00:00 GMT"}),
        (503, {"Retry-After": "soon"}),
        "truncate",
        "chunked_and_cut",
        "stall",
        "silent",
        "hang_up",
        "reset",
        "garbage",
    ],
)
def test_what_may_pass_is_tried_again(
    server: Server, fetcher: Fetcher, target: Path, act: Act
) -> None:
    assert get(fetcher, server.plan(act, act, "ok"), target) == len(BODY)
    assert target.read_bytes() == BODY
    assert len(server.log) == 3


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (500, "answered 500 Internal Server Error"),
        (429, "answered 429 Too Many Requests"),
        ("truncate", "broke off after 524288 bytes"),
        ("stall", "silent for 0.3 s"),
        ("silent", "silent for 0.3 s"),
        ("hang_up", "hung up without an answer"),
        ("reset", "Connection reset by peer"),
        ("garbage", "not HTTP"),
    ],
)
def test_giving_up_says_how_often_and_why(
    server: Server, fetcher: Fetcher, target: Path, act: Act, reason: str
) -> None:
    server.ranges = False
    url = server.plan(act)
    error = refused(fetcher, url, target)
    assert error.message.startswith(f"{url}: tried 3 times, last: ")
    assert reason in error.message
    assert error.hint is not None
    assert len(server.log) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_what_will_not_pass_fails_at_once(
    server: Server, fetcher: Fetcher, target: Path, status: int
) -> None:
    url = server.plan(status)
    assert refused(fetcher, url, target).message.startswith(f"{url}: the server answered {status}")
    assert len(server.log) == 1


def test_a_refused_connection_is_named(fetcher: Fetcher, target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refused(fetcher, f"http://127.0.0.1:{port}/file", target)
    assert "tried 3 times, last: Connection refused" in error.message


def test_the_next_try_goes_on_where_the_last_broke_off(
    server: Server, fetcher: Fetcher, target: Path
) -> None:
    heard: list[int] = []
    get(fetcher, server.plan("truncate", "ok"), target, on_bytes=heard.append)
    assert target.read_bytes() == BODY
    assert server.log[1][1]["range"] == f"bytes={len(BODY) // 2}-"
    assert server.log[1][1]["if-range"] == '"one"'
    assert min(heard) > 0


@pytest.mark.parametrize("second", ["wrong_part", 416])
def test_a_useless_part_starts_anew(
    server: Server, fetcher: Fetcher, target: Path, second: Act
) -> None:
    get(fetcher, server.plan("truncate", second, "ok"), target)
    assert target.read_bytes() == BODY
    assert "range" not in server.log[2][1]


def test_parts_of_two_different_files_start_anew(
    server: Server, fetcher: Fetcher, target: Path
) -> None:
    get(fetcher, server.plan("truncate_other", "ok"), target)
    assert target.read_bytes() == BODY
    assert len(server.log) == 3


def test_wrong_bytes_name_both_hashes(server: Server, fetcher: Fetcher, target: Path) -> None:
    url = server.plan("wrong")
    message = refused(fetcher, url, target).message
    assert url in message
    assert Hash.parse(SHA256, "sha256").sri in message
    assert Hash.of(b"x" * len(BODY)).sri in message
    assert len(server.log) == 1


def test_a_wrong_announced_length_is_not_even_read(
    server: Server, fetcher: Fetcher, target: Path
) -> None:
    heard: list[int] = []
    error = refused(fetcher, server.plan("ok"), target, size=7, on_bytes=heard.append)
    assert f"expected 7 bytes, got {len(BODY)} bytes" in error.message
    assert heard == []


def test_more_than_promised_is_cut_off(server: Server, fetcher: Fetcher, target: Path) -> None:
    error = refused(fetcher, server.plan("longer"), target)
    assert f"got more than {len(BODY)} bytes" in error.message


@pytest.mark.parametrize("act", ["stall", "silent"])
def test_cancel_wakes_a_fetch_that_waits(server: Server, target: Path, act: str) -> None:
    url = server.plan(act)
    with Fetcher(offline=False, timeout=60) as fetcher, ThreadPoolExecutor(1) as threads:
        fetch = threads.submit(get, fetcher, url, target)
        server.asked.wait()
        fetcher.cancel()
        with pytest.raises(FetchCancelledError, match="cancelled"):
            fetch.result()
    assert os.listdir(target.parent) == []


def test_cancel_wakes_a_fetch_between_two_tries(server: Server, target: Path) -> None:
    url = server.plan((503, {"Retry-After": "60"}))
    with Fetcher(offline=False) as fetcher, ThreadPoolExecutor(1) as threads:
        fetch = threads.submit(get, fetcher, url, target)
        server.asked.wait()
        fetcher.cancel()
        with pytest.raises(FetchCancelledError):
            fetch.result()


def test_a_closed_fetcher_fetches_nothing(server: Server, target: Path) -> None:
    fetcher = Fetcher(offline=False)
    get(fetcher, server.plan("ok"), target)
    fetcher.close()
    with pytest.raises(FetchCancelledError):
        get(fetcher, server.plan("ok"), target)


def test_an_interrupt_leaves_nothing(server: Server, fetcher: Fetcher, target: Path) -> None:
    def interrupt(_size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(fetcher, server.plan("ok"), target, on_bytes=interrupt)
    assert os.listdir(target.parent) == []


def test_a_full_disk_names_the_place(server: Server, fetcher: Fetcher, target: Path) -> None:
    target.with_name("file.part").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"scratch/file cannot be written: No space") as caught:
        get(fetcher, server.plan("ok"), target)
    assert caught.value.hint is not None
    assert os.listdir(target.parent) == []
    assert len(server.log) == 1


def test_a_place_that_is_none_is_named(server: Server, fetcher: Fetcher, target: Path) -> None:
    with pytest.raises(StoreError, match="nowhere/file cannot be written: No such file"):
        get(fetcher, server.plan("ok"), target.parent / "nowhere" / "file")
    assert server.log == []


def test_a_file_url_is_copied(fetcher: Fetcher, target: Path, tmp_path: Path) -> None:
    source = tmp_path / "a wheel+1.whl"
    source.write_bytes(BODY)
    with Fetcher(offline=True) as offline:
        assert get(offline, source.as_uri(), target) == len(BODY)
    assert target.read_bytes() == BODY


def test_a_wrong_file_url_is_refused(fetcher: Fetcher, target: Path, tmp_path: Path) -> None:
    source = tmp_path / "short.whl"
    assert "No such file" in refused(fetcher, source.as_uri(), target).message
    source.write_bytes(BODY[:10])
    assert "got 10 bytes" in refused(fetcher, source.as_uri(), target).message
    source.write_bytes(b"x" * len(BODY))
    assert "sha256-" in refused(fetcher, source.as_uri(), target).message
    assert "Is a directory" in refused(fetcher, tmp_path.as_uri(), target).message


def test_offline_asks_nobody(server: Server, target: Path) -> None:
    with Fetcher(offline=True) as fetcher:
        error = refused(fetcher, server.plan("ok"), target)
    assert "offline" in error.message
    assert error.hint == "run it again without --offline"
    assert server.log == []


def test_pauses_double_and_honour_the_server_up_to_a_cap() -> None:
    assert pause(3, 0) == 0
    assert 0.25 <= pause(1, 0.5) <= 0.75
    assert 1.0 <= pause(3, 0.5) <= 3.0
    assert pause(1, 0.5, 7) == 7
    assert pause(1, 0.5, 3600) == MAX_PAUSE
