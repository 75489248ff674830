"""Unpacking: a wheel becomes a canonical store object whose NAR was hashed on the way."""

import csv
import json
import os
import random
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envtool.build.unpack import Unpacked, unpack
from envtool.errors import WheelError
from envtool.formats.nix import nar
from envtool.sources.wheel import CHUNK

if TYPE_CHECKING:
    from fixtures.wheels import MakeWheel

INFO = "tiny-1.0.dist-info"


def unpacked(wheel: Path, target: Path) -> Unpacked:
    return unpack(str(wheel), wheel.name, str(target))


def index(target: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((target / "wheel.json").read_bytes())
    return found


def rich_wheel(make_wheel: "MakeWheel") -> Path:
    return make_wheel(
        "tiny",
        files={"tiny/__init__.py": "", "tiny/tool.sh": "#!/bin/sh\n", "one.py": "", "grün.py": ""},
        data={
            "scripts/run": "#!python\n",
            "data/share/tiny/a.txt": "a",
            "headers/tiny.h": "",
            "purelib/pure.py": "",
            "platlib/plat/__init__.py": "",
        },
        entry_points={
            "console_scripts": {"tiny": "tiny:main"},
            "gui_scripts": {"tiny-window": "tiny.gui:App.run"},
        },
        executable=["tiny/tool.sh"],
        requires=["numpy>=2", "six; python_version<'3'"],
    )


def test_hash_and_size_on_the_way_are_those_of_the_tree(
    make_wheel: "MakeWheel", tmp_path: Path
) -> None:
    found = unpacked(rich_wheel(make_wheel), tmp_path / "target")
    assert (found.nar_hash, found.nar_size) == nar.hash_path(str(tmp_path / "target"))


def test_modes_and_times_are_canonical(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    unpacked(rich_wheel(make_wheel), tmp_path / "target")
    executable = {"tool.sh", "run"}
    for path in [tmp_path / "target", *(tmp_path / "target").rglob("*")]:
        status = path.lstat()
        wanted = 0o555 if path.is_dir() or path.name in executable else 0o444
        assert stat.S_IMODE(status.st_mode) == wanted, path
        assert status.st_mtime_ns == 10**9


@pytest.mark.parametrize("mask", [0o077, 0o000, 0o022])
def test_umask_has_no_say(make_wheel: "MakeWheel", tmp_path: Path, mask: int) -> None:
    former = os.umask(mask)
    try:
        unpacked(rich_wheel(make_wheel), tmp_path / "target")
    finally:
        os.umask(former)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "target").rglob("*")}
    assert modes == {0o444, 0o555}


