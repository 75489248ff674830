import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import StoreError
from envtool.formats.nix.storepath import StorePath, make_text
from envtool.machine import locks
from envtool.machine.collecting.gc import GcPlan, collect, plan
from envtool.machine.collecting.roots import Root, add_indirect, find_roots
from envtool.machine.mending.verify import verify
from envtool.machine.profile import Profile
from envtool.machine.settings import Settings
from envtool.machine.store import Store

if TYPE_CHECKING:
    from machine.conftest import AsOwner, Kills, Realised


def root(path: StorePath) -> Root:
    return Root("permanent", "a test", path)


def dead(planned: GcPlan) -> list[StorePath]:
    return [path for path, _ in planned.dead]


def keep(settings: Settings, path: StorePath, name: str = "kept") -> None:
    os.makedirs(settings.gcroots, exist_ok=True)
    os.symlink(f"{settings.store}/{path}", f"{settings.gcroots}/{name}")


# -- planning


def test_closure_of_a_root_lives_and_the_rest_is_dead(store: Store) -> None:
    a = store.add_text("a", b"")
    b = store.add_text("b", b"", [a])
    c = store.add_text("c", b"see", [b])
    other = store.add_text("other", b"another", [a])
    planned = plan(store, [root(b)])
    assert (planned.live_count, set(dead(planned))) == (2, {c, other})
    assert planned.freed == len(b"see" + b"another")


def test_dead_paths_are_listed_referrers_first(store: Store) -> None:
    a = store.add_text("a", b"")
    c = store.add_text("c", b"", [a])
    b = store.add_text("b", b"", [c])
    assert dead(plan(store, [])) == [b, c, a]


def test_derivation_of_a_live_output_lives_with_its_inputs(
    store: Store, realised: "Realised"
) -> None:
    source = store.add_text("source", b"")
    drv, output = realised("thing", source)
    assert dead(plan(store, [root(output)])) == []
    assert set(dead(plan(store, [root(output)], keep_derivations=False))) == {drv, source}


def test_output_of_a_live_derivation_dies_unless_it_is_kept(
    store: Store, realised: "Realised"
) -> None:
    drv, output = realised("thing")
    assert dead(plan(store, [root(drv)])) == [output]
    assert dead(plan(store, [root(drv)], keep_outputs=True)) == []


def test_roots_that_are_not_valid_keep_nothing(store: Store) -> None:
    a = store.add_text("a", b"")
    assert dead(plan(store, [root(make_text("gone", b""))])) == [a]


def test_unregistered_files_are_junk_but_work_under_way_is_not(
    store: Store, settings: Settings
) -> None:
    valid = store.add_text("valid", b"")
    code = (
        "import os, sys; from envtool.machine.store import Store\n"
        "from envtool.machine.settings import Settings\n"
        "print(Store(Settings(sys.argv[1])).scratch('x')); sys.stdout.flush(); os._exit(0)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, settings.root], capture_output=True, text=True, check=True
    )
    abandoned = os.path.basename(child.stdout.strip())
    for name in (abandoned, "stranger", make_text("left", b"")):
        Path(f"{settings.store}/{name}").write_text("1234")
    Path(store.scratch("mine")).write_text("")
    Path(f"{store.physical(make_text('old', b''))}.lock").write_text("")
    os.mkdir(f"{settings.store}/.links")
    with store.lock_path(make_text("now", b"")):
        Path(store.physical(make_text("now", b""))).write_text("")
        planned = plan(store, [root(valid)])
    expected = {abandoned, "stranger", make_text("left", b""), f"{make_text('old', b'')}.lock"}
    assert set(planned.junk) == expected
    assert planned.freed == 12


def test_planning_for_an_empty_root_creates_nothing(store: Store, settings: Settings) -> None:
    assert plan(store, []) == GcPlan((), (), 0, 0)
    assert not os.path.exists(settings.root)


# -- collecting


