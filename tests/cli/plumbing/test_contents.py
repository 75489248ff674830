"""`store ls` and `store cat`: what they print, and that nothing outside is ever shown."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tree(store: Any, place: Any) -> Any:
    """Add an object with awkward names and links out of the store."""
    source = place.project / "tree"
    (source / "lib").mkdir(parents=True)
    (source / "lib/data").write_bytes(b"\xff\x00binary")
    (source / "run").write_text("echo é\n")
    (source / "run").chmod(0o755)
    (source / "link").symlink_to("lib/data")
    (source / "host").symlink_to("/etc/passwd")
    (source / "evil\x1b[2J\nname").write_text("x")
    with open(os.fsencode(source) + b"/latin-\xe9", "wb"):
        pass
    return store.add_tree(str(source), "tree")


def test_ls_lists_names_in_the_order_of_their_bytes(tree: Any, lines: Any, shape: Any) -> None:
    names = ["evil\x1b[2J\nname", "host", "latin-\udce9", "lib", "link", "run"]
    assert [each["name"] for each in shape("ls", tree)["entries"]] == names
    assert lines("ls", "-l", f"{tree}/lib") == ["-r--r--r--  8  data"]


def test_ls_shows_links_as_links_and_follows_the_way_to_them(tree: Any, shape: Any) -> None:
    told = shape("ls", "-R", tree)
    entries = {each["name"]: each for each in told["entries"]}
    assert entries["host"] == {
        "name": "host",
        "kind": "symlink",
        "size": 0,
        "target": "/etc/passwd",
    }
    assert entries["lib/data"]["size"] == 8
    assert entries["run"]["kind"] == "executable"
    [alone] = shape("ls", f"{tree}/link")["entries"]
    assert (alone["name"], alone["kind"]) == ("data", "regular")


def test_names_are_escaped_on_a_terminal_only(tree: Any, spawn: Any, place: Any) -> None:
    child = spawn("store", "ls", tree)
    child.expect_exact("evil\\x1b[2J\\nname")
    child.expect_exact("latin-\\xe9")
    child.wait()
    assert child.exitstatus == 0


def test_names_are_bytes_in_a_pipe(tree: Any, place: Any, tmp_path: Path) -> None:
    program = "import sys; from envtool.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "store", "ls", tree],
        env={**place.environ, "LC_ALL": "POSIX"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.split(b"\n")[3] == b"latin-\xe9"


def test_cat_writes_bytes_as_they_are(tree: Any, place: Any, envtool: Any, shape: Any) -> None:
    program = "import sys; from envtool.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "store", "cat", f"{tree}/link"],
        env=place.environ,
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"\xff\x00binary"
    told = shape("cat", f"{tree}/link")
    assert (told["inside"], told["size"], told["text"]) == ("lib/data", 8, None)
    assert base64.b64decode(told["base64"]) == b"\xff\x00binary"
    assert shape("cat", f"{tree}/run")["text"] == "echo é\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cat", "{}/host"], "leads out of the store, by a symlink to '/etc/passwd'"),
        (["ls", "{}/host"], "leads out of the store"),
        (["cat", "{}/../../../../../etc/passwd"], "leads out of the store"),
        (["cat", "{}/lib"], "is a directory, not a file"),
        (["cat", "{}"], "is a directory, not a file"),
        (["cat", "{}/nothing"], "'nothing' is missing"),
        (["ls", "{}/run/x"], "'x' is missing"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    tree: Any, refusal: Any, words: list[str], message: str
) -> None:
    told = refusal(*[word.format(tree) for word in words])
    assert message in told
    assert "root:" not in told


def test_a_reader_who_leaves_is_no_error(store: Any, place: Any) -> None:
    (place.project / "large").write_bytes(b"y\n" * 2_000_000)
    large = store.add_tree(str(place.project / "large"), "large")
    program = f"{sys.executable} -c 'import sys; from envtool.cli import main; sys.exit(main())'"
    for command in ("cat", "dump"):
        script = f"{program} store {command} {large} | head -c 3"
        done = subprocess.run(
            ["bash", "-c", script], env=place.environ, capture_output=True, check=True
        )
        assert (len(done.stdout), done.stderr) == (3, b"")
