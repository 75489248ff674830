"""Servers to fetch from, and a machine without proxies and credentials of its own."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.misbehaving import CERTIFICATE, Handler, Http, Server, serve

from envtool.machine.fetching.fetch import Fetcher


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away the host's proxies and credentials."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


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