def test_collection_deletes_what_was_planned_and_frees_as_much(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "source" / "sub").mkdir(parents=True)
    (tmp_path / "source" / "sub" / "file").write_text("x")
    kept = store.add_text("kept", b"")
    tree = store.add_tree(str(tmp_path / "source"), "tree")
    Path(f"{settings.store}/junk").write_text("12345")
    keep(settings, kept)
    planned = plan(store, find_roots(settings))
    deleted: list[tuple[str, int]] = []
    done = collect(store, on_deleted=lambda name, size: deleted.append((name, size)))
    assert done.freed == planned.freed == 6
    assert deleted == [(tree, 1), ("junk", 5)]
    assert (done.dead, done.junk, done.live_count) == (planned.dead, ("junk",), 1)
    assert os.listdir(settings.store) == [kept]
    assert verify(store, contents=True) == []


def test_root_made_after_the_plan_is_respected(store: Store, settings: Settings) -> None:
    a = store.add_text("a", b"")
    b = store.add_text("b", b"", [a])
    assert dead(plan(store, find_roots(settings))) == [b, a]
    keep(settings, b)
    assert collect(store).dead == ()
    assert store.valid([a, b]) == {a, b}


def test_collection_stops_when_enough_is_free(store: Store) -> None:
    a = store.add_text("a", b"needed")
    b = store.add_text("b", b"referrer", [a])
    assert collect(store, max_freed=1).freed == len(b"referrer")
    assert store.valid([a, b]) == {a}
    assert verify(store, contents=True) == []


def test_deleted_generation_frees_its_object(store: Store, settings: Settings) -> None:
    one, two = store.add_text("one", b""), store.add_text("two", b"")
    profile = Profile(f"{settings.profiles}/p", "default", store=settings.store)
    profile.set(one)
    profile.set(two)
    assert dead(plan(store, find_roots(settings))) == []
    profile.delete([1])
    collect(store)
    assert store.valid([one, two]) == {two}


def test_stale_user_link_is_forgotten(store: Store, settings: Settings, tmp_path: Path) -> None:
    path = store.add_text("a", b"")
    add_indirect(settings, str(tmp_path / "result"), path)
    (tmp_path / "result").unlink()
    collect(store)
    assert os.listdir(f"{settings.gcroots}/auto") == []
    assert not store.is_valid(path)


def test_bytecode_goes_with_its_object(store: Store, settings: Settings) -> None:
    kept, gone = store.add_text("kept", b""), store.add_text("gone", b"")
    keep(settings, kept)
    for kind in ("objects", "environments"):
        for name in (kept, gone, "other"):
            os.makedirs(f"{settings.cache}/bytecode/{kind}/{name}/sub")
    collect(store)
    for kind in ("objects", "environments"):
        assert set(os.listdir(f"{settings.cache}/bytecode/{kind}")) == {kept, "other"}


def test_collector_waits_for_those_who_add(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    adding, waiting, added = threading.Event(), threading.Event(), list[StorePath]()

    def add() -> None:
        with Store(settings) as other, other.shared():
            adding.set()
            waiting.wait()
            added.append(other.add_text("a", b""))
            keep(settings, added[0])

    thread = threading.Thread(target=add)
    thread.start()
    adding.wait()
    collect(store, on_wait=lambda _: waiting.set())
    thread.join()
    assert store.valid(added) == set(added)


def test_process_that_keeps_collectors_away_cannot_collect(store: Store) -> None:
    with store.shared(), pytest.raises(StoreError, match="while this process adds"):
        collect(store)


def test_owner_without_privileges_collects_read_only_objects(
    settings: Settings, tmp_path: Path, as_owner: "AsOwner"
) -> None:
    (tmp_path / "source" / "sub").mkdir(parents=True)
    (tmp_path / "source" / "sub" / "file").write_text("x")
    code = (
        "import os, sys; from envtool.machine.store import *; from envtool.machine.settings import"
        " Settings; from envtool.machine.collecting.gc import *\n"
        "store = Store(Settings(sys.argv[2], fsync=False)); store.add_tree(sys.argv[3], 't')\n"
        "collect(store); print(os.listdir(store.settings.store))"
    )
    assert as_owner(code, settings.root, tmp_path / "source") == "[]\n"


def test_kill_while_collecting_leaves_every_valid_path_whole(kills: "Kills") -> None:
    assert kills("collect", every=17) > 50
