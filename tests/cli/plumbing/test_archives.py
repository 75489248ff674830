"""`store add`, `dump`, `restore` and `hash`."""

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envtool.formats.nix import nar
from envtool.formats.nix.hashing import Hash
from envtool.machine.mending.verify import verify

PROGRAM = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]


@pytest.fixture
def data(place: Any) -> Path:
    """Make a folder with a file, a program, and a link."""
    folder = Path(place.project, "data")
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/file").write_bytes(b"x" * 5000)
    (folder / "tool").write_text("#!/bin/sh\n")
    (folder / "tool").chmod(0o755)
    (folder / "link").symlink_to("sub/file")
    return folder


@pytest.fixture
def piped(place: Any) -> Any:
    """Run `envtool store …` with bytes on both ends."""

    def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*PROGRAM, "store", *words],
            cwd=place.project,
            env=place.environ,
            input=stdin,
            capture_output=True,
            check=False,
        )

    return run


def archive(path: Path) -> bytes:
    parts: list[bytes] = []
    nar.dump(str(path), lambda part: parts.append(bytes(part)))
    return b"".join(parts)


def test_add_prints_where_it_lies_and_adds_once(
    data: Path, lines: Any, shape: Any, store: Any
) -> None:
    [first] = lines("add", "data")
    assert archive(Path(first)) == archive(data)
    assert lines("add", "data/", "data/tool")[0] == first
    [told] = shape("add", "data")["paths"]
    assert told["physical"] == first
    assert told["path"] == f"/envtool/store/{os.path.basename(first)}"
    assert verify(store, contents=True) == []


def test_add_takes_another_name_and_a_flat_hash(data: Path, lines: Any, shape: Any) -> None:
    [path] = lines("add", "--name", "other.txt", "data/sub/file")
    assert path.endswith("-other.txt")
    [flat] = lines("add", "--flat", "data/sub/file")
    [info] = shape("path-info", flat)["paths"]
    assert info["ca"] == f"fixed:{Hash.of(b'x' * 5000)}"
    assert Path(flat).read_bytes() == b"x" * 5000


def test_add_with_a_link_is_kept_until_the_link_goes(
    data: Path, lines: Any, envtool: Any, place: Any
) -> None:
    [path] = lines("add", "--link", "kept", "data")
    assert os.readlink(place.project / "kept") == path
    assert envtool("gc").returncode == 0
    assert Path(path).exists()
    (place.project / "kept").unlink()
    assert envtool("gc").returncode == 0
    assert not Path(path).exists()


