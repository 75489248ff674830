"""How a server is reached: redirects, kept connections, proxies, TLS."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fixtures.misbehaving import BODY, CERTIFICATE, Server, get, refused

from envtool.machine.fetching.fetch import FetchCancelledError, Fetcher


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
