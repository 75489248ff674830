import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from envtool.errors import StoreError
from envtool.formats.nix.storepath import StorePath, make_text
from envtool.machine.collecting.roots import (
    Root,
    add_indirect,
    drop_stale,
    find_roots,
    let_nix_wait,
    name_for_nix,
)
from envtool.machine.profile import Profile
from envtool.machine.settings import Settings
from envtool.machine.store import Store


@contextmanager
def running(code: str, *arguments: str, **options: str) -> Iterator[int]:
    """Run Python code that then waits; give its pid."""
    child = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint(flush=True); sys.stdin.read()", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=options.get("cwd"),
        env={**os.environ, "PROBE": options.get("probe", "")},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        child.stdout.readline()
        yield child.pid
    assert child.wait() == 0


def runtime(settings: Settings, pid: int) -> set[tuple[str, StorePath]]:
    head = f"/proc/{pid}/"
    return {
        (root.source[len(head) :], root.path)
        for root in find_roots(settings)
        if root.kind == "runtime" and root.source.startswith(head)
    }


def lasting(settings: Settings) -> list[Root]:
    return [root for root in find_roots(settings) if root.kind not in {"runtime", "temporary"}]


def test_root_that_was_never_used_has_no_roots(settings: Settings) -> None:
    assert lasting(settings) == []
    assert not os.path.exists(settings.root)


def test_links_below_gcroots_are_roots_however_deep(store: Store, settings: Settings) -> None:
    one, two = store.add_text("one", b""), store.add_text("two", b"")
    os.makedirs(f"{settings.gcroots}/a/b")
    os.symlink(store.physical(one), f"{settings.gcroots}/a/b/absolute")
    os.symlink(two.full(), f"{settings.gcroots}/logical")
    os.symlink("/nowhere", f"{settings.gcroots}/dangling")
    os.symlink("/usr", f"{settings.gcroots}/outside")
    assert lasting(settings) == [
        Root("permanent", f"{settings.gcroots}/a/b/absolute", one),
        Root("permanent", f"{settings.gcroots}/logical", two),
    ]


def test_path_inside_an_object_keeps_the_object(store: Store, settings: Settings) -> None:
    path = store.add_text("a", b"")
    os.makedirs(settings.gcroots)
    os.symlink(f"{store.physical(path)}/bin/tool", f"{settings.gcroots}/tool")
    assert [root.path for root in lasting(settings)] == [path]


def test_ordinary_file_keeps_the_object_it_is_named_after(settings: Settings) -> None:
    path = make_text("a", b"")
    os.makedirs(settings.gcroots)
    Path(f"{settings.gcroots}/{path}").write_text("")
    Path(f"{settings.gcroots}/README").write_text("")
    assert lasting(settings) == [Root("permanent", f"{settings.gcroots}/{path}", path)]


def test_every_generation_of_a_profile_is_a_root(store: Store, settings: Settings) -> None:
    paths = [store.add_text(name, b"") for name in ("one", "two")]
    profile = Profile(f"{settings.profiles}/home/project", "default", store=settings.store)
    for path in paths:
        profile.set(path)
    assert lasting(settings) == [
        Root("profile", f"{profile.directory}/default-{number}-link", path)
        for number, path in enumerate(paths, 1)
    ]


def test_users_link_is_a_root_until_it_is_deleted(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    path, link = store.add_text("a", b"text"), tmp_path / "result"
    add_indirect(settings, str(link), path)
    assert link.read_bytes() == b"text"
    assert lasting(settings) == [Root("indirect", str(link), path)]
    link.unlink()
    assert lasting(settings) == []
    assert drop_stale(settings) == [str(link)]
    assert os.listdir(f"{settings.gcroots}/auto") == []


def test_users_link_can_be_made_again(store: Store, settings: Settings, tmp_path: Path) -> None:
    one, two = store.add_text("one", b""), store.add_text("two", b"")
    for path in (one, two):
        add_indirect(settings, str(tmp_path / "result"), path)
    assert [root.path for root in lasting(settings)] == [two]


def test_users_file_is_not_overwritten_by_a_root(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    path, link = store.add_text("a", b""), tmp_path / "result"
    link.write_text("mine")
    with pytest.raises(StoreError, match="is not a link"):
        add_indirect(settings, str(link), path)
    assert link.read_text() == "mine"


def test_users_link_that_was_pointed_elsewhere_is_no_root(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    path, link = store.add_text("a", b""), tmp_path / "result"
    add_indirect(settings, str(link), path)
    link.unlink()
    link.symlink_to(tmp_path)
    assert lasting(settings) == []
    assert drop_stale(settings) == []


def test_open_file_and_working_directory_are_roots(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    folder = store.add_tree(str(tmp_path / "source"), "folder")
    file = store.add_text("file", b"text")
    with running(
        "import sys; kept = open(sys.argv[1])", store.physical(file), cwd=store.physical(folder)
    ) as pid:
        found = runtime(settings, pid)
    assert ("cwd", folder) in found
    assert file in {path for source, path in found if source.startswith("fd/")}
    assert runtime(settings, pid) == set()


def test_program_that_runs_is_a_root(store: Store, settings: Settings, tmp_path: Path) -> None:
    program = shutil.which("sleep")
    assert program is not None
    shutil.copy(program, tmp_path / "program")
    path = store.add_tree(str(tmp_path / "program"), "program")
    with subprocess.Popen([store.physical(path), "infinity"], env={}, cwd="/") as child:
        try:
            assert runtime(settings, child.pid) >= {("exe", path), ("maps", path)}
        finally:
            child.kill()
    assert runtime(settings, child.pid) == set()


def test_mapped_file_is_a_root(store: Store, settings: Settings) -> None:
    file = store.add_text("file", b"text")
    code = (
        "import mmap, os, sys; fd = os.open(sys.argv[1], os.O_RDONLY);"
        "kept = mmap.mmap(fd, 0, prot=mmap.PROT_READ); os.close(fd)"
    )
    with running(code, store.physical(file)) as pid:
        assert ("maps", file) in runtime(settings, pid)


def test_physical_and_logical_paths_in_variables_are_roots(
    store: Store, settings: Settings
) -> None:
    one, two = store.add_text("one", b""), store.add_text("two", b"")
    probe = f"{store.physical(one)}/bin:{two.full()}/bin"
    with running("import sys", probe=probe) as pid:
        assert runtime(settings, pid) >= {("environ", one), ("environ", two)}


def test_root_reached_through_a_link_has_the_same_runtime_roots(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    file = store.add_text("file", b"text")
    (tmp_path / "alias").symlink_to(settings.root)
    alias = Settings(str(tmp_path / "alias"))
    with running("import sys; kept = open(sys.argv[1])", f"{alias.store}/{file}") as pid:
        assert file in {path for _, path in runtime(alias, pid)}


def test_two_who_let_nix_wait_at_once_both_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_nix_wait(settings)
    # As the one sees it who looked before the other was done.
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    let_nix_wait(settings)
    assert os.listdir(f"{settings.state}/gc-socket") == ["socket"]


def test_an_ordinary_user_names_a_path_as_often_as_it_is_kept() -> None:
    # Not below tmp_path: root's is closed to the user that this becomes.
    with TemporaryDirectory() as folder:
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
        child = os.fork()
        if not child:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            path = make_text("kept", b"kept", [])
            settings = Settings(f"{folder}/root")
            try:
                name_for_nix(settings, path)
                name_for_nix(settings, path)
                os._exit(0 if os.listdir(f"{settings.gcroots}/named") == [str(path)] else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
