"""Where to fetch from: addresses, their credentials, and where a redirect may lead."""

import base64
from pathlib import Path

import pytest
from fixtures.misbehaving import (
    Act,
    Server,
    get,
    refused,
)

from envtool.errors import FetchError
from envtool.machine.fetching.addresses import parse_url, redirected, without_secrets
from envtool.machine.fetching.fetch import Fetcher


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
