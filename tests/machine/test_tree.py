"""Trees in and out of the store: copied in one pass, made canonical, deleted however deep."""

import errno
import os
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from envtool.errors import FormatError, StoreError
from envtool.formats.nix import nar
from envtool.machine.metadata import canonicalise, delete_tree
from envtool.machine.tree import copy_tree, dump_tree

NOBODY = 2**32 - 1
"""Stands in an access list where no user is named."""


def source_tree(folder: Path) -> str:
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "data").write_bytes(bytes(range(256)))
    (folder / "large").write_bytes(b"0123456789abcdef" * (nar.CHUNK // 8) + b"end")
    (folder / "sub" / "script").write_text("#!/bin/sh\n")
    (folder / "sub" / "script").chmod(0o744)
    (folder / "none").touch(0o600)
    os.symlink("sub/script", folder / "link")
    os.mkdir(os.fsencode(folder) + b"/n\xff\xfem")
    return os.fspath(folder)


def copied(source: str, target: Path, older: Path | None = None) -> bytes:
    pieces: list[bytes] = []
    copy_tree(source, os.fspath(target), pieces.append, older=str(older) if older else None)
    return b"".join(pieces)


def dumped(path: Path) -> bytes:
    pieces: list[bytes] = []
    nar.dump(os.fspath(path), pieces.append)
    return b"".join(pieces)


def modes_and_times(folder: Path) -> set[tuple[str, int, float]]:
    found = set()
    for place in [folder, *folder.rglob("*")]:
        status = place.lstat()
        mode = 0 if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode)
        found.add((os.fsencode(place.name).hex(), mode, status.st_mtime))
    return found


@contextmanager
def changed_umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_copy_is_what_canonicalise_would_have_made(umask: int, tmp_path: Path) -> None:
    source = source_tree(tmp_path / "source")
    with changed_umask(umask):
        content = copied(source, tmp_path / "copy")
    subprocess.run(["cp", "-a", source, tmp_path / "other"], check=True)
    canonicalise(os.fspath(tmp_path / "other"))
    expected = {each[1:] for each in modes_and_times(tmp_path / "other")}
    assert {each[1:] for each in modes_and_times(tmp_path / "copy")} == expected
    assert content == dumped(tmp_path / "copy") == dumped(Path(source))


@pytest.mark.parametrize("name", ["data", "link", "none", "sub"])
def test_single_node_is_copied_in_canonical_form(name: str, tmp_path: Path) -> None:
    source = source_tree(tmp_path / "source")
    with changed_umask(0o077):
        content = copied(f"{source}/{name}", tmp_path / "copy")
    assert content == dumped(tmp_path / "copy")
    assert (tmp_path / "copy").lstat().st_mtime == 1
    assert stat.S_IMODE((tmp_path / "copy").lstat().st_mode) in {0o444, 0o555, 0o777}


def test_copy_drops_the_access_list_of_the_folder_around_it(tmp_path: Path) -> None:
    source = source_tree(tmp_path / "source")
    (tmp_path / "shared").mkdir()
    # user::rwx, user:1:rwx, group::r-x, mask::rwx, other::r-x, as in acl(5)
    entries = b"\2\0\0\0" + b"".join(
        struct.pack("<HHI", tag, bits, who)
        for tag, bits, who in (
            (1, 7, NOBODY),
            (2, 7, 1),
            (4, 5, NOBODY),
            (16, 7, NOBODY),
            (32, 5, NOBODY),
        )
    )
    with suppress(OSError):  # a file system without such lists has nothing to pass on
        os.setxattr(tmp_path / "shared", "system.posix_acl_default", entries)
    content = copied(source, tmp_path / "shared" / "copy")
    for place in [tmp_path / "shared" / "copy", *(tmp_path / "shared" / "copy").rglob("*")]:
        names = os.listxattr(place, follow_symlinks=False)
        assert [name for name in names if name.startswith("system.")] == []
    assert dumped(tmp_path / "shared" / "copy") == content


def test_files_of_an_older_copy_are_linked(tmp_path: Path) -> None:
    source = source_tree(tmp_path / "source")
    copied(source, tmp_path / "older")
    (tmp_path / "source" / "data").write_bytes(bytes(255) + b"!")
    content = copied(source, tmp_path / "copy", older=tmp_path / "older")
    older, copy = tmp_path / "older", tmp_path / "copy"
    same = [
        name for name in ("data", "large", "sub/script") if (older / name).samefile(copy / name)
    ]
    assert same == ["large", "sub/script"]
    assert (older / "data").read_bytes() == bytes(range(256))
    assert content == dumped(copy) == dumped(Path(source))


def change_while_read(path: Path, change: Callable[[], object]) -> Callable[[bytes], None]:
    """Return a sink that calls `change` when the first piece arrives, which is before `path`."""
    told: list[bytes] = []

    def sink(data: bytes) -> None:
        if not told:
            assert path.exists()
            change()
        told.append(data)

    return sink


def test_file_that_shrinks_while_it_is_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(4 * nar.CHUNK))
    sink = change_while_read(file, lambda: os.truncate(file, nar.CHUNK))
    with pytest.raises(StoreError, match="file shrank while it was read"):
        dump_tree(os.fspath(file), sink)


