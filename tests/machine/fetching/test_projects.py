"""What an index has under a name: asked once, then kept for some minutes."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import FetchError
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.fetching.projects import KEPT, Project, find_project

if TYPE_CHECKING:
    from fixtures.index import Index
    from fixtures.wheels import MakeWheel


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with Fetcher(offline=False, retries=0) as made:
        yield made


def test_the_newest_version_and_its_summary_are_found(
    index: "Index", make_wheel: "MakeWheel", fetcher: Fetcher, tmp_path: Path
) -> None:
    for version in ("1.0", "1.10", "1.9"):
        index.add(make_wheel("tiny_thing", version, summary="a tiny thing"))
    found = find_project("Tiny.Thing", index.url, str(tmp_path), fetcher)
    assert found == Project("tiny-thing", "1.10", "a tiny thing")
    assert index.paths() == [
        "/simple/tiny-thing/",
        "/files/tiny_thing-1.10-py3-none-any.whl.metadata",
    ]


def test_an_answer_is_kept_for_a_while(
    index: "Index", make_wheel: "MakeWheel", fetcher: Fetcher, tmp_path: Path
) -> None:
    index.add(make_wheel("tiny", "1.0"))

    def ask(now: float) -> str | None:
        found = find_project("tiny", index.url, str(tmp_path), fetcher, now=lambda: now)
        return found.version if found else None

    assert ask(1000) == "1.0"
    index.add(make_wheel("tiny", "2.0"))
    assert ask(1000 + KEPT - 1) == "1.0"
    assert ask(1000 + KEPT) == "2.0"
    assert ask(0) == "2.0"
    assert [path.suffix for path in (tmp_path / "projects").iterdir()] == [".json"]


def test_a_name_that_the_index_does_not_have_is_remembered_too(
    index: "Index", fetcher: Fetcher, tmp_path: Path
) -> None:
    assert find_project("none", index.url, str(tmp_path), fetcher) is None
    assert find_project("none", index.url, str(tmp_path), fetcher) is None
    assert index.paths() == ["/simple/none/"]


def test_a_summary_that_cannot_be_had_is_empty(
    index: "Index", make_wheel: "MakeWheel", fetcher: Fetcher, tmp_path: Path
) -> None:
    index.add(make_wheel("tiny", "1.0"))
    index.behaviour["/files/tiny-1.0-py3-none-any.whl.metadata"] = 403
    assert find_project("tiny", index.url, str(tmp_path), fetcher) == Project("tiny", "1.0", "")


def test_offline_what_is_kept_counts_whatever_its_age(
    index: "Index", make_wheel: "MakeWheel", fetcher: Fetcher, tmp_path: Path
) -> None:
    index.add(make_wheel("tiny", "1.0"))
    find_project("tiny", index.url, str(tmp_path), fetcher, now=lambda: 1000)
    with Fetcher(offline=True) as offline:
        found = find_project("tiny", index.url, str(tmp_path), offline, now=lambda: 10**9)
        assert found is not None
        with pytest.raises(FetchError, match="offline"):
            find_project("other", index.url, str(tmp_path), offline)


def test_an_index_that_fails_is_told_and_nothing_is_kept(
    index: "Index", fetcher: Fetcher, tmp_path: Path
) -> None:
    index.behaviour["/simple/tiny/"] = 500
    with pytest.raises(FetchError, match="500"):
        find_project("tiny", index.url, str(tmp_path), fetcher)
    assert list((tmp_path / "projects").iterdir()) == []


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"asked": 1, "version": 2, "summary": ""}'])
def test_a_damaged_answer_is_asked_for_again(
    index: "Index", make_wheel: "MakeWheel", fetcher: Fetcher, tmp_path: Path, damage: str
) -> None:
    index.add(make_wheel("tiny", "1.0"))
    first = find_project("tiny", index.url, str(tmp_path), fetcher)
    for path in (tmp_path / "projects").iterdir():
        path.write_text(damage)
    assert find_project("tiny", index.url, str(tmp_path), fetcher) == first
