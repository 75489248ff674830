"""python-build-standalone: the catalogue's choice, and archives that must not be unpacked."""

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from envtool.errors import FormatError, InterpreterError
from envtool.machine.metadata import delete_tree
from envtool.sources.standalone import choose, unpack

Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, content: bytes = b"", **fields: object) -> Entry:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Entry:
    return entry(name, type=kind, linkname=target)


def packed(entries: Iterable[Entry]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(stream.getvalue())


@pytest.fixture
def unpacked(tmp_path: Path) -> Iterable[Callable[[bytes], Path]]:
    """Unpack the bytes of an archive and return where."""

    def run(content: bytes) -> Path:
        path = tmp_path / "archive"
        path.write_bytes(content)
        unpack(str(path), "cpython.tar.gz", str(tmp_path / "out"))
        return tmp_path / "out"

    yield run
    delete_tree(str(tmp_path / "out"))


Unpacked = Callable[[bytes], Path]


def test_what_lies_below_python_comes_to_lie_below_usr(unpacked: Unpacked) -> None:
    entries = [
        entry("python/", type=tarfile.DIRTYPE, mode=0o755),
        entry("python/bin/python3.13", b"program", mode=0o4755),
        link("python/bin/python3", "python3.13"),
        link("./python/bin/again", "python/bin/python3.13", tarfile.LNKTYPE),
        entry("python/lib/python3.13/os.py", b"import sys"),
    ]
    out = unpacked(packed(entries))
    assert (out / "usr/bin/python3").read_bytes() == b"program"
    assert (out / "usr/bin/again").samefile(out / "usr/bin/python3.13")
    assert os.readlink(out / "usr/bin/python3") == "python3.13"
    modes = [(out / "usr" / name).stat().st_mode for name in ("bin/again", "lib/python3.13/os.py")]
    assert list(map(stat.S_IMODE, modes)) == [0o555, 0o444]


HOSTILE = {
    "parent": ([entry("python/../../escaped", b"x")], "leads out of the package"),
    "absolute": ([entry("/python/escaped", b"x")], "does not lie below python/"),
    "elsewhere": ([entry("other/file", b"x")], "does not lie below python/"),
    "parent first": ([entry("../python/file", b"x")], "does not lie below python/"),
    "hard link out": (
        [link("python/a", "/etc/passwd", tarfile.LNKTYPE)],
        "does not lie below python/",
    ),
    "through a link": (
        [link("python/lib", "/tmp"), entry("python/lib/escaped", b"x")],
        "lies in 'usr/lib', which is a symlink",
    ),
    "twice": ([entry("python/a", b"x"), entry("python/a", b"y")], "is there twice"),
    "device": ([entry("python/a", type=tarfile.CHRTYPE)], "is a device"),
    "pipe": ([entry("python/a", type=tarfile.FIFOTYPE)], "is a device, a pipe"),
    "bomb": ([entry("python/zeros", bytes(80 << 20))], "inflates to more than"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused(unpacked: Unpacked, tmp_path: Path, case: str) -> None:
    entries, told = HOSTILE[case]
    with pytest.raises(FormatError, match=f"cpython.tar.gz.* {told}|cpython.tar.gz.*{told}"):
        unpacked(packed(entries))
    assert {path.name for path in tmp_path.iterdir()} <= {"archive", "out"}


def test_an_archive_that_breaks_off_is_refused(unpacked: Unpacked, tmp_path: Path) -> None:
    whole = packed([entry("python/a", os.urandom(5000))])
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 9):
        with pytest.raises(FormatError, match="cannot be read"):
            unpacked(whole[:size])
        delete_tree(str(tmp_path / "out"))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_newest_that_satisfies_is_chosen(machine: str) -> None:
    newest, older = choose(machine, "==3.12.*"), choose(machine, ">=3.12,<3.12.8")
    assert newest.version.startswith("3.12.")
    assert older.version == "3.12.7"
    assert machine in older.url
    assert older.below == "/".join(older.url.split("/")[-2:])
    assert choose(machine, None).version > "3.13"


@pytest.mark.parametrize("specifier", ["==3.8.*", "==3.12.500", ">=4"])
def test_a_version_that_is_not_there_is_told_with_those_that_are(specifier: str) -> None:
    with pytest.raises(InterpreterError, match=r"has no CPython .*; it has .*3\.13\.\d+, 3\.12"):
        choose("x86_64", specifier)


def test_a_machine_without_any_is_told() -> None:
    with pytest.raises(InterpreterError, match="for sparc64; it has none"):
        choose("sparc64", None)
