"""Debian's packages against a database: by source package, of a release, in Debian's order."""

import json
from pathlib import Path
from typing import Any

import pytest

from envtool.formats.debian.package import DebianPackage
from envtool.formats.generation import Package
from envtool.machine.settings import Settings
from envtool.plan.auditing import Audit, audit


def deb(name: str, version: str, *, suite: str = "bookworm", source: str = "") -> DebianPackage:
    return DebianPackage(
        name=name,
        version=version,
        architecture="amd64",
        size=1,
        sha256="0" * 64,
        path=f"pool/main/o/openssl/{name}.deb",
        archive="debian",
        suite=suite,
        component="main",
        timestamp="20260711T101637Z",
        source=source,
    )


def entry(*events: dict[str, str], ecosystem: str = "Debian:12", **more: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": ecosystem, "name": "openssl"},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
        **more,
    }
    return {"id": "DSA-1-1", "upstream": ["CVE-2026-1"], "affected": [affected]}


@pytest.fixture
def audited(tmp_path: Path) -> Any:
    def run(known: dict[str, Any], *packages: DebianPackage) -> Audit:
        (tmp_path / "all.json").write_text(json.dumps([known]))
        settings = Settings(root=str(tmp_path))
        return audit(settings, [], str(tmp_path / "all.json"), debian=packages)

    return run


SINCE, UNTIL = {"introduced": "0"}, {"fixed": "3.0.15-1~deb12u1"}


@pytest.mark.parametrize(
    ("version", "hit"),
    [
        ("3.0.14-1", True),
        ("3.0.15-1~deb12u0+b1", True),
        ("3.0.15~rc1-1", True),
        ("0~1", True),
        ("3.0.15-1~deb12u1", False),
        ("3.0.15-1~deb12u1+b3", False),
        ("3.0.15-1", False),
        ("1:1.0-1", False),
    ],
)
def test_versions_have_the_order_of_debian(audited: Any, version: str, hit: bool) -> None:
    found = audited(entry(SINCE, UNTIL), deb("libssl3", version))
    assert [each.fixed for each in found.hits] == ["3.0.15-1~deb12u1"] * hit


def test_packages_of_one_source_are_one(audited: Any) -> None:
    packages = deb("openssl", "3.0.14-1"), deb("libssl3", "3.0.14-1+b1")
    (hit,) = audited(entry(SINCE), *packages).hits
    assert (hit.ecosystem, hit.package, hit.version) == ("Debian:12", "openssl", "3.0.14-1")
    assert (hit.binaries, hit.fixed) == (("libssl3", "openssl"), None)
    assert hit.vulnerability.aliases == ("CVE-2026-1",)


def test_the_source_that_the_lock_names_counts(audited: Any) -> None:
    other = deb("gcc", "4:12.2.0-3", source="gcc-defaults 1.203")
    assert audited(entry(SINCE), other).hits == ()
    older = deb("libssl3", "9", source="openssl 3.0")
    assert [each.version for each in audited(entry(SINCE, UNTIL), older).hits] == ["3.0"]


@pytest.mark.parametrize(
    ("ecosystem", "suite", "hits"),
    [
        ("Debian:12", "bookworm-security", 1),
        ("Debian:13", "trixie", 1),
        ("Debian:13", "bookworm", 0),
        ("PyPI", "bookworm", 0),
        ("Ubuntu:22.04:LTS", "bookworm", 0),
    ],
)
def test_only_the_packages_own_release_counts(
    audited: Any, ecosystem: str, suite: str, hits: int
) -> None:
    known = entry(SINCE, ecosystem=ecosystem)
    if ecosystem == "PyPI":
        known["affected"][0]["package"]["name"] = "libssl3"
    assert len(audited(known, deb("libssl3", "3.0.14-1", suite=suite)).hits) == hits


def test_a_release_without_a_number_is_named(audited: Any) -> None:
    found = audited(entry(SINCE), deb("libssl3", "3.0.14-1", suite="sid"))
    assert (found.hits, found.unknown) == ((), ("sid",))


def test_a_version_that_is_listed_counts(audited: Any) -> None:
    known = entry(UNTIL, versions=["3.0.14-1"])
    assert len(audited(known, deb("libssl3", "3.0.14-1")).hits) == 1
    assert not audited(known, deb("libssl3", "3.0.13-1")).hits


def test_a_python_package_of_the_same_name_is_another(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(entry(SINCE)))
    own = Package(name="openssl", version="1.0", path=None, size=None, direct=True, requires=())
    found = audit(Settings(root=str(tmp_path)), [own], str(tmp_path / "one.json"))
    assert (found.entries, found.hits) == (1, ())
