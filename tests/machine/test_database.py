import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from envtool.errors import DatabaseError, StoreError
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath, make_text
from envtool.machine.database import Database, PathInfo

ORDINARY = str(Path(__file__).parent / "children" / "ordinary.py")
CHILD = """
import os, signal, sys
from envtool.errors import StoreError
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import make_text
from envtool.machine.database import Database, PathInfo
def info(name): return PathInfo(make_text(name, b""), Hash.of(b""), 0, frozenset())
"""
REPORTED = """
try: d.register([info(str(n)) for n in range(9999)])
except StoreError as error: print(error.message, error.hint)
"""
READ_ALL = (
    "import sys; from envtool.machine.database import Database;"
    "d = Database(sys.argv[2]); print(len(d.infos())); d.close()"
)


def path(name: str) -> StorePath:
    return make_text(name, name.encode())


def info(name: str, *references: str) -> PathInfo:
    return PathInfo(path(name), Hash.of(name.encode()), len(name), frozenset(map(path, references)))


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "var" / "db" / "db.sqlite")


@pytest.fixture
def database(file: str) -> Iterator[Database]:
    database = Database(file, busy_seconds=0.05)
    yield database
    database.close()


def filled(file: str, count: int = 300) -> None:
    database = Database(file)
    database.register([info(f"path-{number}") for number in range(count)])
    database.close()


def test_asking_an_absent_database_creates_nothing(database: Database, file: str) -> None:
    assert database.valid([path("a")]) == set()
    assert database.infos() == {}
    assert not os.path.exists(os.path.dirname(file))


def test_what_was_registered_is_what_is_read(database: Database) -> None:
    full = PathInfo(
        path=path("out"),
        nar_hash=Hash.of(b"nar"),
        nar_size=1 << 40,
        references=frozenset({path("out"), path("dep")}),
        deriver=path("out.drv"),
        ca="fixed:r:sha256:x",
        ultimate=False,
        registration_time=7,
        signatures=("key-1:abc", "key-2:def"),
    )
    database.register([full, info("dep")])
    assert database.infos([path("out")]) == {path("out"): full}
    assert database.valid([path("out"), path("dep"), path("other")]) == {path("out"), path("dep")}


def test_reference_to_the_unregistered_refuses_the_whole_batch(database: Database) -> None:
    database.register([info("before")])
    with pytest.raises(StoreError, match=path("missing")):
        database.register([info("good"), info("bad", "missing")])
    assert set(database.infos()) == {path("before")}


def test_second_registration_keeps_the_contents_facts(database: Database) -> None:
    database.register([info("a"), info("b", "a")])
    again = PathInfo(path("b"), Hash.of(b"other"), 9, frozenset(), deriver=path("b.drv"))
    database.register([again])
    found = database.infos([path("b")])[path("b")]
    assert found.nar_hash == Hash.of(b"b")
    assert found.references == {path("a")}
    assert found.deriver == path("b.drv")


def test_references_are_followed_both_ways(database: Database) -> None:
    database.register([info("a"), info("b", "a"), info("c", "b", "c"), info("other")])
    assert database.requisites([path("b")]).keys() == {path("a"), path("b")}
    assert database.referrers(path("a")) == {path("b")}
    assert database.requisites([path("c")])[path("c")] == {path("b"), path("c")}


def test_deleting_what_another_path_needs_is_refused(database: Database) -> None:
    database.register([info("a"), info("b", "a")])
    with pytest.raises(StoreError, match="refers to it"):
        database.delete([path("a")])
    assert set(database.infos()) == {path("a"), path("b")}
    database.delete([path("a"), path("b")])
    assert database.infos() == {}


def test_outputs_go_with_their_derivation(database: Database) -> None:
    outputs = {path("x.drv"): {"out": path("x"), "doc": path("x-doc")}}
    database.register([info("x.drv")], outputs)
    assert database.outputs() == outputs
    assert database.outputs([path("y.drv")]) == {}
    database.delete([path("x.drv")])
    assert database.outputs() == {}


