"""Real Nix as the judge: of 200 random trees it makes the archives, hashes and paths we make."""

import io
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from envtool.formats.nix import nar
from envtool.formats.nix.hashing import DIGEST_SIZES, Hash
from envtool.formats.nix.restore import restore
from envtool.formats.nix.storepath import make_fixed_output, make_source

if TYPE_CHECKING:
    from formats.nix.conftest import MakeNix, Nix

STORE = "/nix/store"
TREES = 200
NAME_CHARACTERS = "ABYZabyz0189+-._?="
EXPORT_MAGIC = 0x4558494E
"""Stands behind each archive of an export ("NIXE"; Nix's `export-import.cc`)."""


@dataclass(frozen=True)
class File:
    data: bytes
    mode: int


@dataclass(frozen=True)
class Link:
    target: bytes


Tree = File | Link | Mapping[bytes, "Tree"]

SHORT_NAMES = (b"a", b"A", b"a.b", b"a-b", b"a b", "é".encode(), b"...")
MODES = (0o644, 0o755, 0o600, 0o444, 0o555, 0o655, 0o700)
DEEPEST = 4


def draw_bytes(dice: Random, *sizes: int) -> bytes:
    """Return bytes that a file name can have."""
    return dice.randbytes(dice.choice(sizes)).replace(b"\0", b"x").replace(b"/", b"y")


def draw_name(dice: Random) -> bytes:
    name = dice.choice((dice.choice(SHORT_NAMES), draw_bytes(dice, *range(1, 12), 255)))
    return b"z" if name in {b".", b".."} else name


def draw_tree(dice: Random, depth: int = 0) -> Tree:
    kind = dice.randrange(6)
    if kind < 3 and depth < DEEPEST:
        return {draw_name(dice): draw_tree(dice, depth + 1) for _ in range(dice.randrange(6))}
    if kind == 3:
        return Link(draw_bytes(dice, 1, 7, 8, 9, 30))
    size = dice.choice((0, 1, 7, 8, 9, 40, 8191, 8192))
    return File(dice.randbytes(size), dice.choice(MODES))


def write(tree: Tree, path: bytes) -> None:
    if isinstance(tree, Mapping):
        os.mkdir(path)
        for name, child in tree.items():
            write(child, os.path.join(path, name))
    elif isinstance(tree, Link):
        os.symlink(tree.target, path)
    else:
        Path(os.fsdecode(path)).write_bytes(tree.data)
        os.chmod(path, tree.mode)


def read(path: bytes) -> Tree:
    """Return the tree at `path` with the modes that a restored archive has."""
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        return {name: read(os.path.join(path, name)) for name in os.listdir(path)}
    if stat.S_ISLNK(status.st_mode):
        return Link(os.readlink(path))
    return File(Path(os.fsdecode(path)).read_bytes(), stat.S_IMODE(status.st_mode))


