"""Indices of suites: fetched once, known by their hash, made again when they are not whole."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import FetchError
from envtool.machine.debian.archive import open_archive as open_by_settings
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import load
from envtool.sources.debian.signature import ArchiveError

if TYPE_CHECKING:
    from fixtures.mirror import Mirror
    from machine.debian.conftest import OpenArchive

DAY = 86400


def kept(tmp_path: Path, pattern: str) -> list[Path]:
    return sorted((tmp_path / "cache/debian/debian/tested").glob(pattern))


@pytest.mark.parametrize("inside", [True, False], ids=["InRelease", "Release.gpg"])
@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_packages_of_a_suite_are_found(
    mirror: "Mirror", open_archive: "OpenArchive", ending: str, *, inside: bool
) -> None:
    mirror.ending, mirror.inside = ending, inside
    mirror.publish(mirror.stanza("tiny", "2.0"), mirror.stanza("other"))
    archive = open_archive()
    suite = archive.suite("tested", refresh=False)
    with archive.packages(suite, "main") as index:
        assert [str(each) for each in index.named("tiny")] == ["tiny 2.0"]
        assert index.named("tiny")[0].origin == suite.origin("main")
    assert suite.timestamp == "20260920T141320Z"


def test_what_is_kept_needs_no_mirror(mirror: "Mirror", open_archive: "OpenArchive") -> None:
    mirror.publish(mirror.stanza("tiny"))
    archive = open_archive()
    archive.packages(archive.suite("tested", refresh=True), "main").close()
    archive.libraries(archive.suite("tested", refresh=True), "main")
    shutil.rmtree(mirror.root)
    archive = open_archive(offline=True)
    suite = archive.suite("tested", refresh=True)
    with archive.packages(suite, "main") as index:
        assert index.named("tiny")
    assert archive.libraries(suite, "main").find("libtiny.so.1")[0].package == "libtiny1"
    assert archive.releases.kept() == ("tested",)


def test_a_newer_state_takes_the_place_of_the_old(
    mirror: "Mirror", open_archive: "OpenArchive", tmp_path: Path
) -> None:
    archive = open_archive()
    for date, version in ((mirror.now - 2 * DAY, "1"), (mirror.now - DAY, "2")):
        mirror.publish(mirror.stanza("tiny", version), date=date)
        with archive.packages(archive.suite("tested", refresh=True), "main") as index:
            assert [each.version for each in index.named("tiny")] == [version]
    assert len(kept(tmp_path, "packages-*-1-*")) == 1


def test_the_next_mirror_is_asked_when_one_fails(
    mirror: "Mirror", open_archive: "OpenArchive", tmp_path: Path
) -> None:
    mirror.publish(mirror.stanza("tiny"))
    stale = tmp_path / "stale/debian"
    shutil.copytree(mirror.root, stale)
    (stale / "dists/tested/InRelease").write_bytes(b"nonsense")
    missing = f"file:{tmp_path}/missing/debian"
    archive = open_archive(mirrors=[missing, f"file:{stale}", mirror.url])
    suite = archive.suite("tested", refresh=True)
    shutil.rmtree(stale)
    with archive.packages(suite, "main") as index:
        assert index.named("tiny")


def test_what_a_suite_does_not_have_is_told(mirror: "Mirror", open_archive: "OpenArchive") -> None:
    mirror.publish(mirror.stanza("tiny"))
    archive = open_archive()
    suite = archive.suite("tested", refresh=True)
    with pytest.raises(ArchiveError, match="no component 'contrib'") as caught:
        archive.packages(suite, "contrib")
    assert caught.value.hint == "it has main"
    archive.architecture = "arm64"
    with pytest.raises(ArchiveError, match="no architecture 'arm64'"):
        archive.packages(suite, "main")


@pytest.mark.parametrize("by_hash", [True, False])
def test_an_index_that_is_not_what_is_vouched_for_is_refused(
    mirror: "Mirror", open_archive: "OpenArchive", tmp_path: Path, *, by_hash: bool
) -> None:
    mirror.by_hash = by_hash
    mirror.publish(mirror.stanza("tiny"))
    for path in mirror.suite("tested").rglob("*"):
        if path.is_file() and path.name != "InRelease":
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    archive = open_archive()
    with pytest.raises(FetchError, match=r"Packages\.xz of tested cannot be had: .*not what was"):
        archive.packages(archive.suite("tested", refresh=True), "main")
    assert [path.name for path in kept(tmp_path, "*")] == ["InRelease"]


def test_without_a_copy_by_hash_the_index_itself_will_do(
    mirror: "Mirror", open_archive: "OpenArchive"
) -> None:
    mirror.publish(mirror.stanza("tiny"))
    shutil.rmtree(mirror.suite("tested") / "main/binary-amd64/by-hash")
    archive = open_archive()
    with archive.packages(archive.suite("tested", refresh=True), "main") as index:
        assert index.named("tiny")


@pytest.mark.parametrize("damaged", ["Packages", "index.sqlite"])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_an_index_that_is_not_whole_is_made_again(
    mirror: "Mirror", open_archive: "OpenArchive", tmp_path: Path, damaged: str, how: str
) -> None:
    mirror.publish(mirror.stanza("tiny"))
    archive = open_archive()
    suite = archive.suite("tested", refresh=True)
    archive.packages(suite, "main").close()
    (path,) = kept(tmp_path, f"packages-*/{damaged}")
    path.unlink()
    if how == "empty":
        path.touch()
    with archive.packages(suite, "main") as index:
        assert index.named("tiny")


def test_an_index_of_libraries_that_breaks_off_is_made_again(
    mirror: "Mirror", open_archive: "OpenArchive", tmp_path: Path
) -> None:
    mirror.publish(mirror.stanza("tiny"))
    archive = open_archive()
    suite = archive.suite("tested", refresh=True)
    archive.libraries(suite, "main")
    (path,) = kept(tmp_path, "libraries-main-amd64-*")
    os.truncate(path, 30)
    assert archive.libraries(suite, "main").find("libtiny.so.1")


def test_settings_name_mirrors_and_keys(mirror: "Mirror", tmp_path: Path) -> None:
    mirror.fields = {"Valid-Until": mirror.when(mirror.now - DAY)}
    mirror.publish(mirror.stanza("tiny"), date=mirror.now - 2 * DAY)
    settings = load(
        {
            "ENVTOOL_ROOT": str(tmp_path / "root"),
            "ENVTOOL_DEBIAN_MIRROR": f"file:{tmp_path}/none/debian {mirror.url}",
            "ENVTOOL_DEBIAN_KEYS": str(tmp_path / "key.pgp"),
            "ENVTOOL_DEBIAN_CHECK_AGE": "0",
        }
    )
    with Fetcher(offline=False) as fetcher:
        suite = open_by_settings(settings, fetcher).suite("tested", refresh=True)
    assert suite.folder == f"{tmp_path}/root/cache/debian/debian/tested"


def test_the_kept_index_is_known_by_its_hash(
    mirror: "Mirror", open_archive: "OpenArchive", tmp_path: Path
) -> None:
    mirror.publish(mirror.stanza("tiny"))
    archive = open_archive()
    archive.packages(archive.suite("tested", refresh=True), "main").close()
    packed = mirror.suite("tested") / "main/binary-amd64/Packages.xz"
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    (folder,) = kept(tmp_path, "packages-main-amd64-*")
    assert folder.name == f"packages-main-amd64-1-{digest[:12]}"