def test_threads_share_one_database(database: Database) -> None:
    def register(start: int) -> None:
        for number in range(start, start + 20):
            database.register([info(f"n{number}")])

    threads = [threading.Thread(target=register, args=(start,)) for start in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(database.infos()) == 60


def test_processes_start_one_database_together(file: str) -> None:
    code = f"{CHILD}\nsys.stdin.read()\nd = Database(sys.argv[1])\nd.register([info(sys.argv[2])])"
    children = [
        subprocess.Popen([sys.executable, "-c", code, file, f"n{n}"], stdin=subprocess.PIPE)
        for n in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    assert [child.wait() for child in children] == [0, 0, 0, 0]
    database = Database(file)
    assert len(database.infos()) == 4
    database.close()


def test_forked_child_opens_the_database_anew(file: str) -> None:
    code = (
        f"{CHILD}\nd = Database(sys.argv[1])\n"
        "d.register([info('parent')]); child = os.fork();"
        "d.register([info('one' if child else 'two')]);"
        "child and os.waitpid(child, 0); child and print(len(d.infos()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, text=True, check=True
    )
    assert run.stdout == "3\n"


def test_set_up_that_was_killed_before_its_last_step_is_finished(file: str) -> None:
    with closing(Database(file)) as first:
        first.register([info("a")])
    schema = Path(file).with_name("schema")
    schema.unlink()
    with closing(Database(file)) as second:
        assert len(second.infos()) == 1
    assert schema.read_text() == "10"


def test_newer_schema_is_refused(file: str, database: Database) -> None:
    filled(file, 1)
    Path(file).with_name("schema").write_text("11")
    with pytest.raises(StoreError, match="schema '11'") as caught:
        database.infos()
    assert caught.value.hint is not None
    assert "newer envtool" in caught.value.hint


def test_older_schema_is_refused(file: str, database: Database) -> None:
    filled(file, 1)
    Path(file).with_name("schema").write_text("9")
    with pytest.raises(StoreError, match="schema '9'") as caught:
        database.register([info("a")])
    assert not isinstance(caught.value, DatabaseError)


@pytest.mark.parametrize("content", ["", "ten", "\0"])
def test_schema_that_is_no_number_is_damage(file: str, database: Database, content: str) -> None:
    filled(file, 1)
    Path(file).with_name("schema").write_text(content)
    with pytest.raises(DatabaseError, match="schema"):
        database.register([info("a")])


def damage_not_a_database(file: Path) -> None:
    file.write_bytes(b"this is not a database\n" * 500)


def damage_truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def damage_empty(file: Path) -> None:
    file.write_bytes(b"")


def damage_overwritten(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xa5" * (size - 4096))


def damage_other_tables(file: Path) -> None:
    file.unlink()
    connection = sqlite3.connect(file)
    connection.execute("create table Other (x)")
    connection.close()


DAMAGES = [
    damage_not_a_database,
    damage_truncated,
    damage_empty,
    damage_overwritten,
    damage_other_tables,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_database_is_named_and_left_alone(
    file: str, database: Database, damage: Callable[[Path], None]
) -> None:
    filled(file)
    damage(Path(file))
    before = Path(file).read_bytes()
    for use in (database.infos, lambda: database.register([info("a")])):
        with pytest.raises(DatabaseError, match="damaged") as caught:
            use()
        assert file in caught.value.message
        assert caught.value.hint is not None
        assert caught.value.hint.endswith("envtool store verify --repair")
    assert Path(file).read_bytes() == before


def test_database_that_was_moved_away_is_begun_again(file: str, database: Database) -> None:
    filled(file, 3)
    os.rename(file, f"{file}.damaged")
    database.register([info("a")])
    assert set(database.infos()) == {path("a")}


def test_another_file_in_the_place_of_an_open_one_is_noticed(
    file: str, database: Database, tmp_path: Path
) -> None:
    database.register([info("a")])
    other = Database(f"{tmp_path}/other/db.sqlite")
    other.register([info("b")])
    other.close()
    for tail in ("-wal", "-shm"):
        os.unlink(f"{file}{tail}")
    os.rename(f"{tmp_path}/other/db.sqlite", file)
    assert set(database.infos()) == {path("b")}
    database.register([info("c")])
    assert set(database.infos()) == {path("b"), path("c")}


def test_database_whose_making_was_killed_is_begun_again(file: str, database: Database) -> None:
    os.makedirs(os.path.dirname(file))
    Path(file).write_bytes(b"")
    assert database.infos() == {}
    database.register([info("a")])
    assert set(database.infos()) == {path("a")}


def test_database_that_is_locked_says_so(file: str, database: Database) -> None:
    filled(file, 1)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(StoreError, match=r"locked for 0\.05 s"):
        database.register([info("a")])
    other.execute("rollback")
    other.close()
    database.register([info("a")])
    assert database.valid([path("a")]) == {path("a")}


def test_directory_instead_of_the_database_is_an_error(file: str, database: Database) -> None:
    os.makedirs(file)
    with pytest.raises(StoreError, match=r"db\.sqlite"):
        database.infos()


def run_as_ordinary(code: str, file: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ORDINARY, code, file], capture_output=True, text=True, check=False
    )


def read_only(folder: str) -> None:
    for name in os.listdir(folder):
        os.chmod(f"{folder}/{name}", 0o444)
    os.chmod(folder, 0o555)


def test_read_only_database_can_be_read(file: str) -> None:
    filled(file, 5)
    read_only(os.path.dirname(file))
    run = run_as_ordinary(READ_ALL, file)
    assert (run.stdout, run.stderr) == ("5\n", "")


def test_read_only_database_is_read_with_what_a_killed_writer_left(file: str) -> None:
    filled(file, 5)
    code = (
        f"{CHILD}\nd = Database(sys.argv[1])\nd.register([info('new')])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, file], check=False)
    assert os.path.getsize(f"{file}-wal") > 0
    os.unlink(f"{file}-shm")
    read_only(os.path.dirname(file))
    run = run_as_ordinary(READ_ALL, file)
    assert (run.stdout, run.stderr) == ("6\n", "")


def test_writing_to_a_read_only_database_is_an_error_with_a_hint(file: str) -> None:
    filled(file, 1)
    read_only(os.path.dirname(file))
    code = f"{CHILD}\nd = Database(sys.argv[2]){REPORTED}"
    run = run_as_ordinary(code, file)
    assert file in run.stdout
    assert "ENVTOOL_ROOT" in run.stdout


def test_full_disk_is_an_error_and_what_was_valid_stays(file: str) -> None:
    filled(file, 1)
    code = f"{CHILD}\nd = Database(sys.argv[1]){REPORTED}"
    limit = os.path.getsize(file) + 65536
    run = subprocess.run(
        [sys.executable, "-c", code, file],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert file in run.stdout, run.stderr
    assert "free some space" in run.stdout
    database = Database(file)
    assert set(database.infos()) == {path("path-0")}
    database.close()


def test_second_registration_with_other_contents_is_told_and_can_be_made_true(
    database: Database,
) -> None:
    database.register([info("a"), info("b")])
    again = PathInfo(path("b"), Hash.of(b"other"), 9, frozenset({path("a")}))
    assert database.register([again, info("a")]) == [again]
    database.correct(again)
    found = database.infos([path("b")])[path("b")]
    assert (found.nar_hash, found.nar_size) == (Hash.of(b"other"), 9)
    assert found.references == {path("a")}
    assert database.register([again]) == []
