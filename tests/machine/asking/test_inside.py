"""Files of store objects: links are followed within the store only."""

from pathlib import Path

import pytest

from envtool.errors import StoreError
from envtool.formats.nix.storepath import STORE_DIR, StorePath
from envtool.machine.asking import inside
from envtool.machine.store import Store


@pytest.fixture
def tree(store: Store, tmp_path: Path) -> StorePath:
    """Add an object with files, folders and links, one of them leading to another object."""
    other = store.add_text("other", b"the other")
    source = tmp_path / "source"
    (source / "lib/deep").mkdir(parents=True)
    (source / "lib/a").write_bytes(b"hello")
    (source / "run").write_bytes(b"#!/bin/sh")
    (source / "run").chmod(0o755)
    links = {
        "alias": "lib/a",
        "lib/up": "../run",
        "folder": "lib/./deep/..",
        "sibling": f"../{other}",
        "logical": f"{STORE_DIR}/{other}",
        "physical": f"{store.settings.store}/{other}",
        "host": "/etc/passwd",
        "climbing": "../../var/db/db.sqlite",
        "store": "..",
        "circle": "circle",
        "dangling": "nothing",
    }
    for name, target in links.items():
        (source / name).symlink_to(target)
    return store.add_tree(str(source), "tree")


@pytest.mark.parametrize(
    ("asked", "name", "found"),
    [
        ("lib/a", "tree", "lib/a"),
        ("alias", "tree", "lib/a"),
        ("lib/up", "tree", "run"),
        ("folder/a", "tree", "lib/a"),
        ("lib//./a", "tree", "lib/a"),
        ("", "tree", ""),
        ("sibling", "other", ""),
        ("logical", "other", ""),
        ("physical", "other", ""),
    ],
)
def test_links_are_followed_to_the_object_they_lead_to(
    store: Store, tree: StorePath, asked: str, name: str, found: str
) -> None:
    entry = inside.find(store.settings.store, tree, asked)
    assert (entry.path.name, entry.inside) == (name, found)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("host", "leads out of the store, by a symlink to '/etc/passwd'"),
        ("climbing", "leads out of the store"),
        ("../../..", "leads out of the store"),
        ("store", "leads to no object"),
        ("circle", "more than 40 symlinks"),
        ("dangling", "'nothing' is missing"),
        ("lib/zz", "'zz' is missing"),
        ("run/zz", "'zz' is missing"),
        ("lib/\x1b[2J", r"'\\x1b\[2J' is missing"),
    ],
)
def test_what_is_not_in_the_store_is_refused(
    store: Store, tree: StorePath, asked: str, message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        inside.find(store.settings.store, tree, asked)


def test_a_store_behind_a_link_is_the_same_store(
    store: Store, tree: StorePath, tmp_path: Path
) -> None:
    (tmp_path / "short").symlink_to(store.settings.store)
    entry = inside.find(str(tmp_path / "short"), tree, "physical")
    assert entry.path.name == "other"


def test_entries_are_in_the_order_of_their_bytes(store: Store, tree: StorePath) -> None:
    top = inside.find(store.settings.store, tree, "lib")
    assert [entry.inside for entry in inside.entries(top, recursive=False)] == [
        "lib/a",
        "lib/deep",
        "lib/up",
    ]
    whole = list(inside.entries(inside.find(store.settings.store, tree, ""), recursive=True))
    kinds = {entry.inside: (entry.kind, entry.size, entry.target) for entry in whole}
    assert kinds["run"] == ("executable", 9, None)
    assert kinds["lib/a"] == ("regular", 5, None)
    assert kinds["host"] == ("symlink", 0, "/etc/passwd")
    assert [entry.inside for entry in whole if entry.inside.startswith("lib")] == [
        "lib",
        "lib/a",
        "lib/deep",
        "lib/up",
    ]


def test_only_files_are_opened(store: Store, tree: StorePath) -> None:
    entry = inside.find(store.settings.store, tree, "alias")
    with open(inside.open_file(entry), "rb") as file:
        assert file.read() == b"hello"
    with pytest.raises(StoreError, match="is a directory, not a file"):
        inside.open_file(inside.find(store.settings.store, tree, "lib"))


def test_mentions_name_the_file_the_link_and_the_name(store: Store, tmp_path: Path) -> None:
    other = store.add_text("other", b"")
    source = tmp_path / "source"
    source.mkdir()
    # Across the border of what is read at once.
    (source / "large").write_bytes(b"." * ((1 << 20) - 9) + other.full().encode())
    (source / "link").symlink_to(f"../{other}")
    (source / f"{other.digest}-name").write_bytes(b"")
    (source / "nothing").write_bytes(other.digest.encode()[:-1])
    path = store.add_tree(str(source), "tree")
    found = [(each.inside, each.how) for each in inside.mentions(store.settings.store, path, other)]
    assert sorted(found) == sorted(
        [("large", "contents"), ("link", "target"), (f"{other.digest}-name", "name")]
    )
    text = store.add_text("text", other.full().encode(), [other])
    [alone] = inside.mentions(store.settings.store, text, other)
    assert (alone.inside, alone.how) == ("", "contents")
