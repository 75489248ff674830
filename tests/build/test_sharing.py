"""A second version of a package shares with the first what is the same in both."""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.build.unpack import unpack
from envtool.build.worker import Workers
from envtool.machine.mending.verify import verify
from envtool.machine.metadata import delete_tree
from envtool.machine.store import Store
from envtool.values import replace

if TYPE_CHECKING:
    from build.conftest import Environments
    from fixtures.wheels import MakeWheel

LARGE = os.urandom(3 << 20)
ENDS_OTHERWISE = LARGE[:-1] + bytes([LARGE[-1] ^ 1])
FILES: Mapping[str, str | bytes] = {
    "tiny/__init__.py": "",
    "tiny/same.py": "SAME = True\n" * 100,
    "tiny/tool": "#!/bin/sh\n",
    "tiny/large.bin": LARGE,
    "tiny/long.bin": LARGE,
    "tiny/edited.py": "EDITED = 1\n",
}
CHANGED: Mapping[str, str | bytes] = {
    **FILES,
    "tiny/long.bin": ENDS_OTHERWISE,
    "tiny/edited.py": "EDITED = 2\n",
    "tiny/new.py": "",
}


@pytest.fixture
def two(make_wheel: "MakeWheel") -> tuple[Path, Path]:
    """Make two versions of one wheel, the second with another mode of one file, too."""
    first = make_wheel("tiny", "1.0", files=FILES)
    second = make_wheel("tiny", "1.1", files=CHANGED, executable=["tiny/tool"])
    return first, second


def shared(tree: Path) -> set[str]:
    return {path.name for path in tree.rglob("*") if path.is_file() and path.stat().st_nlink > 1}


def test_a_newer_version_is_the_same_tree_as_without_sharing(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = two
    older, alone, target = tmp_path / "older", tmp_path / "alone", tmp_path / "target"
    unpack(str(first), first.name, str(older))
    expected = unpack(str(second), second.name, str(alone))
    assert unpack(str(second), second.name, str(target), older=str(older)) == expected
    # The metadata lies in a folder with the version in its name.
    assert shared(target) == {"__init__.py", "same.py", "large.bin"}
    assert (target / "site-packages/tiny/long.bin").read_bytes() == ENDS_OTHERWISE
    for path in target.rglob("*"):
        other = alone / path.relative_to(target)
        assert (path.stat().st_mode, path.stat().st_mtime) == (other.stat().st_mode, 1)
    for tree in (older, alone, target):
        delete_tree(str(tree))


def test_a_worker_shares_as_this_process_does(two: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = two
    older, target = str(tmp_path / "older"), tmp_path / "target"
    unpack(str(first), first.name, older)
    with Workers(1) as workers:
        workers.unpack(str(second), second.name, str(target), lambda _: None, older)
    assert shared(target) == {"__init__.py", "same.py", "large.bin"}
    for tree in (older, str(target)):
        delete_tree(tree)


@pytest.mark.parametrize("damage", ["contents", "mode", "time", "folder", "link", "gone"])
def test_what_is_not_as_it_should_be_is_written_anew(
    two: tuple[Path, Path], tmp_path: Path, damage: str
) -> None:
    first, _ = two
    older, target = tmp_path / "older", tmp_path / "target"
    expected = unpack(str(first), first.name, str(older))
    same = older / "site-packages/tiny/same.py"
    same.parent.chmod(0o755)
    if damage == "contents":
        same.chmod(0o644)
        same.write_bytes(same.read_bytes()[::-1])
    if damage in {"folder", "link", "gone"}:
        content = same.read_bytes()
        same.unlink()
        if damage == "folder":
            same.mkdir()
        elif damage == "link":
            (tmp_path / "elsewhere").write_bytes(content)
            same.symlink_to(tmp_path / "elsewhere")
    else:
        same.chmod(0o644 if damage == "mode" else 0o444)
        os.utime(same, (2, 2) if damage == "time" else (1, 1))
    assert unpack(str(first), first.name, str(target), older=str(older)) == expected
    made = target / "site-packages/tiny/same.py"
    assert made.read_text() == FILES["tiny/same.py"]
    assert (made.lstat().st_mode, made.stat().st_nlink) == (stat.S_IFREG | 0o444, 1)
    for tree in (older, target):
        delete_tree(str(tree))


def test_a_file_system_that_refuses_links_gets_copies(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = two
    older, target = tmp_path / "older", tmp_path / "target"
    expected = unpack(str(first), first.name, str(older))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert unpack(str(first), first.name, str(target), older=str(older)) == expected
    assert shared(target) == set()
    assert {path.stat().st_mtime for path in target.rglob("*")} == {1}
    for tree in (older, target):
        delete_tree(str(tree))


def objects(environments: "Environments", *wheels: Path) -> list[Path]:
    """Return where the unpacked packages lie of an environment for each of the wheels."""
    made = [environments.of(wheel).made for wheel in wheels]
    paths = [each.output(each.packages["tiny"]) for each in made]
    return [Path(environments.store.physical(path)) for path in paths]


def test_an_upgraded_environment_shares_with_the_one_before(
    environments: "Environments", two: tuple[Path, Path]
) -> None:
    before, after = objects(environments, *two)
    assert shared(after) == {"__init__.py", "same.py", "large.bin"}
    assert verify(environments.store, contents=True) == []
    delete_tree(str(before))
    assert (after / "site-packages/tiny/large.bin").read_bytes() == LARGE


def test_sharing_can_be_turned_off(environments: "Environments", two: tuple[Path, Path]) -> None:
    with Store(replace(environments.store.settings, optimise=False)) as environments.store:
        _, after = objects(environments, *two)
    assert shared(after) == set()
