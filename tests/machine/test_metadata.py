"""Making a tree canonical changes no file that has other names."""

import os
import stat
from pathlib import Path

from fixtures.objects import SAME, add, modes

from envtool.machine.mending.verify import verify
from envtool.machine.metadata import canonicalise, delete_tree
from envtool.machine.store import Store


def test_canonicalising_a_tree_does_not_touch_a_file_of_the_store(
    store: Store, tmp_path: Path
) -> None:
    one = add(store, tmp_path, "one", a=SAME, x_b=SAME)
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("a", "x_b"):
        os.link(f"{store.physical(one)}/{name}", tree / name)
    before = {name: os.stat(tree / name).st_ctime_ns for name in ("a", "x_b")}
    canonicalise(str(tree))
    assert {name: os.stat(tree / name).st_ctime_ns for name in before} == before
    assert verify(store, contents=True) == []
    delete_tree(str(tree))


def test_canonicalising_a_link_to_a_users_file_copies_it(tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.write_bytes(SAME)
    outside.chmod(0o640)
    tree.mkdir()
    os.link(outside, tree / "a")
    os.link(outside, tree / "b")
    canonicalise(str(tree))
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640
    assert outside.stat().st_nlink == 1
    assert {path.read_bytes() for path in tree.iterdir()} == {SAME}
    assert sorted(modes(str(tree)).values()) == [(0o444, 1), (0o444, 1), (0o555, 1)]
    delete_tree(str(tree))
