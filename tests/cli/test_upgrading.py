"""`upgrade` and `outdated`: only what was asked moves."""

import json
from typing import Any

import pytest


@pytest.fixture
def offering(place: Any, index: Any, make_wheel: Any, envtool: Any) -> Any:
    """Lock alpha (which requires beta) and gamma; then offer a newer version of each."""
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    for name, requires in (("alpha", ["beta"]), ("beta", []), ("gamma", [])):
        index.add(make_wheel(name, "1.0", requires=requires), upload_time="2024-01-01T00:00:00Z")
    assert envtool("add", "alpha", "gamma").returncode == 0
    for name, requires in (("alpha", ["beta"]), ("beta", []), ("gamma", [])):
        index.add(make_wheel(name, "2.0", requires=requires), upload_time="2025-01-01T00:00:00Z")
        index.add(make_wheel(name, "3.0", requires=requires), upload_time="2026-01-01T00:00:00Z")
    return index


def versions(envtool: Any) -> dict[str, str]:
    ended = envtool("tree", "--json")
    assert ended.returncode == 0, ended.stderr
    return {each["name"]: each["version"] for each in json.loads(ended.stdout)["packages"]}


def test_everything_moves_when_nothing_is_named(offering: Any, envtool: Any) -> None:
    assert versions(envtool) == {"alpha": "1.0", "beta": "1.0", "gamma": "1.0"}
    ended = envtool("upgrade")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("generation 2 of demo")
    assert versions(envtool) == {"alpha": "3.0", "beta": "3.0", "gamma": "3.0"}
    assert "nothing to do" in envtool("upgrade").stdout
    assert envtool("rollback").returncode == 0
    assert versions(envtool) == {"alpha": "1.0", "beta": "1.0", "gamma": "1.0"}


def test_only_what_is_named_moves(offering: Any, envtool: Any) -> None:
    assert envtool("upgrade", "Alpha").returncode == 0
    assert versions(envtool) == {"alpha": "3.0", "beta": "1.0", "gamma": "1.0"}


def test_a_date_holds_for_what_is_named_and_for_nothing_else(offering: Any, envtool: Any) -> None:
    assert envtool("upgrade", "gamma").returncode == 0
    ended = envtool("upgrade", "beta", "--exclude-newer", "2025-06-01")
    assert ended.returncode == 0, ended.stderr
    assert versions(envtool) == {"alpha": "1.0", "beta": "2.0", "gamma": "3.0"}


def test_a_date_alone_holds_for_everything(offering: Any, envtool: Any) -> None:
    assert envtool("upgrade", "--exclude-newer", "2025-06-01").returncode == 0
    assert versions(envtool) == {"alpha": "2.0", "beta": "2.0", "gamma": "2.0"}


def test_what_is_outdated_is_told_and_nothing_changes(offering: Any, envtool: Any) -> None:
    ended = envtool("outdated")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["alpha", "1.0", "->", "3.0"]
    assert lines[1].split() == ["beta", "1.0", "->", "3.0", "indirect"]
    assert lines[-1] == "next: `envtool upgrade`"
    assert versions(envtool) == {"alpha": "1.0", "beta": "1.0", "gamma": "1.0"}
    assert envtool("lock", "--check").returncode == 0
    told = json.loads(envtool("outdated", "gamma", "--json").stdout)
    assert told["outdated"]
    changed = [
        (each["before"]["name"], each["after"]["version"]) for each in told["changes"]["changed"]
    ]
    assert changed == [("gamma", "3.0")]


def test_with_nothing_newer_it_says_so(offering: Any, envtool: Any) -> None:
    assert envtool("upgrade").returncode == 0
    assert "everything is at the newest versions" in envtool("outdated").stdout
    assert json.loads(envtool("outdated", "--json").stdout)["outdated"] is False


@pytest.mark.parametrize("command", ["upgrade", "outdated"])
def test_a_name_that_is_not_locked_is_refused(offering: Any, envtool: Any, command: str) -> None:
    ended = envtool(command, "alpa")
    assert ended.returncode == 1
    assert "the lock has no package alpa" in ended.stderr
    assert "did you mean alpha?" in ended.stderr


def test_without_a_lock_there_is_nothing_to_upgrade(envtool: Any) -> None:
    ended = envtool("upgrade")
    assert ended.returncode == 1
    assert "no lock yet" in ended.stderr
    assert "envtool switch" in ended.stderr


@pytest.mark.parametrize("written", ["yesterday", "7m", "2026-02-31", "d"])
def test_what_is_no_time_is_refused(envtool: Any, written: str) -> None:
    ended = envtool("upgrade", "--exclude-newer", written)
    assert ended.returncode == 2
    assert written in ended.stderr
    assert "an age such as 7d" in ended.stderr


def test_an_offline_upgrade_says_what_it_lacks(offering: Any, envtool: Any, place: Any) -> None:
    ended = envtool("--offline", "upgrade", environ={"ENVTOOL_ROOT": str(place.root) + "2"})
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert versions(envtool) == {"alpha": "1.0", "beta": "1.0", "gamma": "1.0"}