def dumped(path: Path) -> bytes:
    pieces: list[bytes] = []
    nar.dump(os.fspath(path), pieces.append)
    return b"".join(pieces)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return trees below one folder, the same in every run; they are only read."""
    folder = tmp_path_factory.mktemp("forest")
    paths = []
    for number in range(TREES):
        dice = Random(number)
        name = "".join(dice.choices(NAME_CHARACTERS, k=dice.randrange(30)))
        paths.append(folder / f"{number}{name}")
        write(draw_tree(dice), os.fsencode(paths[-1]))
    return paths


@pytest.fixture(scope="module")
def stored(nix: "Nix", forest: list[Path]) -> list[str]:
    """Return where Nix puts each tree."""
    return nix.lines("nix-store", "--add", *forest)


def test_our_archive_of_the_trees_is_nixs(nix: "Nix", forest: list[Path]) -> None:
    folder = forest[0].parent
    assert dumped(folder) == nix.run("nix-store", "--dump", folder)


@pytest.mark.parametrize("algorithm", DIGEST_SIZES)
def test_our_hash_of_each_tree_is_nixs(nix: "Nix", forest: list[Path], algorithm: str) -> None:
    ours = [Hash.of(dumped(path), algorithm) for path in forest]
    command = ("nix-hash", "--type", algorithm)
    assert [content.base16 for content in ours] == nix.lines(*command, *forest)
    assert [content.nix32 for content in ours] == nix.lines(*command, "--base32", *forest)


@pytest.mark.parametrize("algorithm", DIGEST_SIZES)
def test_our_hash_of_each_file_is_nixs(nix: "Nix", forest: list[Path], algorithm: str) -> None:
    files = [path for path in forest if path.is_file() and not path.is_symlink()]
    ours = [Hash.of(path.read_bytes(), algorithm).base16 for path in files]
    assert ours == nix.lines("nix-hash", "--flat", "--type", algorithm, *files)
    assert len(files) > 20


def test_our_store_path_of_each_tree_is_nixs(forest: list[Path], stored: list[str]) -> None:
    digests = [nar.hash_path(os.fspath(path))[0].digest for path in forest]
    assert len(set(digests)) > TREES // 2
    ours = [
        make_source(path.name, digest, store_dir=STORE).full(STORE)
        for path, digest in zip(forest, digests, strict=True)
    ]
    assert ours == stored


def test_we_restore_each_archive_that_nix_exports(
    nix: "Nix", forest: list[Path], stored: list[str], tmp_path: Path
) -> None:
    stream = io.BytesIO(nix.run("nix-store", "--export", *stored))
    while word(stream):
        restore(stream, os.fspath(tmp_path / "unnamed"))
        assert word(stream) == EXPORT_MAGIC
        name = text(stream).decode().removeprefix(f"{STORE}/")[33:]
        assert [word(stream), text(stream), word(stream)] == [0, b"", 0]
        os.rename(tmp_path / "unnamed", tmp_path / name)
    assert stream.read() == b""
    assert sorted(os.listdir(tmp_path)) == sorted(path.name for path in forest)
    assert dumped(tmp_path) == dumped(forest[0].parent)


def test_nix_imports_each_archive_of_ours(
    make_nix: "MakeNix", forest: list[Path], stored: list[str]
) -> None:
    other = make_nix()
    one, zero = (1).to_bytes(8, "little"), bytes(8)
    stream = b"".join(
        one
        + dumped(path)
        + EXPORT_MAGIC.to_bytes(8, "little")
        + nar.token(where.encode())
        + zero  # references
        + nar.token(b"")  # deriver
        + zero  # signature
        for path, where in zip(forest, stored, strict=True)
    )
    other.run("nix-store", "--import", stdin=stream + zero)
    assert [dumped(other.physical(where)) for where in stored] == list(map(dumped, forest))
    other.run("nix-store", "--verify", "--check-contents")


def test_restored_trees_have_the_modes_that_nix_gives_them(
    nix: "Nix", forest: list[Path], tmp_path: Path
) -> None:
    content = dumped(forest[0].parent)
    restore(io.BytesIO(content), os.fspath(tmp_path / "ours"))
    nix.run("nix-store", "--restore", tmp_path / "theirs", stdin=content)
    assert read(os.fsencode(tmp_path / "ours")) == read(os.fsencode(tmp_path / "theirs"))


@pytest.mark.parametrize("recursive", [False, True], ids=["flat", "recursive"])
@pytest.mark.parametrize("algorithm", DIGEST_SIZES)
def test_our_path_of_each_fixed_output_is_nixs(
    nix: "Nix", forest: list[Path], algorithm: str, recursive: bool
) -> None:
    files = [path for path in forest if path.is_file() and not path.is_symlink()]
    paths = forest if recursive else files
    contents = [Hash.of(dumped(p) if recursive else p.read_bytes(), algorithm) for p in paths]
    ours = [
        make_fixed_output(path.name, content, recursive=recursive, store_dir=STORE).full(STORE)
        for path, content in zip(paths, contents, strict=True)
    ]
    options = ["--recursive"] if recursive else []
    assert ours == nix.lines("nix-store", "--add-fixed", *options, algorithm, *paths)


@pytest.mark.parametrize("algorithm", DIGEST_SIZES)
def test_our_spellings_of_a_hash_are_nixs(nix: "Nix", algorithm: str) -> None:
    dice, size = Random(algorithm), DIGEST_SIZES[algorithm]
    edges = [bytes(size), b"\xff" * size, b"\1" + bytes(size - 1), bytes(size - 1) + b"\x80"]
    ours = [
        Hash(algorithm, digest) for digest in [*edges, *(dice.randbytes(size) for _ in edges * 50)]
    ]
    spelled = {
        "base16": [each.base16 for each in ours],
        "base32": [each.nix32 for each in ours],
        "base64": [each.base64 for each in ours],
        "sri": [each.sri for each in ours],
    }
    every = [text for texts in spelled.values() for text in texts]
    for name, expected in spelled.items():
        theirs = nix.lines("nix", "hash", f"to-{name}", "--type", algorithm, *every)
        assert theirs == expected * len(spelled)
        assert [Hash.parse(text, algorithm) for text in expected] == ours


def word(stream: io.BytesIO) -> int:
    return int.from_bytes(stream.read(8), "little")


def text(stream: io.BytesIO) -> bytes:
    size = word(stream)
    return stream.read(size + -size % 8)[:size]
