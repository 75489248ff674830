"""`store delete` deletes what nothing needs, and says what needs the rest."""

import os
from typing import Any

from envtool.machine.mending.verify import verify


def test_delete_takes_what_refers_to_it_along(shelf: Any, lines: Any, shape: Any) -> None:
    would = lines("delete", "--dry-run", shelf.zlib)
    assert would[-1].startswith("would delete 3 store paths, ")
    gone = {shelf.zlib, shelf.app1, shelf.app2}
    assert {line.split()[0] for line in would[:-1]} == set(map(shelf.place, gone))
    assert all(os.path.exists(shelf.place(path)) for path in gone)
    told = shape("delete", shelf.zlib)
    assert (told["dry_run"], len(told["deleted"])) == (False, 3)
    assert told["freed"] > 0
    assert shelf.store.valid([*gone, shelf.libc]) == {shelf.libc}
    assert verify(shelf.store, contents=True) == []


def test_delete_refuses_all_when_one_is_needed_and_says_by_what(
    shelf: Any, refusal: Any, place: Any
) -> None:
    link = place.root / "var/gcroots/mine"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(shelf.place(shelf.app1))
    for words in ([shelf.libc], [shelf.app2, shelf.zlib], ["--dry-run", shelf.libc]):
        told = refusal("delete", *words)
        assert f"{words[-1]} is needed by {link}" in told
    told = refusal("delete", shelf.libc, shelf.app1)
    assert told.splitlines()[:3] == [
        "error: nothing was deleted:",
        f"{shelf.libc} is needed by {link}",
        f"{shelf.app1} is needed by {link}",
    ]
    everything = {shelf.libc, shelf.zlib, shelf.app1, shelf.app2}
    assert shelf.store.valid(everything) == everything


def test_delete_leaves_what_is_not_named(shelf: Any, lines: Any, refusal: Any) -> None:
    assert lines("delete", shelf.app2)[-1].startswith("deleted 1 store path, ")
    rest = {shelf.libc, shelf.zlib, shelf.app1}
    assert shelf.store.valid([*rest, shelf.app2]) == rest
    assert f"{shelf.app2} is not in the store" in refusal("delete", shelf.app2)