def test_file_that_grows_while_it_is_read_counts_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(2 * nar.CHUNK))
    before = dumped(file)
    pieces: list[bytes] = []

    def sink(data: bytes) -> None:
        with file.open("ab") as more:
            more.write(b"more")
        pieces.append(data)

    copy_tree(os.fspath(file), os.fspath(tmp_path / "copy"), sink)
    assert b"".join(pieces) == before == dumped(tmp_path / "copy")


def test_file_that_became_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    first, second = tmp_path / "tree" / "a", tmp_path / "tree" / "b"
    first.write_bytes(bytes(4 * nar.CHUNK))
    second.write_text("soon a FIFO")

    class Swapping(nar.Dumper):
        def met(self, path: bytes, status: os.stat_result) -> None:
            if os.path.basename(path) == b"b" and stat.S_ISREG(status.st_mode):
                second.unlink()
                os.mkfifo(second)

    outcome: list[BaseException] = []

    def read() -> None:
        try:
            Swapping(lambda _: None).dump(os.fspath(tmp_path / "tree"))
        except FormatError as error:
            outcome.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(30)
    assert not reader.is_alive()
    assert "b shrank while it was read" in str(outcome[0])


def test_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    secret, file = tmp_path / "secret", tmp_path / "file"
    secret.write_text("secret")
    file.write_text("plain!")

    class Swapping(nar.Dumper):
        def met(self, path: bytes, status: os.stat_result) -> None:  # noqa: ARG002 - as it is told
            file.unlink()
            file.symlink_to(secret)

    with pytest.raises(OSError, match="file") as caught:
        Swapping(lambda _: None).dump(os.fspath(file))
    assert caught.value.errno == errno.ELOOP


def deep_tree(top: Path, levels: int) -> None:
    """Make a tree whose innermost path is longer than Linux lets anybody say."""
    top.mkdir()
    folder = os.open(top, os.O_RDONLY)
    for level in range(levels):
        name = f"level-{level}"
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=folder))
        os.fchmod(folder, 0o555)
        os.close(folder)
        folder = below
    os.close(folder)


def test_tree_too_deep_for_a_path_is_refused_and_deleted(tmp_path: Path) -> None:
    deep_tree(tmp_path / "deep", 3000)
    with pytest.raises(StoreError, match="nested too deep"):
        copied(os.fspath(tmp_path / "deep"), tmp_path / "copy")
    delete_tree(os.fspath(tmp_path / "copy"))
    delete_tree(os.fspath(tmp_path / "deep"))
    assert os.listdir(tmp_path) == []


def test_tree_deeper_than_pythons_stack_is_made_canonical_and_copied(tmp_path: Path) -> None:
    folder, levels = os.fspath(tmp_path / "d"), 1500
    for _ in range(levels):
        os.mkdir(folder)
        folder += "/d"
    Path(folder).write_text("1234")
    canonicalise(os.fspath(tmp_path / "d"))
    assert stat.S_IMODE(os.stat(os.path.dirname(folder)).st_mode) == 0o555
    content = copied(os.fspath(tmp_path / "d"), tmp_path / "c")
    assert content == dumped(tmp_path / "c")
    delete_tree(os.fspath(tmp_path / "d"))
    delete_tree(os.fspath(tmp_path / "c"))
    assert os.listdir(tmp_path) == []


LIMITED = """
import os, resource, sys
from envtool.formats.nix import nar
from envtool.formats.nix.restore import restore
size, source, target = int(sys.argv[1]), sys.argv[2], sys.argv[3]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
# The threads' stacks count by what is reserved for them.
resource.setrlimit(resource.RLIMIT_AS, (used + (96 << 20), resource.RLIM_INFINITY))
nar.hash_path(source)
reading, writing = os.pipe()
if os.fork() == 0:
    os.close(reading)
    with open(writing, "wb", 0) as sink:
        nar.dump(source, sink.write)
    os._exit(0)
os.close(writing)
with open(reading, "rb", 1 << 18) as stream:
    restore(stream, target)
print(os.path.getsize(target), os.wait()[1])
"""


def test_large_file_passes_through_little_memory(tmp_path: Path) -> None:
    size = 400 << 20
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        file.truncate(size)
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), source, tmp_path / "copy"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == (f"{size} 0\n", "")
    (tmp_path / "copy").unlink()
