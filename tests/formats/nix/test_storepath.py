"""Store paths: the vectors of Nix 2.8.0 for `/nix/store`, and which names are refused."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import FormatError
from envtool.formats.nix.hashing import Hash, from_nix32
from envtool.formats.nix.nar import dump, hash_path
from envtool.formats.nix.storepath import (
    MAX_NAME_LENGTH,
    STORE_DIR,
    StorePath,
    check_name,
    make_fixed_output,
    make_output,
    make_source,
    make_text,
)

NIX = "/nix/store"
VECTORS = Path(__file__).parent / "vectors"
HELLO = VECTORS / "hello.txt"
TREE = VECTORS / "tree"
DIGEST = "0a8kg4wg29v6pm630lbpkkifpwxqq323"


def nar(path: Path) -> bytes:
    pieces: list[bytes] = []
    dump(os.fspath(path), pieces.append)
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (HELLO, "i9pmrzmpshapij2kin22pff6fc2adavx-hello.txt"),
        (TREE, "0a8kg4wg29v6pm630lbpkkifpwxqq323-tree"),
    ],
)
def test_added_tree_is_addressed_by_its_nar(path: Path, expected: str) -> None:
    content, _ = hash_path(os.fspath(path))
    assert make_source(path.name, content.digest, store_dir=NIX) == expected
    assert make_fixed_output(path.name, content, recursive=True, store_dir=NIX) == expected


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("sha256", "gy454w1cxaq731grqwylhzf4pp9r5izh"),
        ("sha1", "svdva85yi507g9vncgsaxvnd1r808h4w"),
        ("md5", "dra1cz5vbrhclpv4y1q0psnbkxz581bk"),
        ("sha512", "9a8mxachqmcv8x2cfijdps9dyxgyyrzm"),
    ],
)
def test_flat_fixed_output_is_addressed_by_the_file(algorithm: str, digest: str) -> None:
    content = Hash.of(HELLO.read_bytes(), algorithm)
    assert make_fixed_output("hello.txt", content, store_dir=NIX) == f"{digest}-hello.txt"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (HELLO, "hzq8n5jpi3g2d0xhlvqd8q1gx5c9s6i3-hello.txt"),
        (TREE, "9dyg9shy30dg4g0gf9i63n9gsg3zxywk-tree"),
    ],
)
def test_recursive_sha1_is_no_source(path: Path, expected: str) -> None:
    content = Hash.of(nar(path), "sha1")
    assert make_fixed_output(path.name, content, recursive=True, store_dir=NIX) == expected


def test_text_without_references() -> None:
    assert make_text("foo", b"bar", store_dir=NIX) == "vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo"


def test_text_counts_its_references_in_any_order() -> None:
    foo, foo0 = make_text("foo", b"bar", store_dir=NIX), make_text("foo0", b"zed", store_dir=NIX)
    data = f"see {foo.full(NIX)} and {foo0.full(NIX)}\n".encode()
    expected = "7xc45b6z5j8kr61wrx1z0wizsvcss6xa-foo2"
    assert make_text("foo2", data, [foo, foo0], NIX) == expected
    assert make_text("foo2", data, [foo0, foo], NIX) == expected


def test_filtered_trees(tmp_path: Path) -> None:
    (tmp_path / "D").mkdir()
    (tmp_path / "D" / "empty").touch()
    (tmp_path / "b").write_bytes(b"hello\n")
    (tmp_path / "c").symlink_to("../target")
    without_a, _ = hash_path(os.fspath(tmp_path))
    assert make_source("t", without_a.digest, store_dir=NIX) == (
        "jwygfd0dspi82lk8r4q0hz6zz5bx5yzy-t"
    )
    (tmp_path / "c").unlink()
    (tmp_path / "a").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "a").chmod(0o755)
    without_links, _ = hash_path(os.fspath(tmp_path))
    assert make_source("tree", without_links.digest, store_dir=NIX) == (
        "wvc38vwnrp41aws1y97lc68f4lgn925c-tree"
    )


def test_source_that_refers_to_itself(tmp_path: Path) -> None:
    own = b"pgc9axh8nbllrrhd8jwr1ahcw6ba0jvn"
    (tmp_path / "selfr").write_bytes(b"I am /nix/store/" + own + b"-selfr\n")
    content = nar(tmp_path / "selfr")
    modulo = hashlib.sha256(content.replace(own, bytes(32)) + b"|%d" % content.index(own)).digest()
    assert modulo == from_nix32("1w3yclh5cn9q81j01rq3iwwi8gpd1jmlg20zk3rwyp01wdkjsnh1", 32)
    assert make_source("selfr", modulo, refers_to_itself=True, store_dir=NIX) == (
        "2479934h1lp9kdvnx0dsgfm8w8y6xv1q-selfr"
    )


def test_source_with_a_reference(tmp_path: Path) -> None:
    foo = StorePath.parse("dxwkwjzdaq7ka55pkk252gh32bgpmql4-foo")
    (tmp_path / "refr").write_text(f"see {foo.full(NIX)}\n")
    content, _ = hash_path(os.fspath(tmp_path / "refr"))
    assert make_source("refr", content.digest, [foo], store_dir=NIX) == (
        "k0q7xpjcjsq94xqzh6xl4c2nmbl62g4s-refr"
    )


def test_store_directory_is_part_of_the_hash() -> None:
    assert make_text("foo", b"bar") != make_text("foo", b"bar", store_dir=NIX)
    assert make_text("foo", b"bar") == make_text("foo", b"bar", store_dir=STORE_DIR)


def test_output_other_than_out_is_named_after_it() -> None:
    assert make_output("out", "0" * 64, "multi-1.0").name == "multi-1.0"
    assert make_output("dev", "0" * 64, "multi-1.0").name == "multi-1.0-dev"


def test_parts_of_a_store_path() -> None:
    path = StorePath.parse_full(f"{NIX}/{DIGEST}-tree-1.0", NIX)
    assert (path.digest, path.name) == (DIGEST, "tree-1.0")
    assert path.full(NIX) == f"{NIX}/{DIGEST}-tree-1.0"


@pytest.mark.parametrize(
    "name", ["a", "+-._?=", ".hidden", "...", "..a-b", "-", "0", "a" * MAX_NAME_LENGTH]
)
def test_allowed_names(name: str) -> None:
    assert check_name(name) == name
    assert StorePath.parse(f"{DIGEST}-{name}").name == name
    assert make_text(name, b"").name == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".-a", "..-", "..-a", "a/b", "a b", "a\n", "\n", "a\0", "é", "a:b", "a" * 212],
)
def test_forbidden_names(name: str) -> None:
    with pytest.raises(FormatError, match="cannot name a store object"):
        check_name(name)
    with pytest.raises(FormatError, match="cannot name a store object"):
        make_text(name, b"")
    with pytest.raises(FormatError, match="is not a store path"):
        StorePath.parse(f"{DIGEST}-{name}")


@pytest.mark.parametrize(
    "base_name",
    [
        "",
        DIGEST,
        f"{DIGEST[:-1]}-tree",
        f"{DIGEST}0-tree",
        f"{DIGEST}_tree",
        f"{DIGEST[:-1]}e-tree",
        f"{DIGEST.upper()}-tree",
        f"{DIGEST}-tree/a",
        f"../{DIGEST}-tree",
    ],
)
def test_malformed_store_paths_are_refused(base_name: str) -> None:
    with pytest.raises(FormatError):
        StorePath.parse(base_name)


@pytest.mark.parametrize(
    "path",
    [
        f"{DIGEST}-tree",
        f"/gnu/store/{DIGEST}-tree",
        f"/nix/store//{DIGEST}-tree",
        f"/nix/store/../store/{DIGEST}-tree",
        f"/nix/store/{DIGEST}-tree/a",
        f"/nix/store/{DIGEST}-tree/",
        f"/nix/store{DIGEST}-tree",
        NIX,
    ],
)
def test_only_objects_directly_in_the_store_are_store_paths(path: str) -> None:
    with pytest.raises(FormatError):
        StorePath.parse_full(path, NIX)


@given(st.text())
def test_any_text_is_a_store_path_or_a_format_error(text: str) -> None:
    for given_text in (text, f"{DIGEST}-{text}"):
        try:
            path = StorePath.parse(given_text)
        except FormatError:
            continue
        assert StorePath.parse_full(path.full()) == path == given_text
