"""Verifying: every kind of damage is found, told with its next command, and nothing is changed."""

import os
import shutil
import sqlite3
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import DatabaseError
from envtool.formats.nix.derivation import Derivation, Output, with_output_paths
from envtool.formats.nix.storepath import StorePath, make_text
from envtool.machine.collecting.roots import add_indirect
from envtool.machine.mending.problem import Problem
from envtool.machine.mending.verify import verify
from envtool.machine.profile import profile_of
from envtool.machine.settings import Settings
from envtool.machine.store import Store, Text
from envtool.reporting import SilentReporter, Step
from envtool.values import replace

if TYPE_CHECKING:
    from machine.conftest import AsOwner


def kinds(store: Store, *, contents: bool = True) -> set[tuple[str, str]]:
    return {(problem.kind, problem.name) for problem in verify(store, contents=contents)}


def damage(store: Store, path: StorePath, below: str = "", text: str = "other") -> None:
    """Write into an object in place, and leave no trace but the contents."""
    place = Path(store.physical(path), below) if below else Path(store.physical(path))
    place.chmod(0o644)
    place.write_text(text)
    place.chmod(0o444)
    os.utime(place, (1, 1))


@pytest.fixture
def tree(store: Store, tmp_path: Path) -> StorePath:
    (tmp_path / "source/sub").mkdir(parents=True)
    (tmp_path / "source/sub/tool").write_text("#!/bin/sh\n")
    (tmp_path / "source/sub/tool").chmod(0o755)
    (tmp_path / "source/data").write_text("data")
    (tmp_path / "source/link").symlink_to("data")
    return store.add_tree(str(tmp_path / "source"), "tree")


def test_store_of_which_there_is_nothing_yet_is_whole(store: Store, settings: Settings) -> None:
    assert verify(store, contents=True) == []
    assert not os.path.exists(settings.store)


def test_missing_changed_and_unknown_are_told_apart(store: Store, settings: Settings) -> None:
    missing = store.add_text("missing", b"1")
    changed = store.add_text("changed", b"2")
    os.unlink(store.physical(missing))
    damage(store, changed)
    Path(f"{settings.store}/stranger").write_text("")
    found = {("missing", missing), ("changed", changed), ("unknown", "stranger")}
    assert kinds(store) == found
    assert kinds(store, contents=False) == found - {("changed", changed)}


def test_each_problem_says_the_next_command(store: Store, settings: Settings) -> None:
    changed = store.add_text("changed", b"2")
    damage(store, changed)
    Path(f"{settings.store}/stranger").write_text("")
    hints = {problem.kind: problem.hint for problem in verify(store, contents=True)}
    assert hints == {
        "changed": f"envtool store verify --repair {changed}",
        "unknown": "envtool gc",
    }


def one(store: Store) -> Problem:
    (problem,) = verify(store, contents=True)
    return problem


@pytest.mark.parametrize("below", ["sub/tool", "data"])
def test_one_bit_of_a_file_in_a_tree_is_found(store: Store, tree: StorePath, below: str) -> None:
    place = Path(store.physical(tree), below)
    mode, content = place.stat().st_mode, place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    place.chmod(stat.S_IMODE(mode))
    os.utime(place, (1, 1))
    assert (one(store).kind, one(store).name) == ("changed", tree)


def test_link_that_leads_elsewhere_is_found(store: Store, tree: StorePath) -> None:
    folder = Path(store.physical(tree))
    folder.chmod(0o755)
    (folder / "link").unlink()
    (folder / "link").symlink_to("sub")
    os.utime(folder / "link", (1, 1), follow_symlinks=False)
    os.utime(folder, (1, 1))
    folder.chmod(0o555)
    assert one(store).kind == "changed"


@pytest.mark.parametrize("mode", [0o644, 0o400, 0o4444, 0o666])
def test_mode_of_no_store_object_is_found(store: Store, tree: StorePath, mode: int) -> None:
    Path(store.physical(tree), "data").chmod(mode)
    problem = one(store)
    assert (problem.kind, problem.name) == ("metadata", tree)
    assert f"data has the mode {mode:04o} instead of 0444 or 0555" in problem.message


def test_folder_that_can_be_written_to_is_found(store: Store, tree: StorePath) -> None:
    Path(store.physical(tree), "sub").chmod(0o755)
    assert "sub has the mode 0755 instead of 0555" in one(store).message


