"""Indices of packages and of libraries, and mirrors: what they answer."""

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from envtool.errors import FormatError, StoreError
from envtool.formats.debian.package import DebianPackage, Origin
from envtool.machine.debian import sonames
from envtool.machine.debian.index import PackageIndex, build
from envtool.machine.debian.inflate import inflated
from envtool.machine.debian.mirrors import Mirrors, archive_of, find_mirrors
from envtool.sources.debian.signature import ArchiveError

ORIGIN = Origin("debian", "tested", "main")
REST = "Architecture: amd64\nSize: 1\nSHA256: " + "0" * 64 + "\nFilename: pool/a.deb\n"
PACKAGES = "\n".join(
    [
        (
            f"Package: exim4\nVersion: 4.96\nProvides: mail-transport-agent, smtp (= 1)\n{REST}"
            "Description: mail for all\n more\n"
        ),
        f"Package: exim4-doc\nVersion: 4.96\n{REST}Description: Documentation of Exim\n",
        f"Package: postfix\nVersion: 3.7\nProvides: mail-transport-agent\n{REST}",
        f"Package: exim4\nVersion: 4.97\n{REST}Description: mail for all\n",
    ]
)


@pytest.fixture
def index(tmp_path: Path) -> PackageIndex:
    build(PACKAGES.encode(), str(tmp_path / "index"))
    return PackageIndex(str(tmp_path / "index"), ORIGIN)


def test_every_version_of_a_name_is_found(index: PackageIndex) -> None:
    with index:
        assert [each.version for each in index.named("exim4")] == ["4.96", "4.97"]
        assert index.named("exim") == []


def test_who_provides_a_name_is_found(index: PackageIndex) -> None:
    with index:
        found = index.providing("mail-transport-agent")
        assert [each.name for each in found] == ["exim4", "postfix"]
        assert [each.name for each in index.providing("smtp")] == ["exim4"]
        assert index.providing("exim4") == []


def test_names_are_found_by_their_beginning(index: PackageIndex) -> None:
    with index:
        assert index.names("exim") == ["exim4", "exim4-doc"]
        assert index.all_names() == ["exim4", "exim4-doc", "postfix"]


def test_words_are_found_in_names_and_first_lines(index: PackageIndex) -> None:
    with index:
        assert [each.name for each in index.search("EXIM")] == ["exim4", "exim4-doc", "exim4"]
        assert [each.version for each in index.search("mail for")] == ["4.96", "4.97"]
        assert list(index.search("3.7")) == []
        (found,) = index.search("postfix")
        assert (found.version, found.summary, found.origin) == ("3.7", "", ORIGIN)


def test_an_empty_file_of_packages_has_none(tmp_path: Path) -> None:
    build(b"\n", str(tmp_path / "index"))
    with PackageIndex(str(tmp_path / "index"), ORIGIN) as index:
        assert index.all_names() == []


def test_a_package_that_is_malformed_spoils_no_other(tmp_path: Path) -> None:
    build(PACKAGES.replace("Size: 1", "Size: x", 1).encode(), str(tmp_path / "index"))
    with PackageIndex(str(tmp_path / "index"), ORIGIN) as index:
        assert index.named("postfix")
        with pytest.raises(FormatError, match="exim4: Size is 'x'"):
            index.named("exim4")


def test_a_folder_that_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        PackageIndex(str(tmp_path), ORIGIN)


def test_libraries_are_found_by_their_soname(tmp_path: Path) -> None:
    lines = (
        b"usr/lib/x86_64-linux-gnu/blas/libblas.so.3    libs/libblas3\n"
        b"usr/lib/x86_64-linux-gnu/libblas.so.3         libs/libother,libs/libanother\n"
        b"usr/lib/x86_64-linux-gnu/libblas.so.30        libs/libblas30\n"
    )
    # Cut anywhere, even within a line.
    pieces = (lines[at : at + 7] for at in range(0, len(lines), 7))
    sonames.build(pieces, "x86_64-linux-gnu", str(tmp_path / "libraries"))
    index = sonames.SonameIndex(str(tmp_path / "libraries"))
    found = [each.package for each in index.find("libblas.so.3")]
    assert found == ["libanother", "libother", "libblas3"]
    assert index.find("libblas.so") == ()


def test_contents_larger_than_a_piece_are_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sonames, "_PIECE", 100)
    lines = "".join(f"usr/lib/lib{n}.so.{n}    libs/lib{n}\n" for n in range(50)).encode()
    pieces = (lines[at : at + 33] for at in range(0, len(lines), 33))
    sonames.build(pieces, "x86_64-linux-gnu", str(tmp_path / "libraries"))
    index = sonames.SonameIndex(str(tmp_path / "libraries"))
    assert [len(index.find(f"lib{n}.so.{n}")) for n in range(50)] == [1] * 50


