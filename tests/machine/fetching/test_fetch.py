"""Fetching, against a real server on loopback that misbehaves on request."""

import base64
import hashlib
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from envtool.errors import FetchError, FormatError, StoreError
from envtool.formats.nix import nar
from envtool.formats.nix.hashing import Hash
from envtool.machine.fetching.addresses import parse_url, redirected, without_secrets
from envtool.machine.fetching.fetch import MAX_PAUSE, FetchCancelledError, Fetcher, pause

BODY = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()
CERTIFICATE = Path(__file__).parent.parent / "loopback.pem"
Act = str | int | tuple[int, dict[str, str]]
"""A behaviour by name, a status, or a status with headers."""


@dataclass
class Server:
    root: str
    acts: dict[str, list[Act]] = field(default_factory=dict)
    """By path; used up one request at a time, the last one stays."""
    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    ranges: bool = True
    asked: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def act(self, path: str) -> Act:
        with self.lock:
            acts = self.acts.get(path, ["ok"])
            return acts.pop(0) if len(acts) > 1 else acts[0]

    def plan(self, *acts: Act) -> str:
        """Let `/file` answer so, and return its URL."""
        self.acts["/file"] = list(acts)
        return f"{self.root}/file"


class Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    plan: Server

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up on purpose."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Http

    def setup(self) -> None:
        super().setup()
        with self.server.plan.lock:
            self.server.plan.connections += 1

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: `Server.log` is the log."""

    def do_CONNECT(self) -> None:
        self.note()
        self.send_response(200)
        self.end_headers()
        self.close_connection = False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        self.connection = self.request = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)

    def note(self) -> None:
        self.server.plan.log.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.server.plan.asked.set()

    def do_GET(self) -> None:
        self.note()
        act = self.server.plan.act(self.path)
        if isinstance(act, str):
            getattr(self, act)()
        else:
            status, headers = act if isinstance(act, tuple) else (act, {})
            self.answer(b"no\n", status, headers)

    def answer(
        self,
        body: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def ok(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and self.server.plan.ranges:
            start = int(wanted[1])
            part = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"}
            self.answer(BODY[start:], 206, part)
        else:
            self.answer(BODY, headers={"ETag": '"one"'})

    def empty(self) -> None:
        self.answer(b"")

    def truncate(self) -> None:
        self.answer(BODY[: len(BODY) // 2], headers={"ETag": '"one"'}, length=len(BODY))
        self.close_connection = True

    def truncate_other(self) -> None:
        self.answer(b"x" * (len(BODY) // 2), length=len(BODY))
        self.close_connection = True

    def unannounced(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY)

    def chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))

    def chunked_and_cut(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b" % (len(BODY), BODY[:1000]))
        self.close_connection = True

    def wrong_part(self) -> None:
        self.answer(BODY, 206, {"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"})

    def stall(self) -> None:
        self.answer(BODY[:1000], length=len(BODY))
        self.server.plan.released.wait()
        self.close_connection = True

    def silent(self) -> None:
        self.server.plan.released.wait()
        self.close_connection = True

    def drip(self) -> None:
        self.answer(b"", length=len(BODY))
        for start in range(0, len(BODY), 4096):
            self.wfile.write(BODY[start : start + 4096])

    def wrong(self) -> None:
        self.answer(b"x" * len(BODY))

    def longer(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY + b"more")

    def hang_up(self) -> None:
        self.close_connection = True

    def ok_then_hang_up(self) -> None:
        self.ok()
        self.close_connection = True

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        self.close_connection = True

    def garbage(self) -> None:
        self.wfile.write(b"SSH-2.0-nothing to see here\r\n")
        self.close_connection = True


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away the host's proxies and credentials."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def serve(http: Http, root: str) -> Iterator[Server]:
    http.plan = Server(root)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield http.plan
    finally:
        http.plan.released.set()
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    http = Http(("127.0.0.1", 0), Handler)
    yield from serve(http, f"http://127.0.0.1:{http.server_address[1]}")


@pytest.fixture
def tls_server() -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    http = Http(("127.0.0.1", 0), Handler)
    http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    yield from serve(http, f"https://127.0.0.1:{http.server_address[1]}")


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with Fetcher(offline=False, timeout=0.3, retries=2, backoff=0) as fetcher:
        yield fetcher


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder / "file"


def get(fetcher: Fetcher, url: str, target: Path, **changes: Any) -> int:
    wanted: dict[str, Any] = {"sha256": SHA256, "size": len(BODY)}
    arrived = fetcher.fetch(url, str(target), **(wanted | changes))
    assert (arrived.nar_hash, arrived.nar_size) == nar.hash_path(str(target))
    return arrived.size


def refused(fetcher: Fetcher, url: str, target: Path, **changes: Any) -> FetchError:
    """Return the error of a fetch that has to fail and to leave nothing."""
    with pytest.raises(FetchError) as caught:
        get(fetcher, url, target, **changes)
    assert os.listdir(target.parent) == []
    return caught.value


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


def test_redirects_are_followed(server: Server, fetcher: Fetcher, target: Path) -> None:
    server.acts = {
        "/a": [(302, {"Location": "/b"})],
        "/b": [(308, {"Location": f"{server.root}/c"})],
    }
    assert get(fetcher, f"{server.root}/a", target) == len(BODY)
    assert [path for path, _ in server.log] == ["/a", "/b", "/c"]
    assert server.connections == 1


def test_a_redirect_loop_ends(server: Server, fetcher: Fetcher, target: Path) -> None:
    url = server.plan((301, {"Location": "/file"}))
    assert refused(fetcher, url, target).message == f"{url}: more than 5 redirects"
    assert len(server.log) == 6


@pytest.mark.parametrize("headers", [{}, {"Location": "file:///etc/passwd"}])
def test_a_redirect_to_nowhere_is_refused(
    server: Server, fetcher: Fetcher, target: Path, headers: dict[str, str]
) -> None:
    url = server.plan((302, headers))
    assert "redirect" in refused(fetcher, url, target).message


def test_https_never_leads_to_http() -> None:
    source = parse_url("https://files.invalid/a")
    with pytest.raises(FetchError, match=r"refused the redirect from https to http://x.invalid/b"):
        redirected(source, "http://user:secret@x.invalid/b")
    assert redirected(source, "//x.invalid/b").geturl() == "https://x.invalid/b"


def test_credentials_follow_a_redirect_only_to_the_same_origin() -> None:
    source = parse_url("https://user:secret@files.invalid/a")
    assert redirected(source, "https://files.invalid/b").password == "secret"
    assert redirected(source, "/b").password == "secret"
    assert redirected(source, "https://x.invalid/b").password is None
    assert redirected(source, "https://files.invalid:8443/b").password is None


def test_many_fetches_share_one_connection_per_thread(
    server: Server, fetcher: Fetcher, target: Path
) -> None:
    def one(number: int) -> int:
        return get(fetcher, f"{server.root}/{number}", target.with_name(str(number)))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(one, range(30))) == [len(BODY)] * 30
    assert len(server.log) == 30
    assert server.connections <= 4


def test_a_kept_connection_that_was_closed_costs_no_try(server: Server, target: Path) -> None:
    url = server.plan("ok_then_hang_up", "ok")
    with Fetcher(offline=False, retries=0) as fetcher:
        get(fetcher, url, target)
        get(fetcher, url, target)
    assert server.connections == 2


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


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.invalid/a",
        "no-url",
        "http:///a",
        "http://x.invalid:port/a",
        "http://a..b/",
        "http://[::1/",
        "http://a b/",
    ],
)
def test_what_is_no_url_is_refused(fetcher: Fetcher, target: Path, url: str) -> None:
    assert repr(url) in refused(fetcher, url, target).message


def test_a_path_with_blanks_and_letters_beyond_ascii_is_quoted(
    server: Server, fetcher: Fetcher, target: Path
) -> None:
    get(fetcher, f"{server.root}/a é%20/b?c=d e#f", target)
    assert server.log[0][0] == "/a%20%C3%A9%20/b?c=d%20e"


def test_credentials_come_from_the_url(server: Server, fetcher: Fetcher, target: Path) -> None:
    url = server.plan("ok").replace("://", "://us%40er:se%3Acret@")
    get(fetcher, url, target)
    expected = base64.b64encode(b"us@er:se:cret").decode()
    assert server.log[0][1]["authorization"] == f"Basic {expected}"


def test_credentials_come_from_netrc(
    server: Server,
    fetcher: Fetcher,
    target: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    get(fetcher, server.plan("ok"), target)
    expected = base64.b64encode(b"me:secret").decode()
    assert server.log[0][1]["authorization"] == f"Basic {expected}"


@pytest.mark.parametrize("act", [404, 500, "wrong", "truncate"])
def test_no_error_shows_a_secret(server: Server, fetcher: Fetcher, target: Path, act: Act) -> None:
    url = server.plan(act).replace("://", "://user:secret@")
    server.acts["/file?token=secret"] = server.acts["/file"]
    error = refused(fetcher, f"{url}?token=secret", target)
    assert "secret" not in f"{error.message} {error.hint}"
    assert f"{server.root}/file?…" in error.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.invalid/x", "https://a.invalid/x"),
        ("https://u:p@a.invalid:1/x@y", "https://a.invalid:1/x@y"),
        ("no-url?t=u:p@b", "no-url?…"),
        ("https://a.invalid?t=u:p@b", "https://a.invalid?…"),
        ("file:///x?y", "file:///x?…"),
    ],
)
def test_a_shown_url_has_neither_user_nor_query(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_http_goes_through_the_proxy(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.root.replace("://", "://me:secret@"))
    server.acts["http://files.invalid/a"] = ["ok"]
    with Fetcher(offline=False, retries=0) as fetcher:
        get(fetcher, "http://files.invalid/a", target)
    path, headers = server.log[0]
    assert path == "http://files.invalid/a"
    assert headers["host"] == "files.invalid"
    assert headers["proxy-authorization"].startswith("Basic ")


def test_https_goes_through_a_tunnel(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", server.root.replace("://", "://me:secret@"))
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with Fetcher(offline=False, retries=0) as fetcher:
        get(fetcher, "https://files.invalid/a", target)
    assert [path for path, _ in server.log] == ["files.invalid:443", "/a"]
    assert "proxy-authorization" in server.log[0][1]
    assert "proxy-authorization" not in server.log[1][1]


def test_no_proxy_goes_straight(
    server: Server, fetcher: Fetcher, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get(fetcher, server.plan("ok"), target) == len(BODY)


@pytest.mark.parametrize("proxy", ["socks5://u:secret@x.invalid:1", "http://u:secret@x:port"])
def test_a_proxy_that_cannot_be_used_is_named(
    fetcher: Fetcher, target: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("all_proxy", proxy)
    error = refused(fetcher, "http://files.invalid/a", target)
    assert "cannot be used for http" in error.message
    assert "secret" not in error.message


def test_a_trusted_certificate_lets_fetch(
    tls_server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with Fetcher(offline=False, retries=0) as fetcher:
        assert get(fetcher, tls_server.plan("ok"), target) == len(BODY)


def test_an_unknown_certificate_is_refused_at_once(
    tls_server: Server, fetcher: Fetcher, target: Path
) -> None:
    error = refused(fetcher, tls_server.plan("ok"), target)
    assert "certificate is not trusted: self-signed" in error.message
    assert "SSL_CERT_FILE" in (error.hint or "")


def test_cancel_wakes_a_fetch_that_waits_behind_tls(
    tls_server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    url = tls_server.plan("stall")
    with Fetcher(offline=False, timeout=60) as fetcher, ThreadPoolExecutor(1) as threads:
        fetch = threads.submit(get, fetcher, url, target)
        tls_server.asked.wait()
        fetcher.cancel()
        with pytest.raises(FetchCancelledError):
            fetch.result()


def test_pauses_double_and_honour_the_server_up_to_a_cap() -> None:
    assert pause(3, 0) == 0
    assert 0.25 <= pause(1, 0.5) <= 0.75
    assert 1.0 <= pause(3, 0.5) <= 3.0
    assert pause(1, 0.5, 7) == 7
    assert pause(1, 0.5, 3600) == MAX_PAUSE
