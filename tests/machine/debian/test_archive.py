"""Suites and their indices: fetched once, verified always, made again when they are not whole."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pysequoia import SignatureMode, Tsk, sign

from envtool.errors import FetchError
from envtool.machine.debian.archive import open_archive as open_by_settings
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import load
from envtool.sources.debian.signature import ArchiveError

if TYPE_CHECKING:
    from conftest import Index, Mirror
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


def test_a_suite_may_be_asked_for_by_either_name(
    mirror: "Mirror", open_archive: "OpenArchive"
) -> None:
    mirror.publish(mirror.stanza("tiny"))
    shutil.copytree(mirror.suite("tested"), mirror.suite("stable"))
    assert open_archive().suite("stable", refresh=True).origin("main").suite == "tested"


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
    assert archive.kept() == ("tested",)


def test_offline_what_was_never_seen_is_told(open_archive: "OpenArchive") -> None:
    with pytest.raises(ArchiveError, match="never been fetched") as caught:
        open_archive(offline=True).suite("tested", refresh=False)
    assert caught.value.hint == "run it again without --offline"


def test_a_newer_state_takes_the_place_of_the_old(
    mirror: "Mirror", open_archive: "OpenArchive", tmp_path: Path
) -> None:
    archive = open_archive()
    for date, version in ((mirror.now - 2 * DAY, "1"), (mirror.now - DAY, "2")):
        mirror.publish(mirror.stanza("tiny", version), date=date)
        with archive.packages(archive.suite("tested", refresh=True), "main") as index:
            assert [each.version for each in index.named("tiny")] == [version]
    assert len(kept(tmp_path, "packages-*-1-*")) == 1


def test_without_refresh_the_mirror_is_not_asked(
    mirror: "Mirror", open_archive: "OpenArchive"
) -> None:
    archive = open_archive()
    mirror.publish(mirror.stanza("tiny", "1"), date=mirror.now - 2 * DAY)
    first = archive.suite("tested", refresh=False)
    mirror.publish(mirror.stanza("tiny", "2"))
    assert archive.suite("tested", refresh=False).release == first.release
    assert archive.suite("tested", refresh=True).release.date == mirror.now - DAY


def test_a_suite_past_its_time_is_asked_for_again(
    mirror: "Mirror", open_archive: "OpenArchive"
) -> None:
    mirror.fields = {"Valid-Until": mirror.when(mirror.now + DAY)}
    mirror.publish(mirror.stanza("tiny", "1"))
    open_archive().suite("tested", refresh=True)
    later = mirror.now + 2 * DAY
    mirror.fields = {"Valid-Until": mirror.when(later + DAY)}
    mirror.publish(mirror.stanza("tiny", "2"), date=mirror.now + DAY)
    suite = open_archive(now=lambda: float(later)).suite("tested", refresh=False)
    assert suite.release.date == mirror.now + DAY


def damage_release(mirror: "Mirror", secret: Tsk) -> str:
    path = mirror.suite("tested") / "InRelease"
    path.write_bytes(path.read_bytes().replace(b"Codename: tested", b"Codename: tasted"))
    return "InRelease has no good signature: the signature by Archive of Tests"


def sign_by_stranger(mirror: "Mirror", secret: Tsk) -> str:
    mirror.secret = Tsk.generate("Stranger <stranger@example.org>")
    mirror.publish(mirror.stanza("tiny"))
    return "no key that is trusted"


def publish_unsigned(mirror: "Mirror", secret: Tsk) -> str:
    (mirror.suite("tested") / "InRelease").write_text("Suite: tested\n")
    return "is not a signed message"


def publish_another_suite(mirror: "Mirror", secret: Tsk) -> str:
    mirror.fields = {"Codename": "older", "Suite": "oldstable"}
    mirror.publish(mirror.stanza("tiny"))
    return "is signed, but for the suite older or oldstable, not for tested"


def publish_an_aged_suite(mirror: "Mirror", secret: Tsk) -> str:
    mirror.fields = {"Valid-Until": mirror.when(mirror.now - 1)}
    mirror.publish(mirror.stanza("tiny"))
    return "counted until 20260921T141319Z: it is old"


def publish_the_future(mirror: "Mirror", secret: Tsk) -> str:
    mirror.publish(mirror.stanza("tiny"), date=mirror.now + 2 * DAY)
    return "is of 20260923T141320Z, which is yet to come"


def publish_something_else(mirror: "Mirror", secret: Tsk) -> str:
    data = sign(secret.signer(), b"Hello\n", mode=SignatureMode.CLEAR)
    (mirror.suite("tested") / "InRelease").write_bytes(data)
    return "InRelease:1: 'Hello' is not 'Field: value'"


@pytest.mark.parametrize(
    "spoil",
    [
        damage_release,
        sign_by_stranger,
        publish_unsigned,
        publish_another_suite,
        publish_an_aged_suite,
        publish_the_future,
        publish_something_else,
    ],
    ids=lambda each: each.__name__,
)
def test_a_release_file_that_may_not_be_trusted_is_refused(
    mirror: "Mirror", open_archive: "OpenArchive", secret: Tsk, tmp_path: Path, spoil: object
) -> None:
    assert callable(spoil)
    mirror.publish(mirror.stanza("tiny"), date=mirror.now - 2 * DAY)
    before = open_archive().suite("tested", refresh=True)
    told = spoil(mirror, secret)
    with pytest.raises(ArchiveError, match=told) as caught:
        open_archive().suite("tested", refresh=True)
    assert mirror.url in caught.value.message
    # What was there before stays, and nothing else is left.
    assert open_archive(offline=True).suite("tested", refresh=False) == before
    assert [path.name for path in kept(tmp_path, "*")] == ["InRelease"]


def test_an_older_state_is_refused(mirror: "Mirror", open_archive: "OpenArchive") -> None:
    mirror.publish(mirror.stanza("tiny", "2"))
    open_archive().suite("tested", refresh=True)
    mirror.publish(mirror.stanza("tiny", "1"), date=mirror.now - 2 * DAY)
    told = "is of 20260919T141320Z, older than what was seen before .20260920T141320Z"
    with pytest.raises(ArchiveError, match=told) as caught:
        open_archive().suite("tested", refresh=True)
    assert str(caught.value.hint).endswith("tested/InRelease")


def test_the_age_counts_unless_it_must_not(mirror: "Mirror", open_archive: "OpenArchive") -> None:
    mirror.fields = {"Valid-Until": mirror.when(mirror.now - 30 * DAY)}
    mirror.publish(mirror.stanza("tiny"))
    with pytest.raises(ArchiveError) as caught:
        open_archive().suite("tested", refresh=True)
    assert "ENVTOOL_DEBIAN_CHECK_AGE=0" in str(caught.value.hint)
    assert open_archive(check_age=False).suite("tested", refresh=True).name == "tested"


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


def test_a_suite_that_no_mirror_has_is_named(mirror: "Mirror", open_archive: "OpenArchive") -> None:
    mirror.publish(mirror.stanza("tiny"))
    with pytest.raises(ArchiveError, match="there is no suite 'tasted'") as caught:
        open_archive().suite("tasted", refresh=True)
    assert "stable" in str(caught.value.hint)


def test_a_server_that_has_no_such_suite_says_so(
    open_archive: "OpenArchive", index: "Index"
) -> None:
    with pytest.raises(ArchiveError, match=r"there is no suite 'tested': .* answered 404"):
        open_archive(mirrors=[f"{index.root}/debian"]).suite("tested", refresh=True)
    assert index.paths() == [
        f"/debian/dists/tested/{name}" for name in ("InRelease", "Release.gpg")
    ]


def test_a_server_that_fails_is_told_rather_than_one_that_has_nothing(
    open_archive: "OpenArchive", index: "Index"
) -> None:
    index.behaviour["/failing/debian/dists/tested/InRelease"] = 500
    bases = [f"{index.root}/debian", f"{index.root}/failing/debian"]
    with pytest.raises(FetchError, match="answered 500"):
        open_archive(mirrors=bases).suite("tested", refresh=True)


@pytest.mark.parametrize("name", ["", "..", "a/b", "Tested", "-x", "a b"])
def test_what_is_no_name_of_a_suite_is_not_asked_for(
    open_archive: "OpenArchive", name: str
) -> None:
    with pytest.raises(ArchiveError, match="is no name of a suite"):
        open_archive().suite(name, refresh=True)


def test_without_a_mirror_the_way_to_name_one_is_told(open_archive: "OpenArchive") -> None:
    with pytest.raises(ArchiveError, match="no mirror of the archive 'debian' is known") as caught:
        open_archive(mirrors=[]).suite("tested", refresh=True)
    assert "ENVTOOL_DEBIAN_MIRROR" in str(caught.value.hint)


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


def test_a_kept_release_file_that_breaks_off_is_fetched_again(
    mirror: "Mirror", open_archive: "OpenArchive", tmp_path: Path
) -> None:
    mirror.publish(mirror.stanza("tiny"))
    archive = open_archive()
    archive.suite("tested", refresh=True)
    os.truncate(tmp_path / "cache/debian/debian/tested/InRelease", 100)
    assert archive.suite("tested", refresh=False).name == "tested"


def test_a_release_file_without_end_is_refused(
    mirror: "Mirror", open_archive: "OpenArchive", monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.publish(mirror.stanza("tiny"))
    monkeypatch.setattr("envtool.machine.debian.archive.MOST_RELEASE", 100)
    with pytest.raises(ArchiveError, match="larger than any Release file"):
        open_archive().suite("tested", refresh=True)


def test_the_security_archive_is_another(
    mirror: "Mirror", open_archive: "OpenArchive", tmp_path: Path
) -> None:
    mirror.publish(mirror.stanza("tiny"), suite="tested-security")
    security = tmp_path / "mirror/debian-security"
    mirror.root.rename(security)
    archive = open_archive(mirrors=[f"file:{tmp_path}/mirror/{{archive}}"])
    suite = archive.suite("tested-security", refresh=True)
    assert (suite.archive, suite.origin("main").archive) == ("debian-security", "debian-security")


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