def test_programs_are_found_apart_from_libraries(tmp_path: Path) -> None:
    lines = (
        b"usr/bin/dot                                   graphics/graphviz\n"
        b"usr/bin/libdot.so.1                           graphics/odd\n"
        b"usr/lib/x86_64-linux-gnu/libdot.so.1          libs/libdot1\n"
    )
    sonames.build([lines], "x86_64-linux-gnu", str(tmp_path / "libraries"))
    index = sonames.SonameIndex(str(tmp_path / "libraries"))
    assert [each.path for each in index.find_program("dot")] == ["usr/bin/dot"]
    assert [each.package for each in index.find_program("libdot.so.1")] == ["odd"]
    assert [each.package for each in index.find("libdot.so.1")] == ["libdot1"]
    assert index.find("dot") == ()
    assert index.near("libdop.so.7") == ["libdot.so.1"]


PACK: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, lzma.compress]


@pytest.mark.parametrize("pack", PACK)
def test_indices_are_inflated_by_what_they_are(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "index"
    path.write_bytes(pack(b"first\n" * 100_000) + pack(b"second\n"))
    assert b"".join(inflated(str(path))) == b"first\n" * 100_000 + b"second\n"


@pytest.mark.parametrize("pack", PACK[1:])
@pytest.mark.parametrize("cut", [20, -5])
def test_an_index_that_breaks_off_is_told(
    tmp_path: Path, pack: Callable[[bytes], bytes], cut: int
) -> None:
    path = tmp_path / "index"
    path.write_bytes(pack(bytes(range(256)) * 100)[:cut])
    with pytest.raises(FormatError, match="cannot be inflated"):
        list(inflated(str(path)))


LOCKED = DebianPackage(
    name="tiny",
    version="1.0",
    architecture="amd64",
    size=1,
    sha256="0" * 64,
    path="pool/main/t/tiny/tiny_1.0_amd64.deb",
    archive="debian",
    suite="trixie",
    component="main",
    timestamp="20260911T235959Z",
)


def test_bytes_come_from_mirrors_first_and_from_the_past_last() -> None:
    mirrors = Mirrors(
        ("http://a/debian", "http://b/{archive}", "http://c/debian-security"),
        "http://past/{archive}/{timestamp}",
    )
    # Half a day later than the state that is locked: only then is it surely there.
    assert mirrors.urls(LOCKED) == (
        "http://a/debian/pool/main/t/tiny/tiny_1.0_amd64.deb",
        "http://b/debian/pool/main/t/tiny/tiny_1.0_amd64.deb",
        "http://past/debian/20260912T115959Z/pool/main/t/tiny/tiny_1.0_amd64.deb",
    )
    assert mirrors.of("debian-security") == ("http://b/debian-security", "http://c/debian-security")


def test_the_mirrors_of_the_hosts_apt_come_after_those_named(tmp_path: Path) -> None:
    below = tmp_path / "sources.list.d"
    below.mkdir()
    (tmp_path / "sources.list").write_text(
        "deb http://one.example/debian bookworm main\n"
        "deb http://one.example/debian bookworm-updates main\n"
        "deb https://tools.example/apt stable main\n"
    )
    listed = tmp_path / "mirrors.list"
    listed.write_text("# ours\nhttp://three.example/debian/\tpriority:1\n")
    (below / "debian.sources").write_text(
        "Types: deb\nURIs: http://two.example/debian-security\nSuites: bookworm-security\n\n"
        f"Types: deb\nURIs: mirror+file:{listed}\nSuites: bookworm\n"
    )
    (below / "damaged.sources").write_text("nonsense\n")
    (below / "other.list.save").write_text("deb http://four.example/debian bookworm main\n")
    found = find_mirrors(["http://own.example/debian/"], None, str(tmp_path))
    assert found.bases == (
        "http://own.example/debian",
        "http://one.example/debian",
        "http://two.example/debian-security",
        "http://three.example/debian",
    )


def test_a_host_without_apt_has_no_mirrors(tmp_path: Path) -> None:
    mirrors = find_mirrors([], None, str(tmp_path / "none"))
    assert mirrors == Mirrors(())
    assert mirrors.urls(LOCKED) == ()
    with pytest.raises(ArchiveError, match="no mirror"):
        mirrors.of("debian")


def test_suites_of_security_are_in_an_archive_of_their_own() -> None:
    assert archive_of("trixie-security") == "debian-security"
    assert archive_of("trixie-updates") == "debian"
