"""`store optimise`: with real files, processes and Nix."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fixtures.objects import LARGE, SAME, add, inode, modes

from envtool.errors import StoreError
from envtool.formats.nix import nar
from envtool.formats.nix.storepath import StorePath
from envtool.machine.mending.verify import verify
from envtool.machine.metadata import delete_tree
from envtool.machine.settings import Settings
from envtool.machine.sharing.links import LINKS, drop_unused_links, unused_links
from envtool.machine.sharing.opened import Opened
from envtool.machine.sharing.optimise import Optimised, optimise, optimise_added
from envtool.machine.store import Store
from envtool.reporting import SilentReporter
from envtool.values import replace

if TYPE_CHECKING:
    from machine.conftest import Kills

CHILDREN = Path(__file__).parent.parent / "children"


def run(store: Store, *, dry_run: bool = False) -> Optimised:
    return optimise(store, SilentReporter(), dry_run=dry_run)


# -- the whole store


def test_identical_files_become_one_inode(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, sub__b=SAME)
    two = add(store, tmp_path, "two", c=SAME, d=b"other")
    assert run(store) == Optimised(2, 2 * len(SAME), 2 * len(SAME), 0)
    assert len({inode(store, one, "a"), inode(store, one, "sub/b"), inode(store, two, "c")}) == 1
    assert verify(store, contents=True) == []


def test_the_executable_bit_keeps_files_apart(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", plain=SAME, x_one=SAME, x_two=SAME)
    assert run(store).files == 1
    assert inode(store, one, "x_one") == inode(store, one, "x_two") != inode(store, one, "plain")


def test_symlinks_are_linked_and_never_followed(store: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(SAME)
    one = add(store, tmp_path, "one", a=SAME, here=str(outside), there=str(outside))
    assert run(store).files == 1
    assert inode(store, one, "here") == inode(store, one, "there")
    assert os.readlink(f"{store.physical(one)}/there") == str(outside)
    assert outside.stat().st_nlink == 1


def test_large_files_are_linked_too(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=LARGE * 3, b=LARGE * 3, c=LARGE * 2 + LARGE[::-1])
    assert run(store).saved == 3 * len(LARGE)
    assert inode(store, one, "a") == inode(store, one, "b") != inode(store, one, "c")


def test_objects_that_are_single_files_are_linked(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(SAME)
    one, two = store.add_tree(str(source), "one"), store.add_tree(str(source), "two")
    assert run(store).files == 1
    assert os.path.samefile(store.physical(one), store.physical(two))
    assert stat.S_IMODE(os.stat(store.settings.store).st_mode) == 0o755


def test_modes_and_times_are_those_of_before(store: Store, tmp_path: Path) -> None:
    add(store, tmp_path, "one", sub__a=SAME, b=SAME, x_c=SAME, link="b")
    before = modes(store.settings.store)
    run(store)
    after = modes(store.settings.store)
    assert {path: after[path] for path in before if "-one" in path} == {
        path: mode for path, mode in before.items() if "-one" in path
    }


def test_a_second_run_finds_nothing_and_tells_the_same_total(store: Store, tmp_path: Path) -> None:
    add(store, tmp_path, "one", a=SAME, b=SAME, c=b"x", d=b"x")
    first = run(store)
    assert run(store) == Optimised(0, 0, first.total, 0)


def test_what_is_added_later_joins_what_was_linked(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, b=SAME)
    run(store)
    two = add(store, tmp_path, "two", c=SAME)
    assert run(store) == Optimised(1, len(SAME), 2 * len(SAME), 0)
    assert inode(store, two, "c") == inode(store, one, "a")


def test_a_size_met_only_once_is_not_read(store: Store, tmp_path: Path) -> None:
    add(store, tmp_path, "one", a=b"1", b=b"22", c=b"333")
    run(store)
    assert os.listdir(f"{store.settings.store}/{LINKS}") == []


def test_a_size_met_again_in_a_later_batch_is_found(store: Store, tmp_path: Path) -> None:
    for number in range(70):
        store.add_text(f"text-{number}", b"%0999d" % number)
    paths = [add(store, tmp_path, f"last-{number}", a=SAME) for number in range(70)]
    assert run(store).files == 69
    assert len({inode(store, path, "a") for path in paths}) == 1


def test_entries_are_named_by_the_hash_of_the_nar(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, b=SAME)
    run(store)
    expected, _ = nar.hash_path(f"{store.physical(one)}/a")
    assert os.listdir(f"{store.settings.store}/{LINKS}") == [expected.nix32]


def test_a_dry_run_counts_the_same_and_changes_nothing(store: Store, tmp_path: Path) -> None:
    add(store, tmp_path, "one", a=SAME, b=SAME, sub__c=SAME)
    before = modes(store.settings.store)
    dry = run(store, dry_run=True)
    assert modes(store.settings.store) == before
    assert dry == run(store)


def test_an_empty_store_is_left_uncreated(store: Store, settings: Settings) -> None:
    assert run(store) == Optimised(0, 0, 0, 0)
    assert not os.path.exists(settings.root)


def test_a_writable_file_is_left_alone(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, b=SAME)
    os.chmod(f"{store.physical(one)}/b", 0o644)
    assert run(store).files == 0


def test_a_damaged_entry_is_replaced_instead_of_spreading(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, b=SAME)
    run(store)
    (entry,) = Path(store.settings.store, LINKS).iterdir()
    entry.chmod(0o644)
    entry.write_bytes(SAME[::-1])
    entry.chmod(0o444)
    two = add(store, tmp_path, "two", c=SAME, d=SAME)
    done = run(store)
    assert (done.files, done.damaged) == (1, 1)
    assert entry.read_bytes() == SAME
    assert {problem.name for problem in verify(store, contents=True)} == {one}
    assert inode(store, two, "c") == inode(store, two, "d")


def test_an_object_that_is_being_made_is_passed_over(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, b=SAME)
    two = add(store, tmp_path, "two", c=SAME, d=SAME)
    with Store(store.settings) as other, other.lock_path(one):
        assert run(store).files == 1
    assert inode(store, one, "a") != inode(store, one, "b")
    assert inode(store, two, "c") == inode(store, two, "d")


def test_an_object_that_somebody_deleted_is_no_error(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, b=SAME)
    add(store, tmp_path, "two", c=SAME)
    delete_tree(store.physical(one))
    assert run(store) == Optimised(0, 0, 0, 0)


def test_a_folder_too_deep_for_a_path_is_passed_over(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, b=SAME)
    folder = os.open(store.physical(one), os.O_RDONLY)
    os.fchmod(folder, 0o755)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=folder)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(os.open("deep", os.O_WRONLY | os.O_CREAT, 0o444, dir_fd=folder))
    os.close(folder)
    assert run(store).files == 1


def test_without_hard_links_nothing_is_done(
    store: Store, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    add(store, tmp_path, "one", a=SAME, b=SAME)
    # A folder on another file system refuses links as one without links does.
    elsewhere = Path("/proc/self/fd")
    Path(store.settings.store, LINKS).symlink_to(elsewhere)
    done = run(store)
    assert (done.files, done.supported) == (0, False)
    assert verify(store, contents=True) == []


def test_a_file_with_as_many_names_as_allowed_is_left_as_it_is(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = add(store, tmp_path, "one", a=SAME, b=SAME, c=b"x" * 50, d=b"x" * 50)
    real = os.link

    def full(source: str, target: str, *, follow_symlinks: bool = True) -> None:
        if "-link" in target and os.stat(source).st_size == len(SAME):
            raise OSError(errno.EMLINK, "Too many links", source)
        real(source, target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "link", full)
    assert run(store).files == 1
    assert inode(store, one, "a") != inode(store, one, "b")
    assert verify(store, contents=True) == []


def test_a_folder_that_a_killed_run_left_open_is_closed(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", sub__a=SAME, sub__b=b"x")
    folder = f"{store.physical(one)}/sub"
    child = os.fork()
    if child == 0:
        with Opened(store.settings) as opened:
            opened.open(folder)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.stat(folder).st_mode & 0o777 == 0o755
    with Store(store.settings) as again:
        assert verify(again, contents=True) == []
    assert (os.stat(folder).st_mode & 0o777, os.stat(folder).st_mtime) == (0o555, 1)


def test_an_interrupt_leaves_the_store_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, tmp_path, "one", **{f"sub__f{number}": SAME for number in range(20)})
    real, calls = os.rename, iter(range(20))

    def interrupted(source: str, target: str) -> None:
        if next(calls) == 7:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(store)
    monkeypatch.undo()
    assert verify(store, contents=True) == []
    assert not [name for name in os.listdir(store.settings.store) if "-envtool-scratch-" in name]
    assert run(store).files == 12


def test_a_read_only_store_is_an_error_that_says_so(store: Store, tmp_path: Path) -> None:
    add(store, tmp_path, "one", a=SAME, b=SAME)
    Path(store.settings.store, LINKS).write_text("in the way")
    with pytest.raises(StoreError, match="cannot optimise the store"):
        run(store)


# -- killed, and beside others


def test_a_run_killed_at_any_line_leaves_all_valid(kills: "Kills") -> None:
    assert kills("optimise", every=7) > 10


def test_four_runs_and_an_adder_at_once_leave_all_valid(store: Store, tmp_path: Path) -> None:
    for number in range(8):
        add(store, tmp_path, f"o{number}", **{f"d{at % 5}__f{at}": b"%d" % (at % 9) * 500
                                              for at in range(60)})  # fmt: skip
    code = (
        "import os, sys; from envtool.machine.settings import load; from envtool.machine.store "
        "import Store; from envtool.machine.sharing.optimise import optimise; "
        "from envtool.reporting import SilentReporter; store = Store(load(os.environ))\n"
        "for _ in range(3): optimise(store, SilentReporter())"
    )
    environ = {**os.environ, "ENVTOOL_ROOT": store.settings.root, "ENVTOOL_FSYNC": "0"}
    children = [
        subprocess.Popen([sys.executable, "-c", code], env=environ, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for number in range(8):
        add(store, tmp_path, f"n{number}", **{f"g{at}": b"%d" % (at % 9) * 500 for at in range(30)})
    for child in children:
        _, errors = child.communicate()
        assert child.returncode == 0, errors.decode()
    assert verify(store, contents=True) == []
    run(store)
    assert len({inode(store, path, name) for path, name in _all_files(store)}) == 9


def _all_files(store: Store) -> Iterator[tuple[StorePath, str]]:
    for path in store.database.sizes():
        top = store.physical(path)
        for folder, _, names in os.walk(top):
            for name in names:
                yield path, os.path.relpath(f"{folder}/{name}", top)


# -- links that nobody uses


def test_entries_without_users_are_told_and_dropped(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, b=SAME)
    two = add(store, tmp_path, "two", c=b"x" * 70, d=b"x" * 70)
    run(store)
    folder = store.settings.store
    assert list(unused_links(folder)) == []
    store.database.delete([one])
    delete_tree(store.physical(one))
    assert [size for _, size in unused_links(folder)] == [len(SAME)]
    assert drop_unused_links(folder) == (1, len(SAME))
    assert inode(store, two, "c") == inode(store, two, "d")
    assert len(os.listdir(f"{folder}/{LINKS}")) == 1


def test_a_store_without_links_has_no_unused_ones(store: Store) -> None:
    assert drop_unused_links(store.settings.store) == (0, 0)


# -- what is added


def test_what_is_added_shares_with_everything_when_asked_to(
    settings: Settings, tmp_path: Path
) -> None:
    with Store(replace(settings, optimise_all=True)) as store:
        first = add(store, tmp_path, "first", a=SAME, sub__b=LARGE, x_c=SAME, again=SAME)
        optimise_added(store, [first])
        other = add(store, tmp_path, "other", x=SAME, y=LARGE, z="nowhere", x_x=SAME)
        optimise_added(store, [other])
        assert inode(store, first, "a") == inode(store, first, "again") == inode(store, other, "x")
        assert inode(store, first, "sub/b") == inode(store, other, "y")
        assert inode(store, first, "x_c") == inode(store, other, "x_x")
        assert inode(store, first, "x_c") != inode(store, other, "x")
        assert run(store).files == 0
        assert verify(store, contents=True) == []


def test_what_is_added_shares_with_nothing_else_unless_asked_to(
    sharing: Store, tmp_path: Path
) -> None:
    one, two = add(sharing, tmp_path, "one", a=SAME), add(sharing, tmp_path, "two", a=SAME)
    optimise_added(sharing, [two])
    assert inode(sharing, one, "a") != inode(sharing, two, "a")


def test_only_the_named_paths_are_optimised(store: Store, tmp_path: Path) -> None:
    paths = [add(store, tmp_path, name, a=SAME) for name in ("one", "two", "three")]
    done = optimise(store, SilentReporter(), only=paths[:2])
    assert (done.files, done.saved) == (1, len(SAME))
    inodes = [inode(store, path, "a") for path in paths]
    assert inodes[0] == inodes[1] != inodes[2]


# -- the real Nix


def nix(store: Store, *words: str) -> str:
    """Run `nix-store` on our store and return both of its streams."""
    settings = store.settings
    url = f"local?store=/envtool/store&real={settings.store}&state={settings.state}"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": settings.root,
        "NIX_CONF_DIR": settings.root,
        "NIX_CONFIG": "build-users-group =\nsubstituters =\nuse-sqlite-wal = true",
    }
    done = subprocess.run(
        ["nix-store", "--store", url, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.programs("nix-store")
def test_nix_finds_nothing_left_to_link_and_nothing_wrong(store: Store, tmp_path: Path) -> None:
    add(store, tmp_path, "one", a=SAME, sub__b=SAME, x_c=SAME, empty=b"", link="a")
    add(store, tmp_path, "two", d=SAME, x_e=SAME, none=b"", other="a", large=LARGE, again=LARGE)
    done = run(store)
    assert done.files == 6
    assert "0.00 MiB freed by hard-linking 0 files" in nix(store, "--optimise")
    assert "error" not in nix(store, "--verify", "--check-contents")


@pytest.mark.programs("nix-store")
def test_we_find_nothing_left_of_what_nix_linked(store: Store, tmp_path: Path) -> None:
    one = add(store, tmp_path, "one", a=SAME, sub__b=SAME, x_c=SAME, empty=b"", link="a")
    add(store, tmp_path, "two", d=SAME, x_e=SAME, none=b"", other="a")
    assert "freed by hard-linking 5 files" in nix(store, "--optimise")
    done = run(store)
    shared = 3 * len(SAME) + len(os.readlink(f"{store.physical(one)}/link"))
    assert done == Optimised(0, 0, shared, 0)


@pytest.mark.programs("nix-store")
def test_nix_says_that_as_much_is_saved_as_we_do(store: Store, tmp_path: Path) -> None:
    add(store, tmp_path, "one", a=LARGE * 8, b=LARGE * 8, c=LARGE * 8)
    done = run(store)
    os.makedirs(store.settings.gcroots, exist_ok=True)
    (path,) = store.database.sizes()
    os.symlink(path.full(), f"{store.settings.gcroots}/kept")
    told = nix(store, "--gc")
    assert f"currently hard linking saves {done.total / (1 << 20):.2f} MiB" in told
