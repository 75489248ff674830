"""Temporary roots: in Nix's form, as long as they are needed, and never overlooked."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.formats.nix.storepath import StorePath, make_text
from envtool.machine import locks
from envtool.machine.collecting.gc import collect, plan
from envtool.machine.collecting.roots import find_roots
from envtool.machine.collecting.temproots import SCRATCH, drop_dead, read_temporary
from envtool.machine.locks import file_lock
from envtool.machine.settings import Settings
from envtool.machine.store import Store

if TYPE_CHECKING:
    from machine.conftest import AsOwner


ASKING = "with store.using(): store.is_valid(StorePath(sys.argv[2])); wait()"


def files(settings: Settings) -> list[str]:
    return sorted(os.listdir(settings.temproots)) if os.path.isdir(settings.temproots) else []


def kept(settings: Settings) -> set[StorePath]:
    """Return all temporary roots but those of scratch."""
    return {path for _, path in read_temporary(settings.temproots) if SCRATCH not in path}


def collector_may_come(settings: Settings) -> bool:
    with file_lock(f"{settings.state}/gc.lock", "the store", wait=False, keep=True) as free:
        return free


@contextmanager
def child(settings: Settings, code: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run code with a `store`; it waits at `wait()` until its standard input gets a line."""
    head = (
        "import os, sys\n"
        "from envtool.machine.settings import Settings\n"
        "from envtool.machine.store import Store\n"
        "from envtool.formats.nix.storepath import StorePath, make_text\n"
        "store = Store(Settings(sys.argv[1], fsync=False))\n"
        "def wait(): print('waiting', flush=True); sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", head + code, settings.root, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def reached(process: "subprocess.Popen[str]") -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == "waiting\n"


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


# -- the file


def test_file_is_named_and_written_as_nix_does(store: Store, settings: Settings) -> None:
    path = make_text("a", b"")
    with store.using():
        store.is_valid(path)
        (name,) = files(settings)
        lines = Path(f"{settings.temproots}/{name}").read_bytes().split(b"\0")
    assert name == str(os.getpid())
    assert lines[1:] == [path.full().encode(), b""]
    assert lines[0].startswith(b"/envtool/store/")


def test_file_is_locked_for_as_long_as_the_store_is_open(settings: Settings) -> None:
    with Store(settings) as store:
        store.scratch("x")
        assert locks.is_locked(f"{settings.temproots}/{os.getpid()}")
    assert files(settings) == []


def test_asking_outside_of_a_use_keeps_nothing(store: Store, settings: Settings) -> None:
    store.is_valid(make_text("a", b""))
    assert files(settings) == []


def test_everything_asked_about_or_made_is_kept_until_the_use_ends(
    store: Store, settings: Settings
) -> None:
    asked, locked = make_text("asked", b""), make_text("locked", b"")
    with store.using():
        with store.using():
            added = store.add_text("added", b"")
        store.is_valid(asked)
        with store.lock_path(locked):
            assert kept(settings) == {asked, locked, added}
    assert kept(settings) == set()


def test_use_in_another_thread_keeps_what_both_asked_about(
    store: Store, settings: Settings
) -> None:
    one, two = make_text("one", b""), make_text("two", b"")
    asked, done = threading.Event(), threading.Event()

    def use() -> None:
        with store.using():
            store.is_valid(one)
            asked.set()
            done.wait()

    thread = threading.Thread(target=use)
    thread.start()
    asked.wait()
    with store.using():
        store.is_valid(two)
    assert kept(settings) == {one, two}
    done.set()
    thread.join()
    assert kept(settings) == set()


def test_two_stores_of_one_process_have_files_of_their_own(settings: Settings) -> None:
    one, two = make_text("one", b""), make_text("two", b"")
    with Store(settings) as first, Store(settings) as second:
        with first.using(), second.using():
            first.is_valid(one)
            second.is_valid(two)
            assert files(settings) == [f"{os.getpid()}", f"{os.getpid()}-1"]
        with second.using():
            assert second.is_valid(two) is False
            first.close()
            assert kept(settings) == {two}


def test_leftover_of_a_process_with_the_same_number_is_begun_anew(
    store: Store, settings: Settings
) -> None:
    os.makedirs(settings.temproots)
    Path(f"{settings.temproots}/{os.getpid()}").write_bytes(b"/envtool/store/old\0")
    with store.using():
        assert files(settings) == [str(os.getpid())]
        assert b"old" not in Path(f"{settings.temproots}/{os.getpid()}").read_bytes()


def test_forked_child_keeps_what_was_in_use_when_its_parent_has_ended(settings: Settings) -> None:
    code = (
        "path = make_text('parents', b'')\n"
        "with store.using():\n"
        "    store.is_valid(path)\n"
        "    if os.fork(): os._exit(0)\n"
        "    store.is_valid(make_text('childs', b''))\n"
        "    wait()\n"
        "wait()\n"
    )
    with child(settings, code) as parent:
        assert reached(parent)
        parent.wait()
        assert kept(settings) == {make_text("parents", b""), make_text("childs", b"")}
        go_on(parent)
        assert reached(parent)
        # What it got from its parent stays locked as long as it lives itself.
        assert make_text("childs", b"") not in kept(settings)
        go_on(parent)


# -- its readers


def test_roots_of_a_killed_process_count_no_more(store: Store, settings: Settings) -> None:
    path = store.add_text("a", b"")
    with child(settings, ASKING, path) as process:
        assert reached(process)
        assert plan(store, find_roots(settings)).dead == ()
        process.kill()
        process.wait()
    assert len(files(settings)) == 2
    assert [path for path, _ in collect(store).dead] == [path]
    assert files(settings) == [str(os.getpid())]


def test_removed_file_says_so_to_a_nix_that_has_just_opened_it(settings: Settings) -> None:
    os.makedirs(settings.temproots)
    with open(f"{settings.temproots}/1234", "wb+") as opened:
        drop_dead(settings.temproots)
        assert files(settings) == []
        assert opened.read() == b"d"


def test_hidden_and_half_written_entries_are_passed_over(settings: Settings) -> None:
    os.makedirs(settings.temproots)
    Path(f"{settings.temproots}/.keep").write_text("")
    whole = make_text("whole", b"").full().encode()
    with open(f"{settings.temproots}/77", "wb") as file:
        file.write(whole + b"\0garbage\0" + whole[:30])
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        found = list(read_temporary(settings.temproots))
    assert found == [(f"{settings.temproots}/77", make_text("whole", b""))]


def test_file_that_cannot_be_read_stops_the_collector(
    settings: Settings, as_owner: "AsOwner"
) -> None:
    code = (
        "import os, sys; from envtool.machine.store import *\n"
        "from envtool.machine.collecting.gc import collect\n"
        "from envtool.machine.settings import Settings\n"
        "settings = Settings(sys.argv[2]); os.makedirs(settings.temproots)\n"
        "os.close(os.open(f'{settings.temproots}/5', os.O_CREAT, 0))\n"
        "try: collect(Store(settings))\n"
        "except StoreError as error: print(error.message)"
    )
    assert (
        as_owner(code, settings.root)
        == f"cannot look for GC roots in {settings.temproots}/5: Permission denied\n"
    )


# -- where none can be written


def test_where_no_root_can_be_written_the_collector_is_kept_away(
    store: Store, settings: Settings
) -> None:
    os.makedirs(settings.state)
    Path(settings.temproots).write_text("in the way")
    with store.using():
        assert not collector_may_come(settings)
        store.is_valid(make_text("a", b""))
    assert collector_may_come(settings)


def test_full_disk_keeps_the_collector_away_from_the_path_that_could_not_be_written(
    settings: Settings,
) -> None:
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with store.using():\n"
        "    store.is_valid(make_text('first', b''))\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "    for number in range(9): store.is_valid(make_text('x' * 50, bytes([number])))\n"
        "    wait()\n"
        "wait()\n"
    )
    with child(settings, code) as process:
        assert reached(process)
        assert not collector_may_come(settings)
        assert make_text("first", b"") in kept(settings)
        go_on(process)
        assert reached(process)
        assert collector_may_come(settings)


