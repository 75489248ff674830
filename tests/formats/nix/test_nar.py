"""NAR archives: the vectors of Nix 2.8.0, and hostile archives that must leave nothing behind."""

import io
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import FormatError
from envtool.formats.nix import nar
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.nar import HashingSink, dump, hash_path, token
from envtool.formats.nix.restore import restore

VECTORS = Path(__file__).parent / "vectors"
HELLO = VECTORS / "hello.txt"
TREE = VECTORS / "tree"


def dumped(path: Path) -> bytes:
    pieces: list[bytes] = []
    dump(os.fspath(path), pieces.append)
    return b"".join(pieces)


def tokens(*texts: bytes) -> bytes:
    return b"".join(map(token, texts))


def regular(data: bytes) -> bytes:
    return tokens(b"(", b"type", b"regular", b"contents", data, b")")


def entry(name: bytes, node: bytes) -> bytes:
    return tokens(b"entry", b"(", b"name", name, b"node") + node + tokens(b")")


def directory(*entries: bytes) -> bytes:
    return tokens(b"(", b"type", b"directory") + b"".join(entries) + tokens(b")")


def archive(node: bytes) -> bytes:
    return nar.MAGIC + node


def nested(depth: int) -> bytes:
    """Return an archive of `depth` directories, each the only entry of the one above."""
    before = tokens(b"(", b"type", b"directory", b"entry", b"(", b"name", b"d", b"node")
    innermost, after = directory(), tokens(b")", b")")
    return archive(before * (depth - 1) + innermost + after * (depth - 1))


def delete_deep(tree: Path) -> None:
    """Delete a tree that is too deep for `shutil.rmtree`, which recurses."""
    folder = os.fspath(tree)
    while names := os.listdir(folder):
        folder = f"{folder}/{names[0]}"
    while len(folder) >= len(os.fspath(tree)):
        os.rmdir(folder)
        folder = os.path.dirname(folder)


def refuse(content: bytes, folder: Path) -> None:
    """Restore `content` in `folder`: it must be refused and leave the folder as it was."""
    bystander = folder / "bystander"
    bystander.write_bytes(b"untouched")
    with pytest.raises(FormatError):
        restore(io.BytesIO(content), os.fspath(folder / "target"))
    assert os.listdir(folder) == ["bystander"]
    assert bystander.read_bytes() == b"untouched"


@pytest.mark.parametrize(
    ("path", "size", "sha256"),
    [
        (HELLO, 120, "1c37d01af40be2e80691de3cc3df44377a699afbb17c68f080964b2fd071fc13"),
        (TREE, 1072, "5c46086cfa08e0980d9bb45090b7ca0ec86c7dd34cad5049e13c2053f6fb5e3d"),
    ],
)
def test_hash_and_size_of_the_vectors(path: Path, size: int, sha256: str) -> None:
    assert hash_path(os.fspath(path)) == (Hash("sha256", bytes.fromhex(sha256)), size)
    assert Hash.of(dumped(path)).base16 == sha256


def test_hash_as_sri() -> None:
    content, _ = hash_path(os.fspath(HELLO))
    assert content.sri == "sha256-HDfQGvQL4ugGkd48w99EN3ppmvuxfGjwgJZLL9Bx/BM="


def test_contents_lie_where_nix_lists_them() -> None:
    content = dumped(TREE)
    assert content[368 - 8 : 368] == bytes(8)  # D/empty
    assert content[616:].startswith(b"#!/bin/sh\n")  # a
    assert content[816:].startswith(b"hello\n")  # b


@pytest.mark.parametrize("listing", sorted((VECTORS / "cache-none").glob("*.ls")))
def test_archives_of_a_binary_cache_restore_and_dump_again(listing: Path, tmp_path: Path) -> None:
    narinfo = dict(
        line.split(": ", 1) for line in listing.with_suffix(".narinfo").read_text().splitlines()
    )
    content = (listing.parent / narinfo["URL"]).read_bytes()
    assert Hash.of(content) == Hash.parse(narinfo["NarHash"])
    restore(io.BytesIO(content), os.fspath(tmp_path / "object"))
    assert dumped(tmp_path / "object") == content
    root = json.loads(listing.read_text())["root"]
    assert (tmp_path / "object").stat().st_size == root["size"]


