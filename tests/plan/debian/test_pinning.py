"""Closures pinned, from mirrors: what a lock says, and where else a missing package is."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import ResolutionError
from envtool.machine.debian.archive import Archive
from envtool.machine.debian.mirrors import Mirrors
from envtool.machine.debian.releases import Releases
from envtool.machine.fetching.fetch import Fetcher
from envtool.plan.debian.pinning import pin_closure

if TYPE_CHECKING:
    from fixtures.mirror import Mirror


@pytest.fixture
def archive(mirror: "Mirror", tmp_path: Path) -> Iterator[Archive]:
    with Fetcher(offline=False, retries=0) as fetcher:
        mirrors = Mirrors((f"file:{tmp_path}/mirror/{{archive}}",))
        releases = Releases(
            str(tmp_path / "cache"),
            fetcher,
            mirrors,
            keys=mirror.keys,
            now=lambda: float(mirror.now),
        )
        yield Archive(releases, fetcher, mirrors, "amd64")


def test_each_package_is_pinned_to_its_suite_and_time(mirror: "Mirror", archive: Archive) -> None:
    security = mirror.root.with_name("debian-security")
    mirror.publish(mirror.stanza("tool", "1.1"), suite="tested-security", date=mirror.now - 60)
    mirror.root.rename(security)
    mirror.publish(mirror.stanza("tool", "1.0", depends="base"), mirror.stanza("base"))
    found = pin_closure(archive, ["tool", "base"], ["tested"], refresh=True)
    assert [(each.name, each.version, each.archive, each.suite) for each in found.packages] == [
        ("base", "1.0", "debian", "tested"),
        ("tool", "1.1", "debian-security", "tested-security"),
    ]
    assert [each.timestamp for each in found.packages] == ["20260920T141320Z", "20260921T141220Z"]
    assert found.packages[0].path == "pool/main/base/base_1.0_amd64.deb"


def test_what_updates_do_not_have_is_that_of_the_release(
    mirror: "Mirror", archive: Archive
) -> None:
    mirror.publish(mirror.stanza("tool", "1.1"), suite="tested-updates")  # has no contrib
    mirror.components = {"contrib": [mirror.stanza("extra", depends="tool (>= 1.0)")]}
    mirror.publish(mirror.stanza("tool", "1.0"))
    found = pin_closure(archive, ["extra"], ["tested"], ["main", "contrib"], refresh=True)
    assert [(each.name, each.version, each.suite) for each in found.packages] == [
        ("extra", "1.0", "tested"),
        ("tool", "1.1", "tested-updates"),
    ]


def test_an_older_version_serves_who_asks_for_it(mirror: "Mirror", archive: Archive) -> None:
    mirror.publish(mirror.stanza("tool", "1.1"), suite="tested-updates")
    mirror.publish(mirror.stanza("plugin", depends="tool (= 1.0)"), mirror.stanza("tool", "1.0"))
    found = pin_closure(archive, ["plugin"], ["tested"], refresh=True)
    assert [str(each.version) for each in found.packages if each.name == "tool"] == ["1.0"]


def test_several_components_are_one(mirror: "Mirror", archive: Archive) -> None:
    mirror.components = {"contrib": [mirror.stanza("extra", depends="tool")]}
    mirror.publish(mirror.stanza("tool"))
    found = pin_closure(archive, ["extra"], ["tested"], ["main", "contrib"], refresh=True)
    assert [(each.name, each.component) for each in found.packages] == [
        ("extra", "contrib"),
        ("tool", "main"),
    ]


def test_a_component_that_has_what_is_missing_is_told(mirror: "Mirror", archive: Archive) -> None:
    mirror.components = {"contrib": [mirror.stanza("extra", "2.0")]}
    mirror.publish(mirror.stanza("tool"))
    with pytest.raises(ResolutionError, match="tested has no package extra") as caught:
        pin_closure(archive, ["extra"], ["tested"], refresh=True)
    assert caught.value.hint == "the component contrib of tested has extra 2.0"


def test_a_suite_that_was_never_asked_for_is_told(mirror: "Mirror", archive: Archive) -> None:
    mirror.publish(mirror.stanza("python3.14", "3.14.1"), suite="newer")
    mirror.fields = {"Suite": "testing", "Codename": "newer"}
    mirror.publish(mirror.stanza("python3.14", "3.14.1"), suite="newer")
    shutil.copytree(mirror.suite("newer"), mirror.suite("testing"))
    mirror.fields = {}
    mirror.publish(mirror.stanza("python3.13", "3.13.5"))
    with pytest.raises(ResolutionError, match=r"has no package python3\.14") as caught:
        pin_closure(archive, ["python3.14"], ["tested"], refresh=True)
    assert caught.value.hint == "the suite testing has python3.14 3.14.1"


def test_for_a_name_that_is_mistyped_no_other_suite_is_fetched(
    mirror: "Mirror", archive: Archive
) -> None:
    mirror.publish(mirror.stanza("graphviz"))
    shutil.copytree(mirror.suite("tested"), mirror.suite("stable"))
    with pytest.raises(ResolutionError) as caught:
        pin_closure(archive, ["grahpviz"], ["tested"], refresh=True)
    assert caught.value.hint == "did you mean graphviz?"
    assert archive.releases.kept() == ("tested",)


def test_what_conflicts_is_told_with_who_asks(mirror: "Mirror", archive: Archive) -> None:
    mirror.publish(
        mirror.stanza("shop", depends="till, ledger"),
        mirror.stanza("till", conflicts="ledger (<< 2)"),
        mirror.stanza("ledger"),
    )
    with pytest.raises(ResolutionError) as caught:
        pin_closure(archive, ["shop"], ["tested"], refresh=True)
    assert "till 1.0, which shop 1.0 needs, conflicts with ledger (<< 2)" in caught.value.message