def test_execute_bit_is_contents(store: Store, tree: StorePath) -> None:
    Path(store.physical(tree), "data").chmod(0o555)
    assert one(store).kind == "changed"


def test_modification_times_are_checked_those_in_the_future_too(
    store: Store, tree: StorePath
) -> None:
    for below in ("data", "sub", "link"):
        os.utime(Path(store.physical(tree), below), (1 << 33, 1 << 33), follow_symlinks=False)
    problem = one(store)
    assert problem.kind == "metadata"
    assert "has the modification time 8589934592 instead of 1; 2 more like it" in problem.message


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_file_of_another_user_is_found(store: Store, tree: StorePath) -> None:
    os.chown(Path(store.physical(tree), "data"), 12345, -1)
    assert "belongs to user 12345" in one(store).message


def test_object_that_holds_a_fifo_cannot_be_read_and_nobody_waits(
    store: Store, tree: StorePath
) -> None:
    folder = Path(store.physical(tree))
    folder.chmod(0o755)
    os.mkfifo(folder / "pipe")
    folder.chmod(0o555)
    assert one(store).kind == "unreadable"


def test_file_that_may_not_be_read_is_unreadable(settings: Settings, as_owner: "AsOwner") -> None:
    code = (
        "import os, sys; from envtool.machine.store import Store; from envtool.machine.settings"
        " import Settings; from envtool.machine.mending.verify import verify\n"
        "store = Store(Settings(sys.argv[2], fsync=False)); path = store.add_text('a', b'text')\n"
        "os.chmod(store.physical(path), 0)\n"
        "print([problem.kind for problem in verify(store, contents=True)])\n"
    )
    os.makedirs(settings.root)
    assert as_owner(code, settings.root) == "['unreadable']\n"


def test_only_the_paths_asked_for_are_read(store: Store, settings: Settings) -> None:
    first, second = store.add_text("first", b"1"), store.add_text("second", b"2")
    for path in (first, second):
        damage(store, path)
    Path(f"{settings.store}/stranger").write_text("")
    found = verify(store, contents=True, paths=[second, make_text("unknown", b"")])
    assert [(problem.kind, problem.name) for problem in found] == [("changed", second)]


# -- derivations


def derivation(name: str, *inputs: StorePath) -> Derivation:
    bare = Derivation(
        name,
        {"out": Output(None)},
        dict.fromkeys(inputs, ("out",)),
        frozenset(),
        "x86_64-linux",
        "/b",
        (),
        {},
    )
    return with_output_paths(bare, lambda _: "0" * 64)


def test_derivation_whose_outputs_do_not_follow_from_its_inputs_is_found(store: Store) -> None:
    (below,) = store.add_derivations([derivation("below")])
    (liar,) = store.add_derivations([derivation("liar", below)])
    assert kinds(store) == {("derivation", liar)}


def test_file_that_is_no_derivation_is_found(store: Store) -> None:
    text = store.add_text("plain", b"no derivation")
    info = store.info(text)
    path = make_text("thing.drv", b"no derivation")
    shutil.copy2(store.physical(text), store.physical(path))
    store.database.register([replace(info, path=path)])
    assert kinds(store) == {("derivation", path)}


def test_damaged_derivation_is_told_once_and_its_users_are_not(store: Store) -> None:
    good = derivation("below")
    (below,) = store.add_derivations([good])
    (user,) = store.add_derivations([derivation("user", below)])
    damage(store, below)
    assert kinds(store) == {("changed", below)}
    assert user not in dict(kinds(store))


def test_derivation_with_other_outputs_registered_is_found(
    store: Store, settings: Settings
) -> None:
    (drv,) = store.add_derivations([derivation("thing")])
    sql(
        store,
        settings,
        "update DerivationOutputs set path = '/envtool/store/' || ?",
        "0" * 32 + "-x",
    )
    assert kinds(store) == {("database", drv)}


# -- the database


def sql(store: Store, settings: Settings, command: str, *given: object) -> None:
    store.close()
    connection = sqlite3.connect(settings.database)
    connection.execute(command, given)
    connection.commit()
    connection.close()


def test_references_to_what_has_no_row_are_found(store: Store, settings: Settings) -> None:
    source = store.add_text("source", b"")
    store.add_text("user", b"", [source])
    sql(store, settings, "delete from ValidPaths where path like '%source'")
    assert kinds(store, contents=False) == {
        ("database", settings.database),
        ("unknown", source),
    }


