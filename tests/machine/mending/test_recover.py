"""A damaged database is made again: what proves itself stays valid, what does not is left."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import DatabaseError
from envtool.formats.nix import nar
from envtool.formats.nix.derivation import Derivation, Output, with_output_paths
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.mending.recover import Recovered, adopt, rebuild
from envtool.machine.mending.verify import verify
from envtool.machine.settings import Settings
from envtool.machine.store import Store, Text, output_paths
from envtool.reporting import SilentReporter
from envtool.values import replace

if TYPE_CHECKING:
    from machine.conftest import Kills


def derivation(name: str, *sources: StorePath) -> Derivation:
    bare = Derivation(
        name, {"out": Output(None)}, {}, frozenset(sources), "x86_64-linux", "/b", (), {}
    )
    return with_output_paths(bare, lambda _: "")


def realised(store: Store, made: Derivation, text: str, *, references: set[StorePath]) -> StorePath:
    """Place and register an output of the derivation, which says what it refers to."""
    (drv,) = store.add_derivations([made])
    output = output_paths(made)["out"]
    temporary = store.scratch(made.name)
    Path(temporary).mkdir()
    Path(temporary, "file").write_text(text)
    nar_hash, size = nar.hash_path(temporary)
    store.place(temporary, output, canonical=False)
    info = PathInfo(output, nar_hash, size, frozenset(references), deriver=drv)
    store.register([replace(info, signatures=("key:abc",), registration_time=5)])
    return output


@pytest.fixture
def source(store: Store, tmp_path: Path) -> StorePath:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_text("data")
    return store.add_tree(str(folder), "data")


@pytest.fixture
def filled(store: Store, source: StorePath) -> dict[StorePath, PathInfo]:
    """Fill the store with every sort of object, and return its registrations."""
    text = store.add_text("text", source.full().encode(), [source])
    made = derivation("thing", source, text)
    realised(store, made, source.full(), references={source})
    store.add_texts(Text(f"text-{number}", b"") for number in range(300))
    return store.database.infos()


def recovered(store: Store) -> Recovered:
    return rebuild(store, SilentReporter())


def overwrite(file: Path, start: int, size: int, data: bytes = b"\xa5") -> None:
    with file.open("r+b") as stream:
        stream.seek(start)
        stream.write(data * size)


def page_of(file: Path, table: str) -> int:
    connection = sqlite3.connect(file)
    query = "select rootpage from sqlite_master where name = ?"
    (number,) = connection.execute(query, (table,)).fetchone()
    connection.close()
    assert isinstance(number, int)
    return number


def lose_header(file: Path) -> None:
    overwrite(file, 0, 100)


def lose_first_page(file: Path) -> None:
    overwrite(file, 0, 4096)


def lose_root_of_the_table(file: Path) -> None:
    overwrite(file, 4096 * (page_of(file, "ValidPaths") - 1), 4096)


def lose_references(file: Path) -> None:
    overwrite(file, 4096 * (page_of(file, "Refs") - 1), 4096)


def lose_tables(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.executescript("pragma writable_schema = on; delete from sqlite_master;")
    connection.close()


ALL_ROWS_ARE_LEFT = [
    lose_header,
    lose_first_page,
    lose_root_of_the_table,
    lose_references,
    lose_tables,
]


@pytest.mark.parametrize("damage", ALL_ROWS_ARE_LEFT)
def test_rows_that_are_still_there_are_found_and_complete(
    damage: Callable[[Path], None],
    store: Store,
    settings: Settings,
    filled: dict[StorePath, PathInfo],
) -> None:
    outputs = store.database.outputs()
    store.close()
    damage(Path(settings.database))
    done = recovered(store)
    assert store.database.infos() == filled
    assert store.database.outputs() == outputs
    assert (done.left, done.kept is not None) == ((), True)
    assert verify(store, contents=True) == []


def not_a_database(file: Path) -> None:
    file.write_bytes(b"this is not a database\n" * 500)


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 3 + 17)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def overwritten(file: Path) -> None:
    overwrite(file, 4096, file.stat().st_size - 4096)


def random_pages(file: Path) -> None:
    for start in range(0, file.stat().st_size, 3 * 4096):
        overwrite(file, start, 4096, b"\x0d")


def other_tables(file: Path) -> None:
    file.unlink()
    connection = sqlite3.connect(file)
    connection.execute("create table Other (x)")
    connection.close()


def gone(file: Path) -> None:
    file.unlink()


ROWS_ARE_LOST = [not_a_database, truncated, empty, overwritten, random_pages, other_tables, gone]


@pytest.mark.parametrize("damage", ROWS_ARE_LOST)
def test_what_proves_itself_is_valid_again_without_a_row(
    damage: Callable[[Path], None],
    store: Store,
    settings: Settings,
    filled: dict[StorePath, PathInfo],
) -> None:
    store.close()
    damage(Path(settings.database))
    recovered(store)
    after = store.database.infos()
    unproven = {path for path, info in filled.items() if info.ca is None}
    assert after.keys() >= filled.keys() - unproven
    for path, info in after.items():
        was = filled[path]
        assert (info.nar_hash, info.nar_size, info.ca) == (was.nar_hash, was.nar_size, was.ca)
        assert info.references == was.references
    assert {each.kind for each in verify(store, contents=True)} <= {"unknown"}


def test_output_without_a_row_is_not_believed_and_its_files_are_left(
    store: Store, settings: Settings, filled: dict[StorePath, PathInfo]
) -> None:
    (output,) = (path for path, info in filled.items() if info.ca is None)
    store.close()
    not_a_database(Path(settings.database))
    done = recovered(store)
    assert done.left == (output,)
    assert not store.is_valid(output)
    assert os.path.exists(store.physical(output))


def test_row_whose_object_was_changed_does_not_count(
    store: Store, settings: Settings, filled: dict[StorePath, PathInfo], source: StorePath
) -> None:
    place = Path(store.physical(source), "file")
    place.chmod(0o644)
    place.write_text("tampered with")
    store.close()
    lose_header(Path(settings.database))
    recovered(store)
    needs_it = {path for path in filled if source in store_closure(filled, path)}
    assert store.database.infos().keys() == filled.keys() - needs_it


def store_closure(infos: dict[StorePath, PathInfo], path: StorePath) -> set[StorePath]:
    found, todo = {path}, [path]
    while todo:
        new = infos[todo.pop()].references - found
        found |= new
        todo += new
    return found


def test_row_whose_object_is_gone_does_not_count(store: Store, settings: Settings) -> None:
    lost, kept = store.add_text("lost", b""), store.add_text("kept", b"")
    store.close()
    os.unlink(store.physical(lost))
    lose_header(Path(settings.database))
    recovered(store)
    assert store.database.infos().keys() == {kept}


def test_damaged_database_is_kept_with_its_log_and_never_written_over(
    store: Store, settings: Settings, filled: dict[StorePath, PathInfo]
) -> None:
    store.close()
    file = Path(settings.database)
    seen = set()
    for number in range(3):
        content = b"damaged %d" % number
        file.write_bytes(content)
        Path(f"{file}-wal").write_bytes(b"log of " + content)
        kept = recovered(store).kept
        store.close()
        assert kept is not None
        assert Path(kept).read_bytes() == content
        assert Path(f"{kept}-wal").read_bytes() == b"log of " + content
        seen.add(kept)
    assert len(seen) == 3
    assert store.database.infos().keys() < filled.keys()


def test_rows_kept_aside_by_a_killed_recovery_are_used(
    store: Store, settings: Settings, filled: dict[StorePath, PathInfo]
) -> None:
    store.close()
    os.rename(settings.database, f"{settings.database}.damaged-20200101-000000")
    recovered(store)
    assert store.database.infos() == filled


def test_transactions_in_the_log_of_a_killed_writer_are_found(
    store: Store, settings: Settings
) -> None:
    store.add_text("before", b"")
    store.close()
    code = (
        "import os, signal, sys\n"
        "from envtool.machine.store import Store\n"
        "from envtool.machine.settings import Settings\n"
        "store = Store(Settings(sys.argv[1], fsync=False))\n"
        "store.add_text('in-the-log', b'')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, settings.root], check=False)
    assert os.path.getsize(f"{settings.database}-wal") > 0
    overwrite(Path(f"{settings.database}-wal"), 0, 20)  # the log's header is nonsense
    lose_header(Path(settings.database))
    done = recovered(store)
    assert done.believed == 2
    assert {path.name for path in store.database.infos()} == {"before", "in-the-log"}


def test_lost_log_leaves_objects_that_are_adopted(store: Store, settings: Settings) -> None:
    store.add_text("before", b"")
    store.close()
    before = Path(settings.database).read_bytes()
    source = store.add_text("after", b"")
    user = store.add_text("user", source.full().encode(), [source])
    (drv,) = store.add_derivations([derivation("thing", source)])
    store.close()
    Path(settings.database).write_bytes(before)
    assert sorted(adopt(store, SilentReporter())) == sorted([source, user, drv])
    assert store.info(user).references == {source}
    assert verify(store, contents=True) == []
    assert adopt(store, SilentReporter()) == []


def test_adopting_takes_nothing_that_lies(store: Store, settings: Settings) -> None:
    truth = store.add_text("truth", b"1")
    folder = Path(settings.store)
    (folder / f"{truth.digest}-other").write_bytes(b"1")
    Path(folder, "0" * 32).write_bytes(b"")
    (folder / f"{'0' * 32}-thing.drv").write_bytes(b"Derive(")
    (folder / f"{'1' * 32}-pipe").mkdir()
    os.mkfifo(folder / f"{'1' * 32}-pipe" / "fifo")
    assert adopt(store, SilentReporter()) == []
    assert store.database.infos().keys() == {truth}


def test_schema_file_that_is_half_written_is_made_again(
    store: Store, settings: Settings, filled: dict[StorePath, PathInfo]
) -> None:
    store.close()
    schema = Path(settings.database).with_name("schema")
    for content in (b"", b"\0\0"):
        schema.write_bytes(content)
        with pytest.raises(DatabaseError, match="schema"):
            store.database.infos()
        recovered(store)
        assert schema.read_text() == "10"
        assert store.database.infos() == filled
        store.close()


def test_dates_in_the_future_harm_nothing(store: Store, settings: Settings) -> None:
    far = 1 << 40
    path = store.add_text("text", b"")
    info = replace(store.info(path), registration_time=far)
    store.database.delete([path])
    store.database.register([info])
    store.close()
    lose_header(Path(settings.database))
    recovered(store)
    assert store.info(path) == info
    assert verify(store, contents=True) == []


@pytest.mark.programs("nix-store")
@pytest.mark.parametrize("damage", [lose_first_page, not_a_database])
def test_real_nix_finds_nothing_wrong_with_the_new_database(
    damage: Callable[[Path], None],
    store: Store,
    settings: Settings,
    filled: dict[StorePath, PathInfo],
) -> None:
    assert filled
    store.close()
    damage(Path(settings.database))
    recovered(store)
    store.close()
    for command in (["nix-store", "--verify", "--check-contents"], ["nix", "store", "verify"]):
        judged = nix(settings, *command)
        assert judged.returncode == 0, judged.stderr
        assert "error" not in judged.stderr


def nix(settings: Settings, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Nix's on our store."""
    where = f"local?store=/envtool/store&real={settings.store}&state={settings.state}"
    words = [*command, "--all", "--no-trust"] if command[0] == "nix" else command
    environ = {"NIX_CONFIG": "build-users-group =\nexperimental-features = nix-command"}
    return subprocess.run(
        [*words, "--store", f"{where}&log={settings.logs}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )


def test_killed_at_any_line_it_leaves_what_the_next_one_makes_whole(kills: "Kills") -> None:
    assert kills("rebuild") > 100
