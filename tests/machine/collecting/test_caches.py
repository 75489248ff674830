"""What of the cache goes: what is about store paths that are gone, and what lies idle."""

import json
import os
import time
from pathlib import Path

import pytest

from envtool.formats.nix.storepath import StorePath
from envtool.machine.adhoc import made_up
from envtool.machine.collecting.caches import IDLE, drop, find
from envtool.machine.store import Store
from envtool.values import replace

NOW = time.time()
GONE = StorePath("0" * 32 + "-gone")


@pytest.fixture
def cache(store: Store) -> Path:
    folder = Path(store.settings.cache)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def valid(store: Store) -> StorePath:
    return store.add_text("valid", b"")


def write(path: Path, text: str = "", *, idle: bool = False) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if idle:
        for each in (path, path.parent):
            os.utime(each, (NOW - IDLE - 60, NOW - IDLE - 60))
    return str(path)


def dropped(store: Store, *, now: float = NOW) -> set[str]:
    planned = find(store, (), now)
    done = drop(store, now)
    assert done == planned, "it is told before as it is done"
    assert not any(os.path.lexists(each.path) for each in done)
    return {each.path for each in done}


def evaluation(*paths: StorePath) -> str:
    known = [{"derivation": each, "output": each, "modulo": "0" * 64} for each in paths]
    return json.dumps([{"name": "a", "known": each} for each in known])


def test_what_is_about_paths_that_are_gone_goes(
    store: Store, cache: Path, valid: StorePath
) -> None:
    wheel = {"block": "", "modulo": "", "requires": [], "python": ""}
    goes = {
        write(cache / "evaluations/a.json", evaluation(valid, GONE)),
        write(
            cache / "entries/k/a-1.json", json.dumps(wheel | {"derivation": valid, "output": GONE})
        ),
        write(cache / "commits/a", GONE),
    }
    stays = {
        write(cache / "evaluations/b.json", evaluation(valid)),
        write(
            cache / "entries/k/b-1.json", json.dumps(wheel | {"derivation": valid, "output": valid})
        ),
        write(cache / "commits/b", valid),
    }
    assert dropped(store) == goes
    assert all(map(os.path.exists, stays))
    assert {each.path for each in find(store, [valid], NOW)} == stays


def test_what_was_not_used_for_a_month_goes(store: Store, cache: Path, valid: StorePath) -> None:
    goes = {
        write(cache / "evaluations/a.json", evaluation(valid), idle=True),
        write(cache / "projects/a.json", "{}", idle=True),
        os.path.dirname(write(cache / "debian/debian/old/InRelease", "", idle=True)),
    }
    for name in ("evaluations/b.json", "projects/b.json", "debian/debian/new/InRelease"):
        write(cache / name, evaluation(valid))
    assert dropped(store) == goes


def test_what_was_read_lately_is_no_older_than_that(store: Store, cache: Path) -> None:
    read = write(cache / "debian/debian/trixie/packages/Packages", idle=True)
    os.utime(read, (NOW - 60, NOW - IDLE - 60))
    assert dropped(store) == set()


def test_a_look_is_no_use(store: Store, cache: Path, valid: StorePath) -> None:
    path = write(cache / "evaluations/a.json", evaluation(valid))
    os.utime(path, (NOW - IDLE + 60, NOW - IDLE + 60))
    before = os.stat(path).st_atime_ns
    assert dropped(store) == set()
    assert os.stat(path).st_atime_ns == before


def test_what_the_network_is_needed_for_stays_offline(store: Store, cache: Path) -> None:
    write(cache / "projects/a.json", "{}", idle=True)
    write(cache / "debian/debian/old/InRelease", idle=True)
    with Store(replace(store.settings, offline=True)) as offline:
        assert dropped(offline) == set()


def test_a_stamp_is_as_old_as_it_is_there(store: Store, cache: Path) -> None:
    stamp = write(cache / "prompt/1000", idle=True)
    assert dropped(store) == set()
    assert dropped(store, now=time.time() + IDLE + 60) == {stamp}


def test_a_declaration_without_a_file_goes_when_nobody_enters_it(
    store: Store, cache: Path, valid: StorePath
) -> None:
    folders = [os.path.dirname(made_up(store.settings, [name])) for name in ("a", "b", "c", "d")]
    for folder in folders[1:]:
        os.utime(folder, (NOW - IDLE - 60, NOW - IDLE - 60))
    assert os.path.dirname(made_up(store.settings, ["b"])) == folders[1], "entered again"
    for folder, target in ((folders[2], valid), (folders[3], GONE)):
        os.mkdir(f"{folder}/profile")
        os.symlink(f"{store.settings.store}/{target}", f"{folder}/profile/default-1-link")
        os.symlink("default-1-link", f"{folder}/profile/default")
        os.utime(folder, (NOW - IDLE - 60, NOW - IDLE - 60))
    assert dropped(store) == {folders[3]}
    assert {each.path for each in find(store, [valid], NOW)} == {folders[2]}


def test_leftovers_of_a_kill_go(store: Store, cache: Path) -> None:
    left = {str(cache / "adhoc/.del-a"), str(cache / "debian/debian/.del-b")}
    for each in left:
        os.makedirs(each)
    assert dropped(store) == left


def test_what_is_damaged_is_left_to_whoever_reads_it(store: Store, cache: Path) -> None:
    for at, text in enumerate(("", "{", "[1", '[{"derivation": "x"}]', "\xff", "null")):
        write(cache / f"evaluations/{at}.json", text)
        write(cache / f"entries/k/{at}.json", text)
        write(cache / f"commits/{at}", text)
    assert dropped(store) == set()
    assert len(dropped(store, now=time.time() + IDLE + 60)) == 18
    assert not (cache / "entries/k").exists()


def test_without_a_cache_there_is_nothing_to_do(store: Store) -> None:
    assert dropped(store) == set()