# -- beside a collector


def test_collector_does_not_wait_for_a_long_operation(store: Store, settings: Settings) -> None:
    used, unused = store.add_text("used", b""), store.add_text("unused", b"")
    with child(settings, ASKING, used) as process:
        assert reached(process)
        assert [path for path, _ in collect(store).dead] == [unused]
    assert store.valid([used, unused]) == {used}


def test_closure_of_what_is_used_stays(store: Store, settings: Settings) -> None:
    below = store.add_text("below", b"")
    above = store.add_text("above", b"", [below])
    with Store(settings) as other, other.using():
        assert other.is_valid(above)
        assert collect(store).dead == ()


def test_placed_path_that_is_not_registered_yet_is_no_junk(
    store: Store, settings: Settings
) -> None:
    path = make_text("placed", b"text")
    with Store(settings) as other, other.using():
        temporary = other.scratch("placed")
        Path(temporary).write_text("text")
        assert collect(store).junk == ()
        other.place(temporary, path, canonical=False)
        assert collect(store).junk == ()
    assert collect(store).junk == (path,)


def test_question_is_answered_after_the_collector_is_done(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    path = store.add_text("a", b"")
    asking, answers = threading.Event(), list[bool]()

    def ask() -> None:
        with Store(settings) as other, other.using(lambda _: asking.set()):
            answers.append(other.is_valid(path))

    thread = threading.Thread(target=ask)
    with store.exclusive():
        thread.start()
        asking.wait()
        store.database.delete([path])
    thread.join()
    assert answers == [False]


def test_process_in_the_middle_of_a_use_may_collect(store: Store) -> None:
    with store.using():
        used = store.add_text("used", b"")
        assert collect(store).dead == ()
    assert [path for path, _ in collect(store).dead] == [used]
