"""Locked packages: from the first place that has the very file, years later from the past."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from envtool.errors import FetchError
from envtool.formats.debian.package import DebianPackage
from envtool.machine.debian.locked import fetch_locked
from envtool.machine.debian.mirrors import Mirrors, find_mirrors
from envtool.machine.fetching.fetch import Fetcher
from envtool.sources.debian.signature import ArchiveError

DATA = b"the very bytes"
PATH = "pool/main/t/tiny/tiny_1.0_amd64.deb"
TINY = DebianPackage(
    name="tiny",
    version="1.0",
    architecture="amd64",
    size=len(DATA),
    sha256=hashlib.sha256(DATA).hexdigest(),
    path=PATH,
    archive="debian",
    suite="trixie",
    component="main",
    timestamp="20260911T120000Z",
)


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with Fetcher(offline=False, retries=0) as made:
        yield made


def offer(folder: Path, data: bytes = DATA) -> str:
    """Put the package below a mirror's folder, and return the mirror's URL."""
    (folder / PATH).parent.mkdir(parents=True)
    (folder / PATH).write_bytes(data)
    return f"file:{folder}"


def test_the_past_has_what_every_mirror_has_deleted(fetcher: Fetcher, tmp_path: Path) -> None:
    offer(tmp_path / "archive/debian/20260912T000000Z")
    (tmp_path / "mirror/debian").mkdir(parents=True)
    past = f"file:{tmp_path}/archive/{{archive}}/{{timestamp}}"
    mirrors = Mirrors((f"file:{tmp_path}/mirror/debian",), past)
    fetch_locked(fetcher, mirrors, TINY, str(tmp_path / "tiny.deb"))
    assert (tmp_path / "tiny.deb").read_bytes() == DATA


@pytest.mark.parametrize("other", [b"the same size!", b"short", b"much longer than it should be"])
def test_what_one_mirror_garbles_the_next_may_have(
    fetcher: Fetcher, tmp_path: Path, other: bytes
) -> None:
    bad, good = offer(tmp_path / "a/debian", other), offer(tmp_path / "b/debian")
    heard: list[int] = []
    target = str(tmp_path / "tiny.deb")
    fetch_locked(fetcher, Mirrors((bad, good)), TINY, target, on_bytes=heard.append)
    assert (tmp_path / "tiny.deb").read_bytes() == DATA
    assert sum(heard) == len(DATA)
    with pytest.raises(FetchError, match=r"tiny_1\.0_amd64\.deb"):
        fetch_locked(fetcher, Mirrors((bad,)), TINY, str(tmp_path / "other.deb"))
    assert not (tmp_path / "other.deb").exists()


def test_what_nobody_has_any_more_says_who_would(fetcher: Fetcher, tmp_path: Path) -> None:
    mirrors = Mirrors((f"file:{tmp_path}/none/debian",))
    with pytest.raises(ArchiveError, match=r"no mirror has tiny_1\.0_amd64\.deb any") as caught:
        fetch_locked(fetcher, mirrors, TINY, str(tmp_path / "tiny.deb"))
    assert "ENVTOOL_DEBIAN_PAST=" in str(caught.value.hint)
    mirrors = Mirrors(mirrors.bases, f"file:{tmp_path}/{{archive}}/{{timestamp}}")
    with pytest.raises(ArchiveError) as caught:
        fetch_locked(fetcher, mirrors, TINY, str(tmp_path / "tiny.deb"))
    assert caught.value.hint == "take what there is today: envtool lock --upgrade"


def test_without_any_place_the_way_to_name_one_is_told(fetcher: Fetcher, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no mirror of the archive 'debian' is known"):
        fetch_locked(fetcher, Mirrors(()), TINY, str(tmp_path / "tiny.deb"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "debian.sources",
            (
                "Types: deb\n# https://past.example/keep/debian/20250520T000000Z\n"
                "URIs: http://one.example/debian\nSuites: trixie\n"
            ),
        ),
        ("old.list", "deb https://past.example/keep/debian/20250520T000000Z/ trixie main\n"),
    ],
)
def test_the_past_is_where_the_hosts_apt_says(tmp_path: Path, name: str, text: str) -> None:
    below = tmp_path / "sources.list.d"
    below.mkdir()
    (below / name).write_text(text)
    found = find_mirrors([], None, str(tmp_path))
    assert found.past == "https://past.example/keep/{archive}/{timestamp}"
    own = find_mirrors([], "https://own.example/{archive}/{timestamp}/", str(tmp_path))
    assert own.past == "https://own.example/{archive}/{timestamp}"
    (below / name).write_text(text.replace("0Z", "0"))
    assert find_mirrors([], None, str(tmp_path)).past is None
