import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import FormatError, StoreError
from envtool.formats.nix import nar
from envtool.formats.nix.derivation import Derivation, Output, render, with_output_paths
from envtool.formats.nix.storepath import StorePath, make_source, make_text
from envtool.machine import locks
from envtool.machine.database import PathInfo
from envtool.machine.mending.verify import verify
from envtool.machine.settings import Settings
from envtool.machine.store import Store, Text
from envtool.values import replace

if TYPE_CHECKING:
    from machine.conftest import AsOwner, Kills


def at_once(code: str, *words: str) -> list[str]:
    """Return what four processes print that run code, each until its standard input ends."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
        child.stdin = None
    return [child.communicate()[0] for child in children]


def derivation(name: str, *sources: StorePath) -> Derivation:
    bare = Derivation(
        name, {"out": Output(None)}, {}, frozenset(sources), "x86_64-linux", "/b", ("-c",), {}
    )
    return with_output_paths(bare, lambda _: "")


def tree(folder: Path) -> str:
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "script").write_text("#!/bin/sh\n")
    (folder / "sub" / "script").chmod(0o4775)
    (folder / "data").write_bytes(bytes(range(256)))
    (folder / "data").chmod(0o600)
    (folder / "link").symlink_to("sub/script")
    (folder / "dangling").symlink_to("/nowhere")
    return str(folder)


def placed(store: Store, name: str, content: str, *, references: frozenset[StorePath]) -> PathInfo:
    temporary = store.scratch(name)
    Path(temporary).write_text(content)
    nar_hash, size = nar.hash_path(temporary)
    path = make_source(name, nar_hash.digest)
    store.place(temporary, path, canonical=False)
    return PathInfo(path, nar_hash, size, references)


# -- texts and derivations


def test_asking_a_store_creates_nothing(store: Store, settings: Settings) -> None:
    assert not store.is_valid(make_text("a", b""))
    assert not os.path.exists(settings.root)


def test_text_lies_at_the_path_of_its_contents_and_references(store: Store) -> None:
    one = store.add_text("one", b"1")
    two = store.add_text("two", b"2", [one])
    assert two == make_text("two", b"2", [one])
    assert Path(store.physical(two)).read_bytes() == b"2"
    assert store.info(two).references == {one}
    assert (store.info(two).nar_hash, store.info(two).nar_size) == nar.hash_path(
        store.physical(two)
    )


def test_text_that_refers_to_nothing_valid_leaves_no_file(store: Store, settings: Settings) -> None:
    with pytest.raises(StoreError, match="not in the store"):
        store.add_text("a", b"", [make_text("missing", b"")])
    assert not os.path.exists(settings.store)


def test_texts_of_one_batch_refer_to_each_other(store: Store) -> None:
    one = make_text("one", b"1")
    two, again = store.add_texts([Text("two", b"2", frozenset({one})), Text("one", b"1")])
    assert again == one
    assert store.closure([two]) == [one, two]


def test_derivations_are_read_back_with_their_outputs_registered(store: Store) -> None:
    source = store.add_text("source", b"")
    wanted = [derivation("a", source), derivation("b", source)]
    paths = store.add_derivations(wanted)
    assert [store.read_derivation(path) for path in paths] == wanted
    assert store.database.outputs([paths[0]]) == {paths[0]: {"out": wanted[0].output_path()}}


def test_derivations_that_are_there_are_not_written_again(store: Store) -> None:
    paths = store.add_derivations([derivation("a")])
    before = os.stat(store.physical(paths[0]))
    assert store.add_derivations([derivation("a"), derivation("b")])[0] == paths[0]
    assert os.path.samestat(os.stat(store.physical(paths[0])), before)


def test_reading_a_derivation_that_is_not_there_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="No such file"):
        store.read_derivation(make_text("a.drv", b""))


def test_derivation_that_was_changed_on_the_disk_is_not_read(store: Store) -> None:
    (path,) = store.add_derivations([derivation("a")])
    file = Path(store.physical(path))
    file.chmod(0o644)
    file.write_text(file.read_text().replace('"/b"', '"/c"'))
    with pytest.raises(FormatError, match=r"a.drv was changed on the disk") as caught:
        store.read_derivation(path)
    assert caught.value.hint == "find out what else was: envtool store verify --contents"


def test_derivation_from_elsewhere_whose_output_is_not_its_own_is_not_registered(
    store: Store,
) -> None:
    other = derivation("other").output_path()
    liar = replace(derivation("a"), outputs={"out": Output(other)}, environment={})
    with pytest.raises(FormatError, match=r"output 'out' is .*-other, but its inputs lead to"):
        store.add_text("a.drv", render(liar).encode())
    assert not store.is_valid(make_text("a.drv", render(liar).encode()))


def test_derivation_from_elsewhere_is_registered_with_its_outputs(store: Store) -> None:
    source = store.add_text("source", b"")
    text = render(derivation("a", source)).encode()
    path = store.add_text("a.drv", text, [source])
    assert store.database.outputs([path])[path] == {"out": derivation("a", source).output_path()}


# -- trees


def test_tree_is_canonical_in_the_store(store: Store, tmp_path: Path) -> None:
    path = store.add_tree(tree(tmp_path / "source"), "tree")
    modes = {}
    for folder, folders, files in os.walk(store.physical(path)):
        for name in [".", *folders, *files]:
            status = os.lstat(f"{folder}/{name}")
            assert status.st_mtime == 1
            if not stat.S_ISLNK(status.st_mode):
                modes[name] = stat.S_IMODE(status.st_mode)
    assert modes == {".": 0o555, "sub": 0o555, "script": 0o555, "data": 0o444}
    assert verify(store, contents=True) == []


def test_tree_has_the_path_of_its_nar(store: Store, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    assert store.add_tree(source, "t") == make_source("t", nar.hash_path(source)[0].digest)


def test_excluded_parts_of_a_tree_are_neither_hashed_nor_copied(
    store: Store, tmp_path: Path
) -> None:
    source = tree(tmp_path / "source")
    asked: list[str] = []

    def exclude(relative: str) -> bool:
        asked.append(relative)
        return relative in {"sub", "link"}

    path = store.add_tree(source, "t", exclude=exclude)
    assert sorted(os.listdir(store.physical(path))) == ["dangling", "data"]
    assert "sub/script" not in asked
    shutil.rmtree(f"{source}/sub")
    os.unlink(f"{source}/link")
    assert store.add_tree(source, "t") == path


def test_single_file_and_link_are_trees_too(store: Store, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    file = store.add_tree(f"{source}/data", "data")
    link = store.add_tree(f"{source}/link", "link")
    assert Path(store.physical(file)).read_bytes() == bytes(range(256))
    assert os.readlink(store.physical(link)) == "sub/script"


def test_socket_in_a_tree_is_refused_and_leaves_nothing(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "source" / "socket"))
        with pytest.raises(StoreError, match="source/socket is a device, socket or FIFO"):
            store.add_tree(str(tmp_path / "source"), "t")
    assert not os.path.exists(settings.store)


def test_missing_source_is_an_error_that_names_it(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere: No such file"):
        store.add_tree(str(tmp_path / "nowhere"), "t")


def test_fifo_in_an_output_is_refused(store: Store) -> None:
    temporary = store.scratch("output")
    os.mkdir(temporary)
    os.mkfifo(f"{temporary}/fifo")
    with pytest.raises(StoreError, match="fifo is a device, socket or FIFO"):
        store.place(temporary, make_text("output", b""), canonical=False)


# -- placing and registering


def test_placed_object_is_valid_only_when_registered(store: Store) -> None:
    info = placed(store, "a", "a", references=frozenset())
    assert not store.is_valid(info.path)
    with pytest.raises(StoreError, match="not in the store"):
        store.info(info.path)
    store.register([info])
    assert store.info(info.path).nar_hash == info.nar_hash


def test_leftover_that_was_never_registered_is_replaced(store: Store, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    path = make_source("t", nar.hash_path(source)[0].digest)
    os.makedirs(f"{store.physical(path)}/half")
    assert store.add_tree(source, "t") == path
    assert verify(store, contents=True) == []


def test_registered_object_is_never_replaced(store: Store) -> None:
    path = store.add_text("a", b"registered")
    temporary = store.scratch("a")
    Path(temporary).write_text("other")
    store.place(temporary, path, canonical=False)
    assert Path(store.physical(path)).read_bytes() == b"registered"
    assert not os.path.exists(temporary)


def test_output_can_be_placed_from_within_another_directory(store: Store) -> None:
    work = store.scratch("work")
    os.makedirs(f"{work}/out/sub")
    path = make_text("out", b"")
    store.place(f"{work}/out", path, canonical=False)
    status = os.stat(store.physical(path))
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o555, 1)


def test_cycle_in_a_batch_is_refused(store: Store) -> None:
    one, two = make_text("one", b""), make_text("two", b"")
    hashed = nar.HashingSink().hash
    with pytest.raises(StoreError, match="cycle"):
        store.register(
            [
                PathInfo(one, hashed, 0, frozenset({two})),
                PathInfo(two, hashed, 0, frozenset({one})),
            ]
        )
    assert store.valid([one, two]) == set()


def test_object_may_refer_to_itself(store: Store) -> None:
    temporary = store.scratch("self")
    Path(temporary).write_text("self")
    path = make_text("self", b"")
    store.place(temporary, path, canonical=False)
    nar_hash, size = nar.hash_path(store.physical(path))
    store.register([PathInfo(path, nar_hash, size, frozenset({path}))])
    assert store.closure([path]) == [path]
    assert store.referrers(path) == {path}


def test_closure_lists_references_before_referrers(store: Store) -> None:
    a = store.add_text("a", b"")
    c = store.add_text("c", b"", [a])
    b = store.add_text("b", b"", [a, c])
    top = store.add_text("top", b"", [b, a])
    assert store.closure([top]) == [a, c, b, top]
    assert store.closure([c, b]) == [a, c, b]
    with pytest.raises(StoreError, match="not in the store"):
        store.closure([make_text("missing", b"")])


# -- several at once


def test_path_lock_lets_one_at_a_time_make_a_path(store: Store, settings: Settings) -> None:
    code = (
        "import sys; from envtool.machine.store import Store; from envtool.machine.settings import"
        " Settings; from envtool.formats.nix.storepath import make_text\n"
        "store = Store(Settings(sys.argv[1], fsync=False)); path = make_text('once', b'')\n"
        "sys.stdin.read()\n"
        "with store.shared(), store.lock_path(path):\n"
        "    if not store.is_valid(path): print('made'); store.add_text('once', b'')"
    )
    made = at_once(code, settings.root)
    assert sorted(made) == ["", "", "", "made\n"]
    assert os.listdir(settings.store) == [make_text("once", b"")]


def test_path_lock_without_waiting_says_who_has_it(store: Store) -> None:
    path = make_text("a", b"")
    with store.lock_path(path) as first, store.lock_path(path, wait=False) as second:
        assert (first, second) == (True, False)
    with store.lock_path(path, wait=False) as third:
        assert third is True


def test_waiting_for_a_path_is_reported_with_the_holder(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    path = make_text("a", b"")
    held, reported, said = threading.Event(), threading.Event(), list[str]()

    def hold() -> None:
        with store.lock_path(path):
            held.set()
            reported.wait()

    def report(sentence: str) -> None:
        said.append(sentence)
        reported.set()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with store.lock_path(path, on_wait=report):
        holder.join()
    assert said == [f"waiting for process {os.getpid()}, which holds {path}"]


def test_adding_nests_and_keeps_the_collector_out(store: Store) -> None:
    with store.shared():
        store.add_text("a", b"")
        with pytest.raises(StoreError, match="while this process adds"), store.exclusive():
            pass
    with store.exclusive():
        assert locks.is_locked(f"{store.settings.state}/gc.lock")
    assert not locks.is_locked(f"{store.settings.state}/gc.lock")


def test_processes_that_add_the_same_leave_one_whole_object(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    source = tree(tmp_path / "source")
    code = (
        "import sys; from envtool.machine.store import Store; from envtool.machine.settings import"
        " Settings\nstore = Store(Settings(sys.argv[1], fsync=False)); sys.stdin.read()\n"
        "print(store.add_tree(sys.argv[2], 't'), store.add_text('x', b'x'))"
    )
    answers = set(at_once(code, settings.root, source))
    assert len(answers) == 1
    assert verify(store, contents=True) == []
    assert sorted(os.listdir(settings.store)) == sorted(answers.pop().split())


@pytest.mark.parametrize("operation", ["add", "add_tree"])
def test_kill_while_adding_leaves_every_valid_path_whole(operation: str, kills: "Kills") -> None:
    assert kills(operation, every=5) > 50


# -- disks that refuse


def test_full_disk_is_an_error_and_leaves_no_half_object(store: Store, settings: Settings) -> None:
    kept = store.add_text("kept", b"kept")
    code = (
        "import sys; from envtool.machine.store import *; from envtool.machine.settings import"
        " Settings\n"
        "try: Store(Settings(sys.argv[1])).add_text('big', bytes(1 << 20))\n"
        "except StoreError as error: print(error.message, error.hint)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, settings.root],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19)),
    )
    assert "File too large" in run.stdout
    assert os.listdir(settings.store) == [kept]


def test_owner_without_privileges_adds_and_replaces(
    settings: Settings, tmp_path: Path, as_owner: "AsOwner"
) -> None:
    source = tree(tmp_path / "source")
    code = (
        "import os, sys; from envtool.machine.store import *; from envtool.machine.settings import"
        " Settings; from envtool.machine.mending.verify import verify\n"
        "store = Store(Settings(sys.argv[2], fsync=False))\n"
        "path = store.add_tree(sys.argv[3], 't'); os.mkdir(store.physical(path) + '-x')\n"
        "work = store.scratch('w'); os.makedirs(work + '/out/sub')\n"
        "other = make_text('o', b''); store.place(work + '/out', other, canonical=False)\n"
        "again = store.scratch('o'); os.makedirs(again + '/new')\n"
        "store.place(again, other, canonical=False)\n"
        "print(os.listdir(store.physical(other)), len(verify(store, contents=True)))"
    )
    assert as_owner(code, settings.root, source) == "['new'] 2\n"


def test_read_only_root_can_be_read_and_says_why_it_cannot_be_written(
    store: Store, settings: Settings, as_owner: "AsOwner"
) -> None:
    path = store.add_text("a", b"text")
    store.close()
    for folder, _, _ in os.walk(settings.root):
        os.chmod(folder, 0o555)
    code = (
        "import sys; from envtool.machine.store import *; from envtool.machine.settings import"
        " Settings; from envtool.machine.mending.verify import verify\n"
        "store = Store(Settings(sys.argv[2])); path = StorePath.parse(sys.argv[3])\n"
        "with store.shared(): print(store.closure([path]) == [path])\n"
        "print(store.add_text('a', b'text') == path, verify(store, contents=True))\n"
        "try: store.add_text('b', b'')\n"
        "except StoreError as error: print(error.message, error.hint)"
    )
    said = as_owner(code, settings.root, path).splitlines()
    assert said[:2] == ["True", "True []"]
    assert "Permission denied" in said[2]
    assert "ENVTOOL_ROOT" in said[2]


# -- a judge from outside


def nix(settings: Settings, *command: str) -> subprocess.CompletedProcess[str]:
    where = f"local?store=/envtool/store&real={settings.store}&state={settings.state}"
    return subprocess.run(
        [*command, "--store", f"{where}&log={settings.logs}"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "NIX_CONFIG": "build-users-group =\nexperimental-features = nix-command",
        },
    )


@pytest.mark.programs("nix-store")
def test_real_nix_finds_nothing_wrong_with_our_store(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    source = store.add_tree(tree(tmp_path / "source"), "tree")
    text = store.add_text("text", source.full().encode(), [source])
    drv = store.add_derivations([derivation("thing", source, text)])[0]
    store.close()
    verified = nix(settings, "nix-store", "--verify", "--check-contents")
    assert verified.returncode == 0, verified.stderr
    requisites = nix(settings, "nix-store", "--query", "--requisites", drv.full())
    assert requisites.stdout.split() == [path.full() for path in store.closure([drv])]
    output = derivation("thing", source, text).output_path()
    assert nix(settings, "nix-store", "--query", "--outputs", drv.full()).stdout.split() == [
        output.full()
    ]
    # Nix takes the `ca` fields for true only if they lead to the paths.
    assert nix(settings, "nix", "store", "verify", "--all").returncode == 0


@pytest.mark.programs("nix-store")
def test_we_find_nothing_wrong_with_a_store_of_real_nix(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    os.makedirs(settings.store)
    source = tree(tmp_path / "source")
    added = nix(settings, "nix-store", "--add", source).stdout.strip()
    path = StorePath.parse_full(added)
    assert store.is_valid(path)
    assert verify(store, contents=True) == []
    assert store.add_tree(source, "source") == path
    assert store.is_valid(store.add_text("ours", b"", [path]))
