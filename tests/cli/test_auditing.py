"""`audit`: known vulnerabilities of what is there, and of nothing else."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest


def entry(name: str, number: int, **more: Any) -> dict[str, Any]:
    """Return an entry about beta before 2.0, but for what is given otherwise."""
    package = {"ecosystem": "PyPI", "name": name}
    events = [{"introduced": "0"}, {"fixed": "2.0"}]
    affected = {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {
        "id": f"PYSEC-2026-{number}",
        "aliases": [f"CVE-2026-{number}"],
        "summary": "It leaks.",
        "affected": [affected],
        **more,
    }


ENTRIES = [
    entry("Beta", 1),
    entry("beta", 2, withdrawn="2026-02-01T00:00:00Z"),
    entry("delta", 3),
    entry("alpha", 4, affected=[{"package": {"ecosystem": "npm", "name": "alpha"}}]),
    entry(
        "alpha",
        5,
        affected=[{"package": {"ecosystem": "PyPI", "name": "alpha"}, "versions": ["1.0"]}],
    ),
]


@pytest.fixture
def locked(place: Any, index: Any, make_wheel: Any, envtool: Any) -> None:
    index.add(make_wheel("alpha", "1.0", requires=["beta"]))
    index.add(make_wheel("beta", "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    assert envtool("add", "alpha").returncode == 0


def ids(ended: Any) -> list[str]:
    return [each["id"] for each in json.loads(ended.stdout)["vulnerabilities"]]


@pytest.mark.usefixtures("locked")
def test_a_file_a_folder_and_a_zip_say_the_same(envtool: Any, tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(json.dumps(ENTRIES))
    (tmp_path / "folder").mkdir()
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for each in ENTRIES:
            (tmp_path / "folder" / f"{each['id']}.json").write_text(json.dumps(each))
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    for name in ("all.json", "folder", "all.zip"):
        ended = envtool("audit", "--json", "--database", str(tmp_path / name))
        assert ended.returncode == 1
        assert ids(ended) == ["PYSEC-2026-5", "PYSEC-2026-1"], name
        assert json.loads(ended.stdout)["entries"] == 5


@pytest.mark.usefixtures("locked")
def test_people_are_told_what_to_do(envtool: Any, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(ENTRIES[0]))
    ended = envtool("audit", environ={"ENVTOOL_AUDIT_DATABASE": str(tmp_path / "one.json")})
    assert ended.stdout.splitlines() == [
        "beta 1.0: PYSEC-2026-1, CVE-2026-1 (fixed in 2.0)",
        "  It leaks.",
        "1 known in 1 package; next: `envtool upgrade beta`",
    ]
    (tmp_path / "one.json").write_text(json.dumps(ENTRIES[2]))
    ended = envtool("audit", "--database", str(tmp_path / "one.json"))
    assert (ended.returncode, ended.stdout) == (0, "none known, by 1 entry\n")


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize(
    ("events", "hit"),
    [
        ([{"introduced": "0"}], True),
        ([{"introduced": "0"}, {"fixed": "1.0"}], False),
        ([{"introduced": "0"}, {"last_affected": "1.0"}], True),
        ([{"introduced": "0"}, {"last_affected": "0.9"}], False),
        ([{"fixed": "0.5"}, {"introduced": "0"}, {"introduced": "1.0rc1"}], True),
        ([{"introduced": "1.0.post1"}], False),
    ],
)
def test_ranges(envtool: Any, tmp_path: Path, events: list[dict[str, str]], hit: bool) -> None:
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    affected = [{"package": {"ecosystem": "PyPI", "name": "alpha"}, "ranges": ranges}]
    (tmp_path / "one.json").write_text(json.dumps(entry("alpha", 1, affected=affected)))
    ended = envtool("audit", "--json", "--database", str(tmp_path / "one.json"))
    assert bool(ids(ended)) is hit


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"[3]", b'{"id": 3}', b'{"id": "X", "affected": [3]}', b"PK\x03\x04junk"],
)
def test_what_is_no_database_is_refused(envtool: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it").write_bytes(content)
    ended = envtool("audit", "--database", str(tmp_path / "it"))
    assert ended.returncode == 1
    assert str(tmp_path / "it") in ended.stderr
    assert "bug" not in ended.stderr


@pytest.mark.usefixtures("locked")
def test_a_database_by_url_and_one_that_is_not_there(
    envtool: Any, index: Any, tmp_path: Path
) -> None:
    (tmp_path / "all.json").write_text(json.dumps(ENTRIES))
    ended = envtool("audit", "--json", "--database", f"file://{tmp_path}/all.json")
    assert len(ids(ended)) == 2
    ended = envtool("audit", "--database", f"{index.url}none.zip")
    assert ended.returncode == 1
    assert "none.zip" in ended.stderr
    ended = envtool("audit", "--database", str(tmp_path / "gone"))
    assert "No such file" in ended.stderr


LOCK = """
lock-version = "1.0"
created-by = "envtool"
requires-python = "==3.11.*"
packages = []

[tool.envtool.debian]
requested = ["openssl"]
system = [
    %s
]
"""
OPENSSL = (
    '{ name = "openssl", version = "3.0.14-1", architecture = "amd64", size = 1, sha256 = "%s", '
    'path = "pool/main/o/openssl/openssl_3.0.14-1_amd64.deb", archive = "debian-security", '
    'suite = "%s", component = "main", timestamp = "20260711T101637Z" },'
)


def test_packages_of_debian_are_held_against_the_database(
    place: Any, envtool: Any, tmp_path: Path
) -> None:
    package = {"ecosystem": "Debian:12", "name": "openssl"}
    events = [{"introduced": "0"}, {"fixed": "3.0.15-1"}]
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    known = entry("", 1, id="DSA-1-1", affected=[{"package": package, "ranges": ranges}])
    (tmp_path / "one.json").write_text(json.dumps(known))
    (place.project / "envtool.toml").write_text("dependencies = []\n")
    lock = place.project / "pylock.toml"
    lock.write_text(LOCK % (OPENSSL % ("0" * 64, "bookworm-security")))
    ended = envtool("audit", "--database", str(tmp_path / "one.json"))
    assert (ended.returncode, ended.stdout.splitlines()) == (
        1,
        [
            "openssl 3.0.14-1 (Debian 12: openssl): DSA-1-1, CVE-2026-1 (fixed in 3.0.15-1)",
            "  It leaks.",
            "1 known in 1 package; next: `envtool lock --upgrade`",
        ],
    )
    found = json.loads(envtool("audit", "--json", "--database", str(tmp_path / "one.json")).stdout)
    assert found["vulnerabilities"][0]["ecosystem"] == "Debian:12"
    assert found["vulnerabilities"][0]["binaries"] == ["openssl"]
    del events[1]
    (tmp_path / "one.json").write_text(json.dumps(known))
    assert ids(envtool("audit", "--json", "--database", str(tmp_path / "one.json"))) == ["DSA-1-1"]
    ended = envtool("audit", "--fixable", "--database", str(tmp_path / "one.json"))
    assert (ended.returncode, ended.stdout) == (0, "none of the 1 known has a repair yet\n")
    lock.write_text(LOCK % (OPENSSL % ("0" * 64, "sid")))
    ended = envtool("audit", "--database", str(tmp_path / "one.json"))
    assert ended.returncode == 0
    assert "packages of Debian sid are passed over" in ended.stderr


def test_without_a_database_it_says_how_to_name_one(envtool: Any) -> None:
    ended = envtool("audit")
    assert ended.returncode == 2
    assert "ENVTOOL_AUDIT_DATABASE" in ended.stderr
