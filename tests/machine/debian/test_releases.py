"""Release files of suites: verified always, judged, kept as they were last seen."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pysequoia import SignatureMode, Tsk, sign

from envtool.errors import FetchError
from envtool.sources.debian.signature import ArchiveError

if TYPE_CHECKING:
    from fixtures.index import Index
    from fixtures.mirror import Mirror
    from machine.debian.conftest import OpenArchive

DAY = 86400


def test_a_suite_may_be_asked_for_by_either_name(
    mirror: "Mirror", open_archive: "OpenArchive"
) -> None:
    mirror.publish(mirror.stanza("tiny"))
    shutil.copytree(mirror.suite("tested"), mirror.suite("stable"))
    assert open_archive().suite("stable", refresh=True).origin("main").suite == "tested"


def test_offline_what_was_never_seen_is_told(open_archive: "OpenArchive") -> None:
    with pytest.raises(ArchiveError, match="never been fetched") as caught:
        open_archive(offline=True).suite("tested", refresh=False)
    assert caught.value.hint == "run it again without --offline"


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
    assert os.listdir(tmp_path / "cache/debian/debian/tested") == ["InRelease"]


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
    monkeypatch.setattr("envtool.machine.debian.releases.MOST_RELEASE", 100)
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
