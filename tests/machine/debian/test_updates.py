"""A release is its suite, its updates and its security updates, as far as there are any."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import FetchError
from envtool.machine.debian.updates import suites_of
from envtool.machine.settings import Settings
from envtool.sources.debian.signature import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fixtures.mirror import Mirror
    from machine.debian.conftest import OpenArchive

    Names = Callable[..., list[str]]


@pytest.fixture
def security(mirror: "Mirror") -> "Mirror":
    """Give the archive of security updates of the mirror."""
    return replace(mirror, root=mirror.root.with_name("debian-security"), fields={})


@pytest.fixture
def names(mirror: "Mirror", open_archive: "OpenArchive") -> "Names":
    """Return the names of the suites of a release, from a mirror that has both archives."""

    def run(release: str = "tested", *, refresh: bool = True, offline: bool = False) -> list[str]:
        archive = open_archive(mirrors=[f"file:{mirror.root.parent}/{{archive}}"], offline=offline)
        return [suite.name for suite in suites_of(archive, release, refresh=refresh)]

    return run


def test_a_release_has_updates_and_security_updates(
    mirror: "Mirror", security: "Mirror", names: "Names"
) -> None:
    mirror.publish(mirror.stanza("tool"))
    mirror.publish(mirror.stanza("tool"), suite="tested-updates")
    security.publish(mirror.stanza("tool"), suite="tested-security")
    assert names() == ["tested", "tested-updates", "tested-security"]
    assert names("tested-security") == ["tested-security"]


def test_an_alias_has_those_of_the_release_that_it_means(mirror: "Mirror", names: "Names") -> None:
    mirror.publish(mirror.stanza("tool"))
    mirror.publish(mirror.stanza("tool"), suite="tested-updates")
    shutil.copytree(mirror.suite("tested"), mirror.suite("stable"))
    assert names("stable") == ["stable", "tested-updates"]


def test_who_has_none_is_not_at_fault(
    mirror: "Mirror", names: "Names", open_archive: "OpenArchive"
) -> None:
    mirror.publish(mirror.stanza("tool"))
    assert names() == ["tested"]
    alone = open_archive(mirrors=[mirror.url])  # nobody knows of an archive of security updates
    assert [each.name for each in suites_of(alone, "tested", refresh=True)] == ["tested"]
    assert alone.releases.kept() == ("tested",)


def test_without_refreshing_they_are_as_they_were_seen(
    mirror: "Mirror", security: "Mirror", names: "Names"
) -> None:
    mirror.publish(mirror.stanza("tool"))
    assert names() == ["tested"]
    security.publish(mirror.stanza("tool"), suite="tested-security")
    assert names(refresh=False) == ["tested"]
    assert names() == ["tested", "tested-security"]
    shutil.rmtree(mirror.root.parent)
    assert names(refresh=False) == ["tested", "tested-security"]
    assert names(offline=True) == ["tested", "tested-security"]


def test_a_suite_that_was_never_seen_comes_with_its_updates(
    mirror: "Mirror", security: "Mirror", names: "Names"
) -> None:
    mirror.publish(mirror.stanza("tool"))
    security.publish(mirror.stanza("tool"), suite="tested-security")
    assert names(refresh=False) == ["tested", "tested-security"]


def test_security_updates_that_are_past_their_time_are_refused(
    mirror: "Mirror", security: "Mirror", names: "Names"
) -> None:
    mirror.publish(mirror.stanza("tool"))
    security.fields = {"Valid-Until": mirror.when(mirror.now - 60)}
    security.publish(mirror.stanza("tool"), suite="tested-security")
    with pytest.raises(ArchiveError, match=r"tested-security/InRelease counted until 2026\d+T"):
        names()


def test_security_updates_that_are_gone_are_missed(
    mirror: "Mirror", security: "Mirror", names: "Names"
) -> None:
    mirror.publish(mirror.stanza("tool"))
    security.publish(mirror.stanza("tool"), suite="tested-security")
    names()
    shutil.rmtree(security.root)
    with pytest.raises(ArchiveError, match="the suite tested-security is gone") as caught:
        names()
    kept = (caught.value.hint or "").rpartition("delete ")[2]
    shutil.rmtree(kept)
    assert names() == ["tested"]


def test_a_mirror_that_does_not_answer_is_not_one_without_updates(
    mirror: "Mirror", open_archive: "OpenArchive"
) -> None:
    mirror.publish(mirror.stanza("tool"))
    archive = open_archive(mirrors=[mirror.url, "http://127.0.0.1:1/debian-security"])
    with pytest.raises(FetchError, match=r"127\.0\.0\.1"):
        suites_of(archive, "tested", refresh=True)


def test_the_stable_release_of_the_hosts_mirror_has_them_all(tmp_path: Path) -> None:
    from envtool.machine.debian.archive import open_archive
    from envtool.machine.fetching.fetch import Fetcher

    with Fetcher(offline=False) as fetcher:
        archive = open_archive(Settings(root=str(tmp_path)), fetcher)
        found = suites_of(archive, "stable", refresh=True)
    release = found[0].release.codename
    assert [(each.name, each.archive) for each in found] == [
        ("stable", "debian"),
        (f"{release}-updates", "debian"),
        (f"{release}-security", "debian-security"),
    ]
    assert all(archive.has_component(each, "main") for each in found)
    assert len({each.timestamp for each in found}) > 1