def test_wheel_json_tells_the_composer_everything(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    unpacked(rich_wheel(make_wheel), tmp_path / "target")
    assert index(tmp_path / "target") == {
        "name": "tiny",
        "version": "1.0",
        "requires": ["numpy>=2", "six; python_version<'3'"],
        "console": [["tiny", "tiny", "main"]],
        "gui": [["tiny-window", "tiny.gui", "App.run"]],
        "scripts": ["run"],
        "files": ["grün.py", "one.py", "pure.py"],
        "folders": ["plat", "tiny", INFO],
        "schemes": ["data", "headers"],
        "real": [],
    }


def test_installer_says_who_placed_it(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    unpacked(make_wheel("tiny"), tmp_path / "target")
    assert (tmp_path / f"target/site-packages/{INFO}/INSTALLER").read_text() == "envtool\n"


def test_record_names_the_places_in_an_environment(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    unpacked(rich_wheel(make_wheel), tmp_path / "target")
    with open(tmp_path / f"target/site-packages/{INFO}/RECORD", encoding="utf-8") as file:
        rows = {row[0]: row[1:] for row in csv.reader(file)}
    assert {
        "../../../bin/run",
        "../../../share/tiny/a.txt",
        "../../../include/tiny/tiny.h",
        "pure.py",
        "plat/__init__.py",
        "grün.py",
    } <= rows.keys()
    assert rows["../../../share/tiny/a.txt"][1] == "1"
    assert rows[f"{INFO}/RECORD"] == ["", ""]


def test_record_of_a_wheel_without_schemes_stays_as_it_is(
    make_wheel: "MakeWheel", tmp_path: Path
) -> None:
    unpacked(make_wheel("tiny"), tmp_path / "target")
    text = (tmp_path / f"target/site-packages/{INFO}/RECORD").read_text()
    assert text.splitlines()[0].startswith("tiny.py,sha256=")


@pytest.mark.parametrize("size", [CHUNK, CHUNK + 1, 3 * CHUNK + 17])
def test_large_member_is_streamed_byte_for_byte(
    make_wheel: "MakeWheel", tmp_path: Path, size: int
) -> None:
    content = random.Random(size).randbytes(1 << 16) * (size // (1 << 16) + 1)
    wheel = make_wheel("tiny", files={"big.bin": content[:size]})
    found = unpacked(wheel, tmp_path / "target")
    assert (tmp_path / "target/site-packages/big.bin").read_bytes() == content[:size]
    assert found.nar_hash == nar.hash_path(str(tmp_path / "target"))[0]


@pytest.mark.parametrize("size", [2 * CHUNK - 6, 2 * CHUNK, 4 * CHUNK + 18])
def test_large_member_of_one_byte_over_and_over_is_unpacked(
    make_wheel: "MakeWheel", tmp_path: Path, size: int
) -> None:
    # All of the archive is read long before all of the contents are out.
    wheel = make_wheel("tiny", files={"big.bin": b"\xa5" * size})
    unpacked(wheel, tmp_path / "target")
    place = tmp_path / "target/site-packages/big.bin"
    assert (place.stat().st_size, set(place.read_bytes())) == (size, {0xA5})


def test_bytes_written_are_counted(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    wheel = make_wheel("tiny", files={"a.py": "a" * 100, "b/c.bin": b"b" * 100_000})
    counted: list[int] = []
    unpack(str(wheel), wheel.name, str(tmp_path / "target"), counted.append)
    assert sum(counted) >= 100_100


def test_same_wheel_gives_the_same_bytes(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    wheel = rich_wheel(make_wheel)
    assert unpacked(wheel, tmp_path / "one") == unpacked(wheel, tmp_path / "two")


def test_lie_found_late_leaves_the_large_member_unconfirmed(
    make_wheel: "MakeWheel", tmp_path: Path
) -> None:
    wheel = make_wheel("tiny", files={"big.bin": b"\1" * (CHUNK + 1)}, tamper="record-hash")
    with pytest.raises(WheelError, match=r"big\.bin"):
        unpacked(wheel, tmp_path / "target")


def test_target_that_exists_is_not_written_to(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(FileExistsError):
        unpacked(make_wheel("tiny"), tmp_path / "target")
    assert os.listdir(tmp_path / "target") == []


NAMES = st.text(
    st.characters(exclude_characters='/\\:\0"', exclude_categories=["Cs", "Cc", "Zl", "Zp"]),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in {".", ".."})
TREES = st.dictionaries(st.tuples(NAMES, NAMES), st.binary(max_size=100), min_size=1, max_size=8)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tree=TREES)
def test_any_names_and_contents_are_unpacked_in_nar_order(
    tmp_path_factory: pytest.TempPathFactory,
    make_wheel: "MakeWheel",
    tree: Mapping[tuple[str, str], bytes],
) -> None:
    folder = tmp_path_factory.mktemp("named")
    files = {f"pkg/{first}/{second}": content for (first, second), content in tree.items()}
    target = folder / "target"
    found = unpacked(make_wheel("tiny", files=files, folder=folder), target)
    assert (found.nar_hash, found.nar_size) == nar.hash_path(str(target))
    for name, content in files.items():
        assert (target / "site-packages" / name).read_bytes() == content
