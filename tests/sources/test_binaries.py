"""The ELF files of a wheel, packed and unpacked."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from envtool.build.unpack import unpack
from envtool.sources.binaries import in_folder, in_wheel, read_file
from envtool.sources.elf import read
from envtool.sources.wheel import Wheel

if TYPE_CHECKING:
    from fixtures.wheels import MakeWheel

PROGRAM = Path("/bin/sh").resolve()


def wheel_with_binaries(make_wheel: "MakeWheel") -> Path:
    program = PROGRAM.read_bytes()
    return make_wheel(
        "tiny",
        files={
            "tiny/__init__.py": "",
            "tiny/a.so": program,
            "tiny/b.so": b"\x7fELF and nothing more",
            "tiny/c.txt": program,
            "tiny.libs/libz-12ab.so.1.2": program,
        },
        data={"scripts/tool": program, "data/lib/libd.so": program, "headers/h.h": "int h;"},
    )


def test_packed_and_unpacked_say_the_same(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    path = wheel_with_binaries(make_wheel)
    unpack(str(path), path.name, str(tmp_path / "target"))
    with Wheel(str(path), path.name) as wheel:
        packed = in_wheel(wheel)
    assert in_folder(str(tmp_path / "target")) == packed
    assert [each.place for each in packed] == [
        "data/lib/libd.so",
        "scripts/tool",
        "site-packages/tiny.libs/libz-12ab.so.1.2",
        "site-packages/tiny/a.so",
    ]
    assert {each.elf for each in packed} == {read(PROGRAM.read_bytes())}


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    shutil.copy(PROGRAM, folder / "a.so")
    (folder / "b.so").symlink_to("a.so")
    (folder / "c").symlink_to(".")
    assert [each.place for each in in_folder(str(tmp_path))] == ["site-packages/a.so"]


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    places = ("pipe", "empty", "absent", ".")
    assert [read_file(str(tmp_path / each)) for each in places] == [None] * 4
