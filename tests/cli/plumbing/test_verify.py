"""`envtool store verify`, through the program: what it says, what it mends, its exit codes."""

import json
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.conftest import Place, Run
    from cli.plumbing.conftest import Shelf


def spoil(path: str | Path) -> None:
    """Change the contents of a file of the store, and nothing else."""
    mode = os.stat(path).st_mode & 0o777
    os.chmod(path, 0o644)
    Path(path).write_text("damaged\n")
    os.chmod(path, mode)
    os.utime(path, (1, 1))


@pytest.fixture
def project(place: "Place", index: Any, make_wheel: Any, envtool: "Run") -> Path:
    """Make a generation with `beta`, and return the store directory."""
    index.add(make_wheel("beta", "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    assert envtool("add", "beta").returncode == 0
    return place.root / "store"


def file_of(store: Path, pattern: str) -> Path:
    (found,) = store.glob(pattern)
    return found


# -- asking


def test_whole_store_is_told_in_one_line(shelf: "Shelf", envtool: "Run") -> None:
    done = envtool("store", "verify")
    assert (done.returncode, done.stdout) == (
        0,
        "4 store paths: nothing is wrong; contents were not read (--contents)\n",
    )
    done = envtool("store", "verify", "--contents")
    assert done.stdout.startswith("4 store paths, ")
    assert done.stdout.endswith(" kB: nothing is wrong\n")
    assert "verified 4 store paths" in done.stderr
    assert os.path.exists(shelf.place(shelf.libc))


def test_store_that_is_not_there_yet_is_whole(envtool: "Run", place: "Place") -> None:
    assert envtool("store", "verify", "--contents", "--repair").returncode == 0
    assert not (place.root / "store").exists()


def test_damage_is_told_with_the_next_command_and_an_exit_code(
    shelf: "Shelf", envtool: "Run"
) -> None:
    spoil(shelf.place(shelf.app2))
    assert envtool("store", "verify").returncode == 0
    done = envtool("store", "verify", "--contents", "--quiet")
    assert (done.returncode, done.stderr) == (1, "")
    first, hint, last = done.stdout.splitlines()
    assert first.startswith(f"changed  {shelf.place(shelf.app2)} was modified: expected sha256")
    assert hint == f"         hint: envtool store verify --repair {shelf.app2}"
    assert last.endswith(": 1 problem")


def test_a_path_is_read_without_being_asked_to(shelf: "Shelf", envtool: "Run") -> None:
    spoil(shelf.place(shelf.app2))
    assert envtool("store", "verify", shelf.app1).returncode == 0
    done = envtool("store", "verify", shelf.place(shelf.app2), shelf.app1.digest)
    assert (done.returncode, done.stdout.startswith("changed  ")) == (1, True)


def test_unknown_files_are_told_of_and_do_no_harm(
    shelf: "Shelf", envtool: "Run", place: "Place"
) -> None:
    (place.root / "store" / "stranger").write_text("")
    done = envtool("store", "verify", "--contents", "--repair", "--quiet")
    assert done.returncode == 0
    assert "1 name in the store directory, of nothing registered: stranger\n" in done.stdout
    assert "envtool gc" in done.stdout
    assert os.path.exists(shelf.place(shelf.libc))
    assert envtool("store", "gc").returncode == 0
    assert "stranger" not in os.listdir(place.root / "store")


def test_json_has_the_same_keys_each_time(shelf: "Shelf", envtool: "Run") -> None:
    whole = json.loads(envtool("store", "verify", "--json").stdout)
    assert whole == {
        "contents": False,
        "checked": 4,
        "size": whole["size"],
        "database": None,
        "problems": [],
        "left": 0,
    }
    os.unlink(shelf.place(shelf.app2))
    done = envtool("store", "verify", "--repair", "--json")
    damaged = json.loads(done.stdout)
    assert (done.returncode, damaged.keys(), damaged["left"]) == (1, whole.keys(), 1)
    assert damaged["problems"] == [
        {
            "kind": "missing",
            "name": shelf.app2,
            "message": f"{shelf.place(shelf.app2)} is registered but not there",
            "repaired": None,
            "reason": "nothing is known that it could be made from",
            "hint": "if you have the original: "
            f"envtool store verify --repair --from FILE {shelf.app2}",
        }
    ]


# -- mending


@pytest.mark.usefixtures("project")
def test_damaged_package_is_mended_and_the_environment_works(project: Path, envtool: "Run") -> None:
    spoil(file_of(project, "*-beta-1.0/site-packages/beta.py"))
    done = envtool("store", "verify", "--contents", "--repair")
    assert done.returncode == 0, done.stderr
    assert "repaired: unpacked again" in done.stdout
    assert done.stdout.endswith("1 problem, 1 repaired\n")
    assert envtool("run", "python", "-c", "import beta; print(beta.VERSION)").stdout == "1.0\n"
    assert "nothing is wrong" in envtool("store", "verify", "--contents").stdout


def test_every_object_of_a_project_is_mended_but_for_what_the_user_wrote(
    project: Path, envtool: "Run"
) -> None:
    patterns = (
        "*-beta-1.0/site-packages/beta.py",
        "*.whl",
        "*-demo-env/pyvenv.cfg",
        "*-host/interpreter.json",
        "*-demo-generation/declaration",
        "*-demo-generation/pylock.toml",
        "*-demo-env.drv",
        "*-beta-1.0.drv",
    )
    for pattern in patterns:
        spoil(file_of(project, pattern))
    done = envtool("store", "verify", "--contents", "--repair", "--json")
    told = {each["name"].partition("-")[2]: each for each in json.loads(done.stdout)["problems"]}
    # The .drv files follow from the lock in the generation, which follows from the project.
    assert {name: each["reason"] for name, each in told.items() if not each["repaired"]} == {}
    assert told["demo-generation"]["repaired"] == "put together again"
    assert told["demo-env.drv"]["repaired"] == "written again"
    assert done.returncode == 0
    assert envtool("run", "python", "-c", "import beta; print(beta.VERSION)").stdout == "1.0\n"


def test_offline_a_wheel_cannot_be_fetched_and_the_rest_is_mended(
    project: Path, envtool: "Run"
) -> None:
    spoil(file_of(project, "*.whl"))
    spoil(file_of(project, "*-demo-env/pyvenv.cfg"))
    done = envtool("--offline", "store", "verify", "--contents", "--repair")
    assert done.returncode == 1
    assert "envtool works offline" in done.stdout
    assert "hint: run it again without --offline" in done.stdout
    assert done.stdout.endswith("2 problems, 1 repaired\n")
    assert envtool("store", "verify", "--contents", "--repair").returncode == 0


def test_lost_source_is_copied_from_the_original(
    envtool: "Run", place: "Place", tmp_path: Path
) -> None:
    original = tmp_path / "data"
    original.write_text("precious")
    path = envtool("store", "add", str(original)).stdout.strip()
    spoil(path)
    done = envtool("store", "verify", "--repair", "--from", str(original), path)
    assert done.returncode == 0
    assert f"repaired: copied again from {original}" in done.stdout
    assert Path(path).read_text() == "precious"
    assert place.root.exists()


def test_original_without_repairing_is_a_mistake(envtool: "Run", tmp_path: Path) -> None:
    ended = envtool("store", "verify", "--from", str(tmp_path))
    assert ended.returncode == 2
    assert ended.stderr.endswith("hint: give --repair, too\n")


# -- the database


def damage_database(place: "Place") -> Path:
    file = place.root / "var/db/db.sqlite"
    file.write_bytes(b"this is not a database\n" * 500)
    return file


@pytest.mark.parametrize(
    "words",
    [["switch"], ["store", "verify"], ["store", "closure", "default"], ["gc"], ["generations"]],
)
def test_damaged_database_is_told_with_what_mends_it(
    words: list[str], project: Path, envtool: "Run", place: "Place"
) -> None:
    file = damage_database(place)
    ended = envtool(*words)
    assert ended.returncode == 1
    assert f"{file} is damaged" in ended.stderr
    assert ended.stderr.endswith("envtool store verify --repair\n")
    assert project.exists()


def test_damaged_database_is_made_again_and_the_generation_realised(
    project: Path, envtool: "Run", place: "Place"
) -> None:
    file = damage_database(place)
    done = envtool("store", "verify", "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the database was made again: 0 store paths by rows that could be read" in done.stdout
    kept = next(line for line in done.stdout.splitlines() if "is kept" in line).split(": ")[1]
    assert Path(kept).read_bytes().startswith(b"this is not")
    assert Path(kept).parent == file.parent
    assert "dangling" in done.stdout
    assert "repaired: put together again" in done.stdout
    assert "of nothing registered" not in done.stdout
    assert envtool("run", "python", "-c", "import beta; print(beta.VERSION)").stdout == "1.0\n"
    generations = envtool("generations").stdout
    assert generations.startswith("*  1  ")
    assert "nothing is wrong" in envtool("store", "verify", "--contents").stdout
    assert project.exists()


def test_what_needs_the_network_after_the_database_is_lost_is_only_what_the_store_lacks(
    project: Path, envtool: "Run", place: "Place", index: Any
) -> None:
    damage_database(place)
    index.log.clear()
    assert envtool("--offline", "store", "verify", "--repair").returncode == 0
    assert index.log == []
    assert project.exists()


def test_rows_that_speak_of_nothing_are_mended(
    project: Path, envtool: "Run", place: "Place"
) -> None:
    connection = sqlite3.connect(place.root / "var/db/db.sqlite")
    connection.execute("delete from ValidPaths where path like '%-beta-1.0'")
    connection.commit()
    connection.close()
    done = envtool("store", "verify")
    assert done.returncode == 1
    assert "rows of Refs speak of store paths that are not registered" in done.stdout
    assert envtool("store", "verify", "--repair").returncode == 0
    assert envtool("store", "verify", "--contents").returncode == 0
    assert envtool("run", "python", "-c", "import beta; print(beta.VERSION)").stdout == "1.0\n"
    assert project.exists()


def test_store_of_a_newer_envtool_is_refused_and_not_touched(
    project: Path, envtool: "Run", place: "Place"
) -> None:
    file = damage_database(place)
    (file.parent / "schema").write_text("11")
    before = file.read_bytes()
    ended = envtool("store", "verify", "--repair")
    assert ended.returncode == 1
    assert "schema '11'; this envtool knows 10" in ended.stderr
    assert "newer envtool" in ended.stderr
    assert file.read_bytes() == before
    assert project.exists()