@pytest.mark.parametrize(
    ("words", "message", "hint", "code"),
    [
        (["nothing"], "nothing: No such file", "", 1),
        (["bad name"], "'bad name' cannot be added: 'bad name' cannot name", "--name NAME", 1),
        (["--name", "a/b", "data"], "'a/b' cannot name a store object", "", 1),
        (["--name", "x", "data", "data/tool"], "--name and --link are for one FILE", "", 2),
        (["--flat", "data"], "data is no file", "without --flat", 1),
        ([], "the following arguments are required: FILE", "--help", 2),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_is(  # noqa: PLR0917 - a table's columns
    data: Path, place: Any, refusal: Any, words: list[str], message: str, hint: str, code: int
) -> None:
    (place.project / "bad name").write_text("")
    told = refusal("add", *words, code=code)
    assert message in told
    assert hint in told
    objects = place.root / "store"
    assert not objects.exists() or [name for name in os.listdir(objects) if name[0] != "."] == []


def test_dump_and_restore_are_inverse(data: Path, piped: Any, place: Any, lines: Any) -> None:
    [path] = lines("add", "data")
    for word in ("data", path, os.path.basename(path)[:10]):
        assert piped("dump", word).stdout == archive(data), word
    done = piped("restore", "copy", stdin=archive(data))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert archive(place.project / "copy") == archive(data)
    assert os.access(place.project / "copy/tool", os.W_OK)


def test_dump_to_a_file_tells_hash_and_size(
    data: Path, shape: Any, place: Any, refusal: Any
) -> None:
    told = shape("dump", "data", "--output", "data.nar")
    written = (place.project / "data.nar").read_bytes()
    assert written == archive(data)
    assert told == {
        "output": "data.nar",
        "nar_hash": Hash.of(written).sri,
        "nar_size": len(written),
    }
    os.mkfifo(data / "fifo")
    assert "data/fifo is a device, socket or FIFO" in refusal(
        "dump", "data", "--output", "data.nar"
    )
    assert (place.project / "data.nar").read_bytes() == written
    assert sorted(os.listdir(place.project)) == ["data", "data.nar", "envtool.toml"]
    assert "cannot write no/x" in refusal("dump", "data", "--output", "no/x")


def test_a_full_disk_is_told_as_such(data: Path, place: Any) -> None:
    done = subprocess.run(
        ["bash", "-c", f"exec {PROGRAM[0]} -c '{PROGRAM[2]}' store dump data > /dev/full"],
        cwd=place.project,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "error: the output cannot be written: No space left on device\n",
    )


LARGE = bytes(range(256)) * 4000 + b"tail"


@pytest.mark.parametrize(
    "redirection", ["| cat > out", "> out", ">> out", "1<> out", "> >(cat > out; echo >> done)"]
)
def test_large_file_is_dumped_whatever_is_behind_the_output(place: Any, redirection: str) -> None:
    (place.project / "large").write_bytes(LARGE)
    (place.project / "out").write_bytes(b"before")
    waiting = "until [ -e done ]; do :; done" if "done" in redirection else "true"
    command = f"{PROGRAM[0]} -c '{PROGRAM[2]}' store dump large {redirection}; {waiting}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=place.project,
        env=place.environ,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    before = b"before" if redirection.startswith(">>") else b""
    assert (place.project / "out").read_bytes() == before + archive(place.project / "large")


@pytest.mark.parametrize(
    ("limit", "redirection", "told"),
    [
        ("true", "> /dev/full", "error: the output cannot be written: No space left on device\n"),
        ("ulimit -f 300", "> out", "error: the output cannot be written: File too large\n"),
        ("true", "| head -c 400000 > out", ""),
    ],
)
def test_large_file_that_does_not_get_through_is_told(
    place: Any, limit: str, redirection: str, told: str
) -> None:
    (place.project / "large").write_bytes(LARGE)
    command = f"{limit}; {PROGRAM[0]} -c '{PROGRAM[2]}' store dump large {redirection}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=place.project,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (bool(done.returncode), done.stderr) == (bool(told), told)


def test_an_archive_is_no_text(data: Path, spawn: Any, envtool: Any) -> None:
    child = spawn("store", "dump", "data")
    child.expect_exact("dump writes an archive to standard output, which is not for a terminal")
    child.expect_exact("--output FILE")
    child.wait()
    assert child.exitstatus == 2
    assert "is not JSON" in envtool("store", "dump", "data", "--json").stdout
    child = spawn("store", "restore", "copy")
    child.expect_exact("standard input, which is a terminal")
    child.wait()
    assert child.exitstatus == 2


@pytest.mark.parametrize(
    ("target", "stdin", "message"),
    [
        ("data", b"", "data exists already"),
        ("copy", b"no archive", "error: the NAR"),
        ("copy", b"", "the NAR is truncated"),
        ("no/copy", nar.MAGIC + nar.symlink_node(b"x"), "No such file"),
    ],
)
def test_what_cannot_be_restored_is_refused_and_leaves_nothing(  # noqa: PLR0917 - likewise
    data: Path, piped: Any, place: Any, target: str, stdin: bytes, message: str
) -> None:
    done = piped("restore", target, stdin=stdin)
    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert sorted(os.listdir(place.project)) == ["data", "envtool.toml"]


def test_the_store_is_no_place_to_restore_to(data: Path, lines: Any, piped: Any) -> None:
    [path] = lines("add", "data")
    for target in (f"{os.path.dirname(path)}/x", f"{path}/x"):
        done = piped("restore", target, stdin=archive(data))
        assert done.returncode == 1
        assert b"lies in the store" in done.stderr
        assert not os.path.exists(target)


def test_hash_has_every_spelling(data: Path, lines: Any, shape: Any) -> None:
    whole, file = Hash.of(archive(data)), Hash.of(b"x" * 5000)
    assert lines("hash", "data", "data/sub/file") == [
        whole.sri,
        Hash.of(archive(data / "sub/file")).sri,
    ]
    assert lines("hash", "--nix32", "data") == [whole.nix32]
    assert lines("hash", "--base16", "data") == [whole.base16]
    assert lines("hash", "--base64", "--flat", "data/sub/file") == [file.base64]
    assert lines("hash", "--sri", "--flat", "data/link") == [file.sri]
    md5 = hashlib.md5(archive(data)).digest()
    assert lines("hash", "--type", "md5", "data") == [f"md5-{base64.b64encode(md5).decode()}"]
    [path] = lines("add", "data")
    assert shape("hash", path)["hashes"] == [
        {"file": path, "algorithm": "sha256", "hash": whole.sri, "size": len(archive(data))}
    ]


def test_hash_needs_no_store_and_names_what_is_missing(
    data: Path, lines: Any, refusal: Any, place: Any
) -> None:
    assert len(lines("hash", "data")) == 1
    assert "'nothing' cannot be found" in refusal("hash", "nothing")
    assert "cannot read data: data: Is a directory" in refusal("hash", "--flat", "data")
    assert "not allowed with argument" in refusal("hash", "--sri", "--base16", "data", code=2)
    assert not place.root.exists()
