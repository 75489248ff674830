"""Narinfo: the files of Nix 2.8.0, and files that must be refused with the line at fault."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import FormatError
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.narinfo import (
    MAX_SIZE,
    CacheInfo,
    NarInfo,
    parse,
    parse_cache_info,
    render,
    render_cache_info,
)
from envtool.formats.nix.storepath import StorePath, make_text
from envtool.values import replace

NIX = "/nix/store"
VECTORS = Path(__file__).parent / "vectors"
FILES = sorted(VECTORS.glob("cache-*/*.narinfo"))
FOO2 = (VECTORS / "cache-xz" / "7xc45b6z5j8kr61wrx1z0wizsvcss6xa.narinfo").read_bytes()
A, B = make_text("a", b"a"), make_text("b", b"b")
MINIMAL = NarInfo(
    store_path=A,
    url="nar/a.nar",
    compression="none",
    file_hash=None,
    file_size=None,
    nar_hash=Hash.of(b"a"),
    nar_size=120,
    references=frozenset(),
)


def line_of(key: bytes) -> bytes:
    (found,) = (line for line in FOO2.splitlines(keepends=True) if line.startswith(key + b":"))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.name[:4]}")
def test_file_of_nix_is_written_again_to_the_same_bytes(file: Path) -> None:
    info = parse(file.read_bytes(), store_dir=NIX)
    assert render(info, NIX) == file.read_bytes()
    assert info.store_path.digest == file.stem


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.name[:4]}")
def test_file_hash_and_size_are_those_of_the_archive(file: Path) -> None:
    info = parse(file.read_bytes(), store_dir=NIX)
    archive = (file.parent / info.url).read_bytes()
    assert (info.file_hash, info.file_size) == (Hash.of(archive), len(archive))


def test_every_key_is_read() -> None:
    extra = b"Deriver: rm9v4vd19fmxa6jwy1pz47af8k058rf2-foo.drv\nSystem: x86_64-linux\nSig: b-1:x\n"
    info = parse(FOO2 + extra, store_dir=NIX)
    assert info.store_path == "7xc45b6z5j8kr61wrx1z0wizsvcss6xa-foo2"
    assert info.url == "nar/0qxf611cvqsjjcbsbijfb8h7w190r3bh2x9sa7xk3xc3spsbh285.nar.xz"
    assert (info.compression, info.file_size, info.nar_size) == ("xz", 212, 224)
    assert str(info.nar_hash) == "sha256:14kxgvavq1bfd5c9qhqc7l3bb5kn96yklgynkzmkm594jpczcwdm"
    assert info.references == {
        "57z3xr0h5ya3q7nawv6s4n1hl9dxlqkd-foo0",
        "vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo",
    }
    assert info.deriver == "rm9v4vd19fmxa6jwy1pz47af8k058rf2-foo.drv"
    assert info.system == "x86_64-linux"
    assert [signature[:4] for signature in info.signatures] == ["test", "b-1:"]
    assert info.ca == "text:sha256:17q6789gyrwrcid4dry4w5bcnkr473mf203529z5aq4w4kbn89zy"


def test_keys_are_written_in_the_order_of_nix() -> None:
    info = replace(
        MINIMAL,
        file_hash=Hash.of(b"b"),
        file_size=7,
        references=frozenset({B, A}),
        deriver=B,
        system="x86_64-linux",
        signatures=("b-1:Yg==", "a-1:YQ=="),
        ca="fixed:r:" + str(Hash.of(b"c")),
    )
    keys = [line.partition(b":")[0].decode() for line in render(info).splitlines()]
    assert " ".join(keys) == (
        "StorePath URL Compression FileHash FileSize NarHash NarSize References "
        "Deriver System Sig Sig CA"
    )
    assert f"\nReferences: {' '.join(sorted((A, B)))}\n".encode() in render(info)
    assert parse(render(info)) == replace(info, signatures=("a-1:YQ==", "b-1:Yg=="))


def test_fingerprint_is_what_nix_signs() -> None:
    assert parse(FOO2, store_dir=NIX).fingerprint(NIX) == (
        "1;/nix/store/7xc45b6z5j8kr61wrx1z0wizsvcss6xa-foo2;"
        "sha256:14kxgvavq1bfd5c9qhqc7l3bb5kn96yklgynkzmkm594jpczcwdm;224;"
        "/nix/store/57z3xr0h5ya3q7nawv6s4n1hl9dxlqkd-foo0,"
        "/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo"
    )
    assert MINIMAL.fingerprint().endswith(f";{Hash.of(b'a')};120;")


def test_compression_that_is_not_said_is_bzip2() -> None:
    without = FOO2.replace(line_of(b"Compression"), b"")
    assert parse(without, store_dir=NIX).compression == "bzip2"
    empty = FOO2.replace(line_of(b"Compression"), b"Compression: \n")
    assert parse(empty, store_dir=NIX).compression == "bzip2"


def test_file_hash_and_size_may_be_missing() -> None:
    assert parse(render(MINIMAL)) == MINIMAL
    assert b"File" not in render(MINIMAL)
    assert parse(render(MINIMAL) + b"FileSize: 0\n").file_size is None


def test_deriver_that_is_unknown_is_none() -> None:
    assert parse(render(MINIMAL) + b"Deriver: unknown-deriver\n").deriver is None


def test_keys_that_are_not_known_are_ignored() -> None:
    assert parse(b"Provenance: {}\n" + render(MINIMAL)) == MINIMAL


def test_hash_may_be_spelled_otherwise() -> None:
    text = render(MINIMAL).decode()
    for spelling in (f"sha256:{Hash.of(b'a').base16}", Hash.of(b"a").sri):
        assert parse(text.replace(str(Hash.of(b"a")), spelling).encode()) == MINIMAL


@pytest.mark.parametrize("key", ["StorePath", "URL", "NarHash", "NarSize"])
def test_missing_key_is_named(key: str) -> None:
    without = FOO2.replace(line_of(key.encode()), b"")
    with pytest.raises(FormatError, match=rf"^x\.narinfo has no {key}$"):
        parse(without, place="x.narinfo", store_dir=NIX)


@pytest.mark.parametrize(
    "key", ["StorePath", "URL", "Compression", "FileHash", "NarSize", "References", "CA", "Other"]
)
def test_key_that_stands_twice_is_refused(key: str) -> None:
    text = FOO2 + b"Other: x\n"
    lines = text.decode().splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if line.startswith(f"{key}:"))
    with pytest.raises(FormatError, match=rf"line 12: {key} stands on line {number} already"):
        parse(text + lines[number - 1].encode() + b"\n", store_dir=NIX)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("StorePath", ""),
        ("StorePath", "/envtool/store/7xc45b6z5j8kr61wrx1z0wizsvcss6xa-foo2"),
        ("StorePath", "7xc45b6z5j8kr61wrx1z0wizsvcss6xa-foo2"),
        ("StorePath", "/nix/store/7xc45b6z5j8kr61wrx1z0wizsvcss6xa-foo2/bin"),
        ("StorePath", "/nix/store/../7xc45b6z5j8kr61wrx1z0wizsvcss6xa-foo2"),
        ("StorePath", "/nix/store/7xc45b6z5j8kr61wrx1z0wizsvcss6xa-foo2\r"),
        ("URL", ""),
        ("URL", "nar/a b"),
        ("URL", "nar/a\r"),
        ("FileHash", "sha256:0"),
        ("FileHash", "0qxf611cvqsjjcbsbijfb8h7w190r3bh2x9sa7xk3xc3spsbh285"),
        ("FileSize", "-1"),
        ("FileSize", "+1"),
        ("FileSize", "1e3"),
        ("FileSize", "0x10"),
        ("FileSize", "1_000"),
        ("FileSize", ""),
        ("FileSize", " 1"),
        ("FileSize", "\N{ARABIC-INDIC DIGIT ONE}"),
        ("FileSize", str(MAX_SIZE + 1)),
        ("FileSize", "9" * 5000),
        ("NarHash", str(Hash.of(b"", "sha512"))),
        ("NarHash", "sha256:"),
        ("NarSize", "0"),
        ("NarSize", "-224"),
        ("NarSize", str(2**64)),
        ("References", "foo"),
        ("References", "/nix/store/57z3xr0h5ya3q7nawv6s4n1hl9dxlqkd-foo0"),
        ("References", "57z3xr0h5ya3q7nawv6s4n1hl9dxlqkd-foo0,7xc45b6z5j8kr61wrx1z0wizsvcss6xa-a"),
        ("References", "57z3xr0h5ya3q7nawv6s4n1hl9dxlqkd-foo0\t"),
        ("Deriver", "none"),
        ("Deriver", ""),
        ("Sig", ""),
        ("CA", ""),
        ("CA", "text"),
        ("CA", "text:sha1:0ljkghcb19jwkz0d0p7ki0f6ykwz4kxc"),
        ("CA", "fixed:x:sha256:17q6789gyrwrcid4dry4w5bcnkr473mf203529z5aq4w4kbn89zy"),
        ("CA", "fixed:r:sha3:17q6789gyrwrcid4dry4w5bcnkr473mf203529z5aq4w4kbn89zy"),
        ("CA", "fixed:r:sha256:17q6789gyrwrcid4dry4w5bcnkr473mf203529z5aq4w4kbn89z"),
    ],
)
def test_value_that_cannot_be_is_refused_with_its_line(key: str, text: str) -> None:
    kept = [line for line in FOO2.decode().split("\n")[:-1] if not line.startswith(f"{key}:")]
    content = "\n".join([*kept[:3], f"{key}: {text}", *kept[3:], ""])
    with pytest.raises(FormatError, match=rf"^narinfo, line 4: {key}: "):
        parse(content.encode(), store_dir=NIX)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no StorePath"),
        (b"\n", "line 1: '' is not 'Key: value'"),
        (b"StorePath\n", "line 1: 'StorePath' is not 'Key: value'"),
        (b"StorePath:/nix\n", "line 1"),
        (b": x\n", "line 1"),
        (FOO2 + b"\n", "line 11: ''"),
        (FOO2.replace(b"\n", b"\r\n"), "line 1: StorePath: "),
        (FOO2[:-1], "narinfo is cut off"),
        (FOO2[:100], "narinfo is cut off"),
        (b"StorePath: \xff\n", "narinfo is not UTF-8"),
        (b"\xef\xbb\xbf" + FOO2, "has no StorePath"),
        (b"<!DOCTYPE html>\n", "line 1: '<!DOCTYPE html>' is not"),
    ],
)
def test_malformed_file_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse(content, store_dir=NIX)


def test_truncation_at_every_offset_is_refused_or_ends_a_line() -> None:
    for size in range(len(FOO2)):
        try:
            parse(FOO2[:size], store_dir=NIX)
        except FormatError:
            continue
        assert FOO2[size - 1 : size] == b"\n"


def test_value_that_would_begin_another_line_is_not_written() -> None:
    with pytest.raises(FormatError, match="URL cannot hold a line break"):
        render(replace(MINIMAL, url="a\nSig: b"))


paths = st.sampled_from([A, B, make_text("c", b"")])
hashes = st.binary(max_size=4).map(Hash.of)
sizes = st.integers(1, MAX_SIZE)
words = st.from_regex(r"[!-~]+", fullmatch=True)
infos = st.builds(
    NarInfo,
    store_path=paths,
    url=words,
    compression=words,
    file_hash=st.none() | hashes,
    file_size=st.none() | sizes,
    nar_hash=hashes,
    nar_size=sizes,
    references=st.frozensets(paths),
    deriver=st.none() | paths,
    system=st.none() | words,
    signatures=st.lists(words, unique=True).map(sorted).map(tuple),
    ca=st.none() | hashes.map("text:{}".format) | hashes.map("fixed:r:{}".format),
)


@given(infos)
def test_parse_is_the_inverse_of_render(info: NarInfo) -> None:
    assert parse(render(info)) == info


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_format_error(content: bytes) -> None:
    for start in (b"", b"StorePath: ", render(MINIMAL)[:-10]):
        with pytest.raises(FormatError):
            parse(start + content)


@given(st.integers(0, len(FOO2)), st.integers(0, 30), st.binary(max_size=6))
def test_changed_file_is_refused_or_read_as_it_stands(at: int, cut: int, insert: bytes) -> None:
    try:
        info = parse(FOO2[:at] + insert + FOO2[at + cut :], store_dir=NIX)
    except FormatError:
        return
    assert parse(render(info, NIX), store_dir=NIX) == replace(
        info, signatures=tuple(sorted(set(info.signatures)))
    )


# nix-cache-info


def test_cache_info_of_nix_is_written_again_to_the_same_bytes() -> None:
    content = (VECTORS / "cache-none" / "nix-cache-info").read_bytes()
    assert parse_cache_info(content) == CacheInfo(NIX)
    assert render_cache_info(CacheInfo(NIX)) == content


def test_cache_info_says_how_to_ask() -> None:
    info = CacheInfo("/envtool/store", want_mass_query=True, priority=40)
    content = render_cache_info(info)
    assert content == b"StoreDir: /envtool/store\nWantMassQuery: 1\nPriority: 40\n"
    assert parse_cache_info(content + b"Motto: fast\n") == info
    assert parse_cache_info(b"StoreDir: /nix/store\nWantMassQuery: 0\n").want_mass_query is False


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "nix-cache-info has no StoreDir"),
        (b"Priority: 40\n", "nix-cache-info has no StoreDir"),
        (b"StoreDir: nix/store\n", "line 1: StoreDir: 'nix/store' is not the absolute path"),
        (b"StoreDir: /nix/store/\n", "line 1: StoreDir: "),
        (b"StoreDir: /nix/store\nStoreDir: /x\n", "line 2: StoreDir stands on line 1 already"),
        (b"StoreDir: /nix/store\nPriority: -1\n", "line 2: Priority: '-1' is not a number"),
        (b"StoreDir: /nix/store", "is cut off"),
    ],
)
def test_bad_cache_info_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_cache_info(content)


def test_path_is_one_of_the_given_store_only() -> None:
    with pytest.raises(FormatError, match="is not in the store /envtool/store"):
        parse(FOO2)
    assert isinstance(parse(render(MINIMAL)).store_path, StorePath)