def test_wrong_size_in_a_row_is_found(store: Store, settings: Settings) -> None:
    path = store.add_text("text", b"")
    sql(store, settings, "update ValidPaths set narSize = 7")
    assert kinds(store) == {("database", path)}


def test_missing_schema_file_is_written_again(store: Store, settings: Settings) -> None:
    store.add_text("text", b"")
    schema = Path(settings.database).with_name("schema")
    store.close()
    schema.unlink()
    assert kinds(store, contents=False) == set()
    assert schema.read_text() == "10"


def test_index_that_disagrees_with_its_table_is_damage(store: Store, settings: Settings) -> None:
    one = store.add_text("one", b"")
    store.add_text("two", b"", [one])
    store.close()
    connection = sqlite3.connect(settings.database)
    query = "select name, rootpage from sqlite_master where name like 'IndexRefer%'"
    pages = dict(connection.execute(query).fetchall())
    connection.execute("pragma writable_schema = on")
    for name, other in zip(pages, reversed(pages.values()), strict=True):
        connection.execute("update sqlite_master set rootpage = ? where name = ?", (other, name))
    connection.commit()
    connection.close()
    with pytest.raises(DatabaseError, match="damaged") as caught:
        verify(store, contents=True)
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("envtool store verify --repair")


@pytest.mark.parametrize("column", ["path", "hash"])
@pytest.mark.parametrize("wrong", ["nonsense", b"/envtool/store/\xff\xfe", ""])
def test_row_that_makes_no_sense_is_damage_of_the_database(
    column: str, wrong: object, store: Store, settings: Settings
) -> None:
    store.add_text("text", b"")
    sql(store, settings, f"update ValidPaths set {column} = ?", wrong)
    with pytest.raises(DatabaseError, match="damaged"):
        store.database.infos()


def test_text_that_is_no_utf_8_is_damage_of_the_database(store: Store, settings: Settings) -> None:
    store.add_text("text", b"")
    sql(store, settings, "update ValidPaths set path = cast(x'ff' as text)")
    with pytest.raises(DatabaseError, match="damaged"):
        store.database.infos()


# -- roots


def test_generation_whose_object_is_not_valid_is_found(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    there, gone = store.add_text("there", b""), make_text("gone", b"")
    profile = profile_of(settings, str(tmp_path / "envtool.toml"), "default")
    profile.set(gone)
    profile.set(there)
    add_indirect(settings, str(tmp_path / "result"), there)
    (problem,) = verify(store, contents=False)
    assert (problem.kind, problem.name) == ("dangling", gone)
    assert "default-1-link leads to" in problem.message


# -- several at once


class Counting(SilentReporter):
    """Adds up bytes; holds each step until two are under way, if asked to."""

    def __init__(self, together: int = 1) -> None:
        self.sizes: dict[str, int] = {}
        self.expected: list[tuple[str, int, int | None]] = []
        self._together = threading.Barrier(together)

    def expect(self, kind: str, count: int, size: int | None) -> None:
        self.expected.append((kind, count, size))

    def start(self, step: Step) -> None:
        self.sizes[step.label] = 0
        self._together.wait(10)

    def advance(self, step: Step, size: int) -> None:
        self.sizes[step.label] += size


def test_progress_is_counted_in_bytes(store: Store) -> None:
    paths = store.add_texts([Text("small", b"1"), Text("large", b"2" * 3_000_000)])
    reporter = Counting()
    verify(store, contents=True, reporter=reporter)
    sizes = {path: store.info(path).nar_size for path in paths}
    assert reporter.sizes == sizes
    assert reporter.expected == [("verify", 2, sum(sizes.values()))]


def test_large_objects_are_read_by_several_threads(settings: Settings) -> None:
    with Store(replace(settings, jobs=2)) as store:
        store.add_texts(Text(name, name.encode() * 5_000_000) for name in "ab")
        # Neither begins to be read before both do.
        assert verify(store, contents=True, reporter=Counting(together=2)) == []


class Adding(SilentReporter):
    """Adds something to the store when the first object has been read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def finish(self, step: Step) -> None:
        with Store(self._settings) as other:
            other.add_text("meanwhile", step.label.encode())


def test_object_registered_while_the_rest_is_read_is_no_stranger(
    store: Store, settings: Settings
) -> None:
    store.add_text("before", b"")
    assert verify(store, contents=True, reporter=Adding(settings)) == []
    assert len(store.database.infos()) == 2