def test_restore_is_the_inverse_of_dump(tmp_path: Path) -> None:
    restore(io.BytesIO(dumped(TREE)), os.fspath(tmp_path / "copy"))
    assert dumped(tmp_path / "copy") == dumped(TREE)
    assert os.readlink(tmp_path / "copy" / "c") == "../target"


def test_restored_modes_are_ordinary(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        restore(io.BytesIO(dumped(TREE)), os.fspath(tmp_path / "copy"))
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / "copy" / name).stat().st_mode) for name in ("D", "a", "b")]
    assert modes == [0o750, 0o750, 0o640]


def test_only_the_owners_execute_bit_counts(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    archives = {}
    for mode in (0o644, 0o655, 0o600, 0o744, 0o6755):
        file.chmod(mode)
        archives[mode] = dumped(file)
    assert archives[0o644] == archives[0o655] == archives[0o600] != archives[0o744]
    assert archives[0o744] == archives[0o6755]


def test_entries_are_sorted_by_bytes(tmp_path: Path) -> None:
    names = [b"a", b"D", b"a-b", b"a.b", "é".encode(), b"\xff", b"Z", b"\n"]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    expected = directory(*(entry(name, regular(b"")) for name in sorted(names)))
    assert dumped(tmp_path) == archive(expected)


def test_large_file_passes_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(range(256)) * (nar.CHUNK // 256) + b"tail")
    pieces: list[int] = []
    dump(os.fspath(tmp_path / "large"), lambda data: pieces.append(len(data)))
    assert max(pieces) == nar.CHUNK
    restore(io.BytesIO(dumped(tmp_path / "large")), os.fspath(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "large").read_bytes()


class Sending(nar.Dumper):
    """Sends so many bytes of each large file past the sink."""

    def __init__(self, most: int) -> None:
        self.all: list[bytes] = []
        super().__init__(self.all.append)
        self._most = most

    def sent(self, descriptor: int, size: int) -> int:
        data = os.read(descriptor, min(size, self._most))
        self.all.append(data)
        return len(data)


@pytest.mark.parametrize("most", [0, 1, nar.CHUNK, 1 << 30])
def test_what_is_sent_past_the_sink_stands_where_it_belongs(most: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"small")
    (tmp_path / "b").write_bytes(bytes(range(256)) * (nar.CHUNK // 64) + b"tail")
    (tmp_path / "c").write_bytes(b"x" * (nar.CHUNK // 2 + 1))
    sending = Sending(most)
    sending.dump(os.fspath(tmp_path))
    assert b"".join(sending.all) == dumped(tmp_path)


def test_file_that_shrinks_while_it_is_sent_is_an_error(tmp_path: Path) -> None:
    class Shrinking(Sending):
        def sent(self, descriptor: int, size: int) -> int:
            os.truncate(tmp_path / "large", nar.CHUNK + 1000)
            return super().sent(descriptor, size)

    (tmp_path / "large").write_bytes(bytes(3 * nar.CHUNK))
    with pytest.raises(FormatError, match="large shrank while it was read"):
        Shrinking(1 << 30).dump(os.fspath(tmp_path))


def test_hashing_sink_adds_up_the_pieces() -> None:
    sink = HashingSink()
    for piece in (b"hel", b"", b"lo\n"):
        sink(piece)
    assert (sink.hash, sink.size) == (Hash.of(b"hello\n"), 6)


def test_pieces_for_other_writers_make_the_same_archive() -> None:
    content = nar.regular_open(6, executable=False) + b"hello\n" + nar.regular_close(6)
    assert nar.MAGIC + content == dumped(HELLO)
    whole = (
        nar.DIRECTORY_OPEN
        + (nar.entry_open(b"D") + nar.DIRECTORY_OPEN)
        + (nar.entry_open(b"empty") + nar.regular_open(0, executable=False))
        + (nar.regular_close(0) + nar.ENTRY_CLOSE + nar.CLOSE + nar.ENTRY_CLOSE)
        + (nar.entry_open(b"a") + nar.regular_open(10, executable=True) + b"#!/bin/sh\n")
        + (nar.regular_close(10) + nar.ENTRY_CLOSE)
        + (nar.entry_open(b"b") + content + nar.ENTRY_CLOSE)
        + (nar.entry_open(b"c") + nar.symlink_node(b"../target") + nar.ENTRY_CLOSE + nar.CLOSE)
    )
    assert nar.MAGIC + whole == dumped(TREE)


def test_source_without_a_buffer_is_read_to_the_end(tmp_path: Path) -> None:
    copy = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer, 5)"
    command = [sys.executable, "-u", "-c", copy]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(dumped(TREE))
        process.stdin.close()
        restore(process.stdout, os.fspath(tmp_path / "copy"))  # type: ignore[arg-type]
    assert dumped(tmp_path / "copy") == dumped(TREE)


def test_bytes_after_the_archive_are_left_unread(tmp_path: Path) -> None:
    source = io.BytesIO(dumped(HELLO) + b"more")
    restore(source, os.fspath(tmp_path / "copy"))
    assert source.read() == b"more"


def test_fifo_cannot_be_dumped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "special")
    with pytest.raises(FormatError, match="special is a device, socket or FIFO"):
        hash_path(os.fspath(tmp_path))


def test_missing_file_is_named_as_text(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        hash_path(os.fspath(tmp_path / "nowhere"))
    assert error.value.filename == os.fspath(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError) as error:
        restore(io.BytesIO(dumped(HELLO)), os.fspath(tmp_path / "no" / "parent"))
    assert error.value.filename == os.fspath(tmp_path / "no" / "parent")


def test_socket_cannot_be_dumped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path may have 107 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("special")
        with pytest.raises(FormatError, match="special is a device, socket or FIFO"):
            hash_path(os.fspath(tmp_path))


@pytest.mark.parametrize("kind", ["file", "directory", "dangling"])
def test_existing_target_is_refused_and_left_alone(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if kind == "file":
        target.write_bytes(b"mine")
    elif kind == "directory":
        (target / "mine").mkdir(parents=True)
    else:
        target.symlink_to("nowhere")
    before = dumped(tmp_path)
    with pytest.raises(FormatError, match="exists already"):
        restore(io.BytesIO(dumped(TREE)), os.fspath(target))
    assert dumped(tmp_path) == before


def test_claimed_size_is_not_allocated(tmp_path: Path) -> None:
    """A limited process reads archives that claim much and hold little."""
    program = (
        "import io, os, resource, sys\n"
        "from envtool.errors import FormatError\n"
        "from envtool.formats.nix.restore import restore\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 26), resource.RLIM_INFINITY))\n"
        "for size in (1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1):\n"
        "    archive = bytes.fromhex(sys.argv[1]) + size.to_bytes(8, 'little') + bytes(64)\n"
        "    with open(os.memfd_create('nar'), 'w+b') as source:\n"
        "        source.write(archive)\n"
        "        source.seek(0)\n"
        "        try:\n"
        "            restore(source, sys.argv[2])\n"
        "        except FormatError as error:\n"
        "            print(error)\n"
    )
    head = nar.MAGIC + tokens(b"(", b"type", b"regular", b"contents")
    command = [sys.executable, "-c", program, head.hex(), os.fspath(tmp_path / "target")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4
    assert os.listdir(tmp_path) == []


def test_truncation_at_every_offset_is_refused(tmp_path: Path) -> None:
    content = dumped(TREE)
    for size in range(len(content)):
        refuse(content[:size], tmp_path)


@pytest.mark.parametrize(
    "name", [b"", b".", b"..", b"/", b"a/b", b"../up", b"/etc/passwd", b"a\0b", b"\0", b"n" * 256]
)
def test_forbidden_names_are_refused(name: bytes, tmp_path: Path) -> None:
    refuse(archive(directory(entry(name, regular(b"")))), tmp_path)
    refuse(archive(directory(entry(b"-", directory(entry(name, directory()))))), tmp_path)


@pytest.mark.parametrize(
    "name", [b"a~nix~case~hack~1", b"~nix~case~hack~", b"A~nix~case~hack~2~nix~case~hack~1"]
)
def test_case_hacked_names_are_refused(name: bytes, tmp_path: Path) -> None:
    for before in ([], [entry(b"A", regular(b""))]):
        refuse(archive(directory(*before, entry(name, regular(b"")))), tmp_path)
    room = tmp_path / "room"
    (room / os.fsdecode(name)).mkdir(parents=True)
    with pytest.raises(FormatError, match="cannot be a name in a NAR: Nix on a Mac adds"):
        dumped(room)


@pytest.mark.parametrize(
    "names", [(b"b", b"a"), (b"a", b"a"), (b"a", b"D"), (b"ab", b"a"), (b"a", b"b", b"a")]
)
def test_unsorted_or_duplicate_names_are_refused(names: tuple[bytes, ...], tmp_path: Path) -> None:
    refuse(archive(directory(*(entry(name, regular(b"")) for name in names))), tmp_path)


def test_file_cannot_be_written_through_a_link_of_the_archive(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = nar.symlink_node(os.fsencode(outside))
    (tmp_path / "room").mkdir()
    for below in (directory(entry(b"f", regular(b"x"))), regular(b"x")):
        refuse(archive(directory(entry(b"a", link), entry(b"a", below))), tmp_path / "room")
    refuse(archive(directory(entry(b"a", link), entry(b"a/f", regular(b"x")))), tmp_path / "room")
    assert os.listdir(outside) == []


@pytest.mark.parametrize("size", [6, 1, 7])
def test_padding_other_than_zeros_is_refused(size: int, tmp_path: Path) -> None:
    data = b"x" * size
    good = archive(regular(data))
    at = good.index(token(data)) + 8 + size
    for offset in range(at, at + 8 - size):
        refuse(good[:offset] + b"\1" + good[offset + 1 :], tmp_path)


def test_padding_of_names_and_keywords_counts_too(tmp_path: Path) -> None:
    good = archive(directory(entry(b"name-of-11b", regular(b""))))
    for word in (b"nix-archive-1", b"(", b"directory", b"entry", b"name-of-11b", b"contents"):
        if padding := -len(word) % 8:
            end = good.index(token(word)) + 8 + len(word) + padding
            refuse(good[: end - 1] + b"\1" + good[end:], tmp_path)


@pytest.mark.parametrize("size", [2**16, 2**31, 2**32 + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_absurd_sizes_are_refused(size: int, tmp_path: Path) -> None:
    length = size.to_bytes(8, "little")
    refuse(length + b"nix-archive-1", tmp_path)
    for before in (
        tokens(b"(", b"type"),
        tokens(b"(", b"type", b"regular"),
        tokens(b"(", b"type", b"regular", b"contents"),
        tokens(b"(", b"type", b"symlink", b"target"),
        tokens(b"(", b"type", b"directory", b"entry", b"(", b"name"),
    ):
        refuse(archive(before + length + b"x" * 64), tmp_path)


@pytest.mark.parametrize(
    "node",
    [
        b"",
        tokens(b"(", b")"),
        tokens(b"(", b"type", b"fifo", b")"),
        tokens(b"(", b"type", b"Regular", b"contents", b"", b")"),
        tokens(b"(", b"type", b"regular", b")"),
        tokens(b"(", b"type", b"regular", b"target", b"x", b")"),
        tokens(b"(", b"type", b"regular", b"executable", b"x", b"contents", b"", b")"),
        tokens(b"(", b"type", b"regular", b"executable", b"", b"executable", b"", b"contents"),
        tokens(b"(", b"type", b"regular", b"contents", b"", b"contents", b"", b")"),
        tokens(b"(", b"type", b"symlink", b")"),
        tokens(b"(", b"type", b"symlink", b"executable", b"", b"target", b"x", b")"),
        tokens(b"(", b"type", b"symlink", b"target", b"x", b"executable", b"", b")"),
        tokens(b"(", b"type", b"symlink", b"target", b"", b")"),
        tokens(b"(", b"type", b"symlink", b"target", b"a\0b", b")"),
        tokens(b"(", b"type", b"symlink", b"target", b"x" * 4096, b")"),
        tokens(b"(", b"type", b"directory", b"contents", b"", b")"),
        tokens(b"(", b"type", b"directory", b"entry", b"(", b"name", b"x", b")", b")"),
        tokens(b"(", b"type", b"directory", b"entry", b"(", b"node"),
        tokens(b"(", b"type", b"directory", b"type", b"directory", b")"),
        tokens(b"type", b"directory"),
    ],
)
def test_malformed_nodes_are_refused(node: bytes, tmp_path: Path) -> None:
    refuse(archive(node), tmp_path)
    refuse(archive(directory(entry(b"before", regular(b"x")), entry(b"node", node))), tmp_path)


@pytest.mark.parametrize("magic", [b"", b"nix-archive-2", b"nix-archive-1\0", b"PK\3\4"])
def test_other_magic_is_refused(magic: bytes, tmp_path: Path) -> None:
    refuse(token(magic) + regular(b"x"), tmp_path)


def test_longest_target_of_a_link_is_kept(tmp_path: Path) -> None:
    content = archive(nar.symlink_node(b"x" * 4095))
    restore(io.BytesIO(content), os.fspath(tmp_path / "link"))
    assert dumped(tmp_path / "link") == content


def test_tree_as_deep_as_paths_are_long_is_restored_and_dumped(tmp_path: Path) -> None:
    depth = (4095 - len(os.fspath(tmp_path / "d"))) // 2 + 1
    restore(io.BytesIO(nested(depth)), os.fspath(tmp_path / "d"))
    assert dumped(tmp_path / "d") == nested(depth)
    moved = tmp_path.with_name(tmp_path.name + "-of-a-longer-name")
    tmp_path.rename(moved)
    try:
        with pytest.raises(FormatError, match="nested too deep"):
            dumped(moved / "d")
    finally:
        moved.rename(tmp_path)
        delete_deep(tmp_path / "d")


@pytest.mark.parametrize("depth", [2048, 10_000])
def test_deeper_trees_are_refused(depth: int, tmp_path: Path) -> None:
    refuse(nested(depth), tmp_path)


def test_path_longer_than_linux_allows_is_refused(tmp_path: Path) -> None:
    node = directory()
    for _ in range(20):
        node = directory(entry(b"n" * 255, node))
    refuse(archive(node), tmp_path)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_format_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    refuse(content, folder)
    refuse(nar.MAGIC + content, folder)


@given(
    st.integers(0, 1071),
    st.integers(0, 40),
    st.binary(max_size=16)
    | st.sampled_from([b"(", b")", b"entry", b"type", b"directory", b"a"]).map(token),
)
def test_changed_archive_is_refused_or_is_the_archive_of_its_tree(
    tmp_path_factory: pytest.TempPathFactory, at: int, cut: int, insert: bytes
) -> None:
    good = dumped(TREE)
    content = good[:at] + insert + good[at + cut :]
    folder = tmp_path_factory.mktemp("changed")
    source = io.BytesIO(content)
    try:
        restore(source, os.fspath(folder / "target"))
    except FormatError:
        assert os.listdir(folder) == []
    else:
        assert dumped(folder / "target") == content[: source.tell()]
