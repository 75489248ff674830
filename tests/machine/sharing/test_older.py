"""Sharing while an object is made, with an older version of it."""

import os
import shutil
from pathlib import Path

from fixtures.objects import LARGE, SAME, add, derivation, inode, modes

from envtool.machine.mending.verify import verify
from envtool.machine.sharing.older import older_versions
from envtool.machine.store import Store


def test_an_added_tree_shares_files_with_one_of_its_name(sharing: Store, tmp_path: Path) -> None:
    one = add(sharing, tmp_path, "data", a=SAME, sub__b=LARGE * 5, x_c=b"x", link="a")
    shutil.rmtree(tmp_path / "sources")
    two = add(sharing, tmp_path, "data", a=SAME, sub__b=LARGE * 5, x_c=b"y", link="a", new=b"n")
    assert inode(sharing, one, "a") == inode(sharing, two, "a")
    assert inode(sharing, one, "sub/b") == inode(sharing, two, "sub/b")
    assert inode(sharing, one, "x_c") != inode(sharing, two, "x_c")
    assert verify(sharing, contents=True) == []
    assert set(modes(sharing.physical(two)).values()) == {(0o555, 1), (0o444, 1), (0, 1)}


def test_sharing_that_is_turned_off_shares_nothing(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "data", a=SAME)
    two = add(store, tmp_path, "data", a=SAME, b=b"")
    assert inode(store, one, "a") != inode(store, two, "a")


def test_a_damaged_file_is_not_shared(sharing: Store, tmp_path: Path) -> None:
    one = add(sharing, tmp_path, "data", a=SAME)
    damaged = Path(sharing.physical(one), "a")
    damaged.chmod(0o644)
    damaged.write_bytes(SAME[::-1])
    os.utime(damaged, (1, 1))
    damaged.chmod(0o444)
    two = add(sharing, tmp_path, "data", b=b"")
    assert Path(sharing.physical(two), "a").read_bytes() == SAME


def test_the_executable_bit_keeps_versions_apart(sharing: Store, tmp_path: Path) -> None:
    one = add(sharing, tmp_path, "data", a=SAME)
    (tmp_path / "sources/data/a").chmod(0o755)
    two = sharing.add_tree(str(tmp_path / "sources/data"), "data")
    assert inode(sharing, one, "a") != inode(sharing, two, "a")
    assert verify(sharing, contents=True) == []


def test_the_latest_of_the_name_comes_before_other_versions(sharing: Store, tmp_path: Path) -> None:
    exact = add(sharing, tmp_path, "demo-1.0", a=b"1")
    older = add(sharing, tmp_path, "demo-0.9", a=b"2")
    newer = add(sharing, tmp_path, "demo-1.1", a=b"3")
    sharing.add_derivations([derivation("demo-2.0")])
    add(sharing, tmp_path, "demo", a=b"4")
    add(sharing, tmp_path, "other-1.0", a=b"5")
    found = older_versions(
        sharing.settings, sharing.database, ["demo-1.0", "demo-3", "unknown-1", "unknown"]
    )
    assert found == {
        "demo-1.0": sharing.physical(exact),
        "demo-3": sharing.physical(newer),
    }
    assert older != newer


def test_unlike_things_in_one_place_are_copied(sharing: Store, tmp_path: Path) -> None:
    older = add(sharing, tmp_path, "data", file__in=b"", folder=b"a file", link="plain", plain=b"p")
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "inner").write_text("inner")
    (tree / "file").write_text("file")
    (tree / "link").write_text("p")
    (tree / "plain").write_text("p")
    newer = Path(sharing.physical(sharing.add_tree(str(tree), "data")))
    assert os.path.samefile(newer / "plain", f"{sharing.physical(older)}/plain")
    assert not (newer / "link").is_symlink()
    assert (newer / "folder" / "inner").read_text() == "inner"
    assert verify(sharing, contents=True) == []
