"""A clock that jumps: dates are told to people and choose what goes first, and nothing else."""

import time
from pathlib import Path

import pytest

from envtool.errors import StoreError
from envtool.machine.collecting.gc import collect
from envtool.machine.mending.recover import rebuild
from envtool.machine.mending.verify import verify
from envtool.machine.profile import profile_of
from envtool.machine.settings import Settings
from envtool.machine.sharing.optimise import optimise
from envtool.machine.store import Store
from envtool.reporting import SilentReporter

JUMPS = (1_700_000_000, 4_000_000_000, 0, 1_700_000_001, 1 << 40, 5)
"""Seconds since the epoch, one after the other."""


def test_whatever_the_clock_says_what_was_valid_stays(
    store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    profile = profile_of(settings, "/project/envtool.toml", "default")
    kept = []
    for number, now in enumerate(JUMPS):
        monkeypatch.setattr(time, "time", lambda now=now: float(now))
        (tmp_path / "source/file").write_text(str(number))
        below = store.add_tree(str(tmp_path / "source"), "tree")
        kept.append(store.add_text("above", below.full().encode(), [below]))
        profile.set(kept[-1])
        store.add_text("dead", str(number).encode())
        optimise(store, SilentReporter())
        assert [path.name for path, _ in collect(store).dead] == ["dead"]
        assert store.valid(kept) == set(kept)
        assert verify(store, contents=True) == []
    assert [each.path for each in profile.generations()] == kept
    profile.roll_back()
    assert collect(store).dead == ()


def test_what_was_registered_first_by_the_clock_goes_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {}
    for now in JUMPS:
        monkeypatch.setattr(time, "time", lambda now=now: float(now))
        paths[now] = store.add_text("text", str(now).encode())
    gone = []
    for _ in JUMPS:
        gone += [path for path, _ in collect(store, max_freed=1).dead]
    assert gone == [paths[now] for now in sorted(JUMPS)]


def test_databases_that_were_damaged_at_the_same_instant_are_all_kept(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_: "19700101-000000")
    path = store.add_text("text", b"")
    kept = set()
    for _ in range(3):
        store.close()
        Path(settings.database).write_bytes(b"damaged")
        with pytest.raises(StoreError):
            store.is_valid(path)
        kept.add(rebuild(store, SilentReporter()).kept)
        assert store.is_valid(path)
    assert len(kept) == 3
