"""`gc` and `store gc` as a user runs them: what goes, what stays, what is told."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from envtool.formats.nix.storepath import StorePath
from envtool.machine.settings import load
from envtool.machine.store import Store

DAY = 86400


@pytest.fixture
def store(place: Any) -> Iterator[Store]:
    """Give the store that the program works on."""
    with Store(load(place.environ)) as store:
        yield store


@pytest.fixture
def history(place: Any, make_generation: Any) -> list[str]:
    """Make three generations, 40 and 20 days ago and now; return where their environments lie."""
    made = [make_generation({"hello": f"#!/bin/sh\necho {number}\n"}) for number in (1, 2, 3)]
    profile = place.settings_of().profile(place.project_of())
    for number, days in ((1, 40), (2, 20)):
        then = time.time() - days * DAY
        os.utime(profile.generation_link(number), (then, then), follow_symlinks=False)
    return made


def there(paths: list[str]) -> list[int]:
    return [number for number, path in enumerate(paths, 1) if os.path.exists(path)]


def listed(envtool: Any) -> list[int]:
    told = json.loads(envtool("generations", "--json").stdout)
    return [each["number"] for each in told["generations"]]


def run(envtool: Any, *words: str, **more: Any) -> Any:
    ended = envtool(*words, "--json", **more)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize(
    ("words", "stay"),
    [
        ([], [1, 2, 3]),
        (["--older-than", "30d"], [1, 2, 3]),
        (["--older-than", "2w"], [2, 3]),
        (["--older-than", "24h"], [2, 3]),
        (["--keep", "2"], [2, 3]),
        (["--keep", "1"], [3]),
        (["-d"], [3]),
        (["--older-than", "2w", "--keep", "9"], [1, 2, 3]),
    ],
)
def test_generations_go_as_asked_and_their_objects_with_them(
    envtool: Any, history: list[str], words: list[str], stay: list[int]
) -> None:
    planned = run(envtool, "gc", *words, "--dry-run")
    assert (there(history), listed(envtool)) == ([1, 2, 3], [1, 2, 3])
    done = run(envtool, "gc", *words)
    assert (there(history), listed(envtool)) == (stay, stay)
    assert (planned["dry_run"], done["dry_run"]) == (True, False)
    assert planned["generations"] == done["generations"]
    assert [each["number"] for each in done["generations"]] == sorted({1, 2, 3} - set(stay))
    assert planned["dead"] == done["dead"]
    assert planned["freed"] == done["freed"]
    assert envtool("run", "hello").stdout == "3\n"


def test_generation_gone_back_to_is_the_current_one_and_stays(
    envtool: Any, history: list[str]
) -> None:
    assert envtool("rollback", "1").returncode == 0
    assert envtool("gc", "-d").returncode == 0
    assert listed(envtool) == there(history) == [1]
    assert envtool("run", "hello").stdout == "1\n"


def test_what_is_told_names_generations_paths_and_bytes(envtool: Any, history: list[str]) -> None:
    lines = envtool("gc", "-d", "--dry-run").stdout.splitlines()
    assert [line.split(" of ")[0] for line in lines[:2]] == ["generation 1", "generation 2"]
    assert lines[-1].startswith("would delete 2 generations, ")
    assert envtool("gc", "-d").stdout.startswith("deleted 2 generations, ")
    assert there(history) == [3]


def test_one_environment_is_named_and_the_others_keep_theirs(
    envtool: Any, place: Any, make_generation: Any, history: list[str]
) -> None:
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text() + "[env.ci]\n")
    of_ci = [
        make_generation({"ci": f"#!/bin/sh\necho {number}\n"}, environment="ci")
        for number in (1, 2)
    ]
    done = run(envtool, "-e", "ci", "gc", "-d")
    assert [(each["environment"], each["number"]) for each in done["generations"]] == [("ci", 1)]
    assert (there(of_ci), there(history)) == ([2], [1, 2, 3])


def test_project_that_is_gone_is_forgotten_when_asked(
    envtool: Any, place: Any, history: list[str], tmp_path: Path
) -> None:
    (place.project / "envtool.toml").unlink()
    assert run(envtool, "gc", cwd=tmp_path)["generations"] == []
    assert there(history) == [1, 2, 3]
    done = run(envtool, "gc", "--gone", cwd=tmp_path)
    assert [each["number"] for each in done["generations"]] == [1, 2, 3]
    assert there(history) == []


def test_link_in_a_project_is_a_root_until_the_folder_is_gone(
    envtool: Any, place: Any, store: Store, tmp_path: Path
) -> None:
    folder, source = place.project / "results", tmp_path / "source"
    folder.mkdir()
    source.write_text("kept by a link")
    told = run(envtool, "store", "add", "--link", str(folder / "result"), str(source))
    path = StorePath.parse_full(told["paths"][0]["path"])
    assert envtool("gc").returncode == 0
    assert store.is_valid(path)
    (folder / "result").unlink()
    (folder / "result").symlink_to(store.physical(path))
    assert envtool("gc").returncode == 0
    assert store.is_valid(path)
    (folder / "result").rename(tmp_path / "moved")
    folder.rmdir()
    assert [each["path"] for each in run(envtool, "gc")["dead"]] == [path.full()]
    assert not os.path.lexists(store.physical(path))


def test_no_more_goes_than_was_asked_for(envtool: Any, store: Store) -> None:
    paths = [store.add_text(f"t{number}", b"x" * 1000) for number in range(10)]
    assert len(run(envtool, "store", "gc", "--max", "3000", "--dry-run")["dead"]) == 3
    done = run(envtool, "store", "gc", "--max", "2500B")
    assert (len(done["dead"]), done["freed"], done["live"]) == (3, 3000, 7)
    assert len(store.valid(paths)) == 7
    assert run(envtool, "store", "gc", "--max", "0")["dead"] == []
    assert len(run(envtool, "gc", "--max", "1G")["dead"]) == 7


def test_nothing_goes_while_the_disk_has_enough_room(
    envtool: Any, store: Store, place: Any
) -> None:
    store.add_text("t", b"x")
    assert run(envtool, "store", "gc", "--keep-free", "1K")["dead"] == []
    assert envtool("gc", "--keep-free", "1K").stdout.startswith("nothing to delete: ")
    assert len(run(envtool, "store", "gc", "--keep-free", "9999T")["dead"]) == 1
    assert place.root.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max", "5X"], "expected bytes such as 5G"),
        (["--max", "-5G"], "--max"),
        (["--keep-free", "much"], "expected bytes such as 5G"),
        (["--older-than", "30"], "expected an age such as 12h, 30d or 4w"),
        (["--older-than", "0d"], "expected an age such as 12h, 30d or 4w"),
        (["--keep", "0"], "expected a whole number from 1"),
    ],
)
def test_amounts_that_make_no_sense_are_refused_before_anything_goes(
    envtool: Any, history: list[str], words: list[str], message: str
) -> None:
    ended = envtool("gc", "-d", *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert there(history) == [1, 2, 3]


@contextmanager
def in_the_environment(place: Any, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Keep a program running as `envtool run` runs it; it says a line first, and reads one."""
    start = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]
    with subprocess.Popen(
        [*start, "run", *words],
        cwd=place.project,
        env=place.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.communicate("end\n")
        assert process.returncode == 0


def test_closure_of_a_running_program_stays_until_it_ends(
    envtool: Any, place: Any, make_generation: Any
) -> None:
    waiting = "#!/bin/sh\necho ready\nread line\n"
    used = make_generation({"wait": waiting})
    with in_the_environment(place, "wait"):
        current = make_generation({"wait": waiting, "more": "#!/bin/sh\n"})
        assert envtool("gc", "-d").returncode == 0
        assert listed(envtool) == [2]
        assert os.path.exists(f"{used}/bin/wait")
        told = envtool("store", "roots", used).stdout
        assert "runtime" in told
        assert "/environ" in told
    assert envtool("gc").returncode == 0
    assert not os.path.exists(used)
    assert os.path.exists(current)


def test_closure_of_a_shell_stays_until_it_ends(
    envtool: Any, place: Any, make_generation: Any, spawn: Any
) -> None:
    used = make_generation()
    shell = spawn("shell", environ={"SHELL": "/bin/sh"})
    shell.sendline("hello; echo $((6*7))")
    shell.expect("42")
    make_generation({"more": "#!/bin/sh\n"})
    assert envtool("gc", "-d").returncode == 0
    assert os.path.exists(f"{used}/bin/hello")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.wait()
    assert envtool("gc").returncode == 0
    assert not os.path.exists(used)


@pytest.mark.parametrize("jump", [-3_000_000_000, 0, 5_000_000_000, 100_000_000_000])
def test_generation_with_an_impossible_date_is_listed_and_gone_back_to(
    envtool: Any, place: Any, history: list[str], jump: int
) -> None:
    profile = place.settings_of().profile(place.project_of())
    os.utime(profile.generation_link(2), (jump, jump), follow_symlinks=False)
    assert len(envtool("generations").stdout.splitlines()) == 3
    assert listed(envtool) == [1, 2, 3]
    # What is older goes, but for the latest of it.
    assert envtool("gc", "--older-than", "20d").returncode == 0
    assert there(history) == ([2, 3] if jump < time.time() else [1, 2, 3])
    assert envtool("rollback", "2").returncode == 0
    assert envtool("run", "hello").stdout == "2\n"


def test_leftovers_are_counted_apart(envtool: Any, store: Store, place: Any) -> None:
    path = store.add_text("a", b"aa")
    (place.root / "store" / f"{'0' * 32}-left").write_text("left")
    told = envtool("gc").stdout
    assert told == "deleted 1 store path, 1 leftover, 6 B; 0 are needed\n"
    assert not os.path.exists(store.physical(path))
