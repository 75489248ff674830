"""Packages of Debian: what is unpacked is what dpkg unpacks, and what is hostile is refused."""

import gzip
import io
import lzma
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from envtool.machine.metadata import delete_tree
from envtool.sources.deb import Deb, DebError, Unpacked

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # before Python 3.14
    from backports import zstd

CONTROL = "Package: tiny\nVersion: 1.0-1\nArchitecture: all\nInstalled-Size: 40\nDescription: x\n"
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}
Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, content: bytes = b"", **fields: object) -> Entry:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), 0o644, 1234
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def folder(name: str, mode: int = 0o755) -> Entry:
    return entry(name, type=tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Entry:
    return entry(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777)


def hard_link(name: str, target: str) -> Entry:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def tar(entries: Iterable[Entry]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def ar(members: Sequence[tuple[str, bytes]]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in members:
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def deb(
    entries: Iterable[Entry], *, ending: str = ".xz", control: str = CONTROL, scripts: str = ""
) -> bytes:
    own = [entry("./control", control.encode())]
    own += [entry("./postinst", scripts.encode(), mode=0o755)] if scripts else []
    return ar(
        [
            ("debian-binary", b"2.0\n"),
            (f"control.tar{ending}", PACK[ending](tar(own))),
            (f"data.tar{ending}", PACK[ending](tar(entries))),
        ]
    )


FILES = [
    folder("./"),
    folder("./usr/"),
    folder("./usr/bin/"),
    entry("./usr/bin/tiny", b"#!/bin/sh\n", mode=0o755),
    entry("./usr/bin/private", b"secret", mode=0o600),
    symlink("./usr/bin/alias", "tiny"),
    hard_link("./usr/bin/second", "./usr/bin/tiny"),
    symlink("./etc", "/usr/etc"),
    entry("./usr/" + "long/" * 30 + "name", b"deep"),
    folder("./var/empty/", mode=0o1777),
]


@pytest.fixture
def unpack(tmp_path: Path) -> Iterable[Callable[[bytes], Unpacked]]:
    """Unpack the bytes of a .deb to `out`."""

    def run(content: bytes) -> Unpacked:
        path = tmp_path / "tiny.deb"
        path.write_bytes(content)
        with Deb(str(path), "tiny.deb") as package:
            return package.unpack(str(tmp_path / "out"))

    yield run
    delete_tree(str(tmp_path / "out"))


Unpack = Callable[[bytes], Unpacked]


def listing(root: Path) -> dict[str, tuple[str, object]]:
    found: dict[str, tuple[str, object]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("symlink", os.readlink(path))
        elif path.is_dir():
            found[name] = ("folder", None)
        else:
            found[name] = ("file", path.read_bytes())
    return found


@pytest.mark.parametrize("ending", PACK)
def test_a_package_is_unpacked_whole(unpack: Unpack, tmp_path: Path, ending: str) -> None:
    seen = unpack(deb(FILES, ending=ending))
    found = listing(tmp_path / "out")
    assert found["usr/bin/tiny"] == found["usr/bin/second"] == ("file", b"#!/bin/sh\n")
    assert found["usr/bin/alias"] == ("symlink", "tiny")
    assert found["etc"] == ("symlink", "/usr/etc")
    assert found["usr/" + "long/" * 30 + "name"] == ("file", b"deep")
    assert seen == Unpacked(len(b"#!/bin/sh\n" + b"secret" + b"deep"), ())


@pytest.mark.programs("dpkg-deb")
@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_dpkg_unpacks_the_same(unpack: Unpack, tmp_path: Path, ending: str) -> None:
    unpack(deb(FILES, ending=ending))
    argv = ["dpkg-deb", "-x", str(tmp_path / "tiny.deb"), str(tmp_path / "judge")]
    subprocess.run(argv, check=True, capture_output=True)
    assert listing(tmp_path / "out") == listing(tmp_path / "judge")


def test_modes_and_times_are_those_of_a_store_object(unpack: Unpack, tmp_path: Path) -> None:
    unpack(deb(FILES))
    paths = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    modes = {
        str(path.relative_to(tmp_path / "out")): stat.S_IMODE(path.lstat().st_mode)
        for path in paths
        if not path.is_symlink()
    }
    assert modes["usr/bin/tiny"] == 0o555
    assert modes["usr/bin/private"] == 0o444
    assert {mode for name, mode in modes.items() if (tmp_path / "out" / name).is_dir()} == {0o555}
    assert {path.lstat().st_mtime for path in paths} == {1.0}


def test_setuid_is_stripped_and_reported(unpack: Unpack, tmp_path: Path) -> None:
    entries = [
        entry("./usr/bin/sudo", b"x", mode=0o4755),
        entry("./usr/bin/wall", b"x", mode=0o2555),
        entry("./usr/bin/ls", b"x", mode=0o755),
    ]
    assert unpack(deb(entries)).stripped == (("usr/bin/sudo", 0o4755), ("usr/bin/wall", 0o2555))
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "out/usr/bin").iterdir()}
    assert {stat.S_IMODE(mode) for mode in modes.values()} == {0o555}


def test_the_control_part_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.deb"
    path.write_bytes(deb([], scripts="#!/bin/sh\nexit 0\n"))
    with Deb(str(path), "tiny.deb") as package:
        assert package.control["version"] == "1.0-1"
        assert sorted(package.files) == ["control", "postinst"]
        assert package.files["postinst"] == b"#!/bin/sh\nexit 0\n"


HOSTILE: dict[str, tuple[list[Entry], str]] = {
    "parent": ([entry("./../escaped", b"x")], "leads out of the package"),
    "deep parent": ([entry("./usr/../../escaped", b"x")], "leads out of the package"),
    "absolute": ([entry("/tmp/envtool-escaped", b"x")], "is an absolute name"),
    "no name": ([entry("./usr//bin", b"x")], "is no name of a file"),
    "through a symlink": (
        [symlink("./usr", "/tmp"), entry("./usr/envtool-escaped", b"x")],
        "lies in 'usr', which is a symlink",
    ),
    "folder on a symlink": ([symlink("./usr", "/tmp"), folder("./usr/")], "'usr', which is a syml"),
    "through a file": (
        [entry("./usr", b"x"), entry("./usr/bin", b"x")],
        "lies in 'usr', which is a file",
    ),
    "twice": ([entry("./a", b"x"), entry("./a", b"y")], "'a' is there twice"),
    "symlink replaced": ([symlink("./a", "/etc/passwd"), entry("./a", b"x")], "there twice"),
    "hard link out": ([hard_link("./a", "/etc/passwd")], "'/etc/passwd' is an absolute name"),
    "hard link up": ([hard_link("./a", "../../etc/passwd")], "leads out of the package"),
    "hard link before": (
        [hard_link("./a", "./b"), entry("./b", b"x")],
        "another name of './b', which is no file before it",
    ),
    "hard link to a folder": ([folder("./b/"), hard_link("./a", "./b")], "no file before it"),
    "block device": ([entry("./a", type=tarfile.BLKTYPE)], "'a' is a device"),
    "character device": ([entry("./a", type=tarfile.CHRTYPE)], "'a' is a device"),
    "pipe": ([entry("./a", type=tarfile.FIFOTYPE)], "'a' is a device, a pipe"),
    "empty symlink": ([symlink("./a", "")], "has no target"),
    "long name": ([entry("./" + "n" * 256, b"x")], "too long"),
    "deep": ([entry("./" + "d/" * 101 + "n", b"x")], "too deep"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_package_is_refused(unpack: Unpack, tmp_path: Path, case: str) -> None:
    entries, told = HOSTILE[case]
    with pytest.raises(DebError, match=f"tiny.deb: .*{told}"):
        unpack(deb(entries))
    assert {path.name for path in tmp_path.iterdir()} <= {"tiny.deb", "out"}
    assert not Path("/tmp/envtool-escaped").exists()


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_a_bomb_does_not_go_off(unpack: Unpack, tmp_path: Path, ending: str) -> None:
    bomb = deb([entry("./zeros", bytes(80 << 20))], ending=ending)
    with pytest.raises(DebError, match=r"data\.tar.*: it inflates to more than"):
        unpack(bomb)
    assert (tmp_path / "out/zeros").stat().st_size <= 20 << 20


def test_a_bomb_in_the_control_part_does_not_go_off(unpack: Unpack) -> None:
    with pytest.raises(DebError, match=r"control\.tar.*: it inflates to more than"):
        unpack(deb([], scripts=" " * (17 << 20)))


def test_a_package_that_does_not_tell_its_size_has_a_limit_too(unpack: Unpack) -> None:
    quiet = CONTROL.replace("Installed-Size: 40\n", "")
    with pytest.raises(DebError, match="inflates to more than"):
        unpack(deb([entry("./zeros", bytes(160 << 20))], ending=".xz", control=quiet))


def test_a_name_of_gigabytes_is_not_read(unpack: Unpack) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 3 << 30
    content = ar(
        [
            ("debian-binary", b"2.0\n"),
            ("control.tar", tar([entry("./control", CONTROL.encode())])),
            ("data.tar", info.tobuf(tarfile.GNU_FORMAT) + bytes(10240)),
        ]
    )
    with pytest.raises(DebError, match="a name takes 3221225472 bytes"):
        unpack(content)


def test_xz_that_wants_gigabytes_of_memory_is_refused(unpack: Unpack) -> None:
    greedy = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    data = lzma.compress(tar([]), filters=greedy)
    content = ar(
        [
            ("debian-binary", b"2.0\n"),
            ("control.tar", tar([entry("./control", CONTROL.encode())])),
            ("data.tar.xz", data),
        ]
    )
    with pytest.raises(DebError, match=r"data\.tar\.xz cannot be read: Memory usage limit"):
        unpack(content)


@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_a_package_that_breaks_off_is_refused_wherever(tmp_path: Path, ending: str) -> None:
    content = deb(FILES, ending=ending)
    path = tmp_path / "tiny.deb"
    for size in range(0, len(content) - 1, max(len(content) // 40, 1)):
        path.write_bytes(content[:size])
        with pytest.raises(DebError), Deb(str(path), "tiny.deb") as package:
            package.unpack(str(tmp_path / f"out{size}"))


@pytest.mark.parametrize("ending", PACK)
def test_a_byte_that_changed_is_refused_or_harmless(tmp_path: Path, ending: str) -> None:
    content = bytearray(deb(FILES, ending=ending))
    path = tmp_path / "tiny.deb"
    refused = 0
    for at in range(0, len(content), max(len(content) // 150, 1)):
        changed = content.copy()
        changed[at] ^= 0x55
        path.write_bytes(changed)
        out = tmp_path / f"out{at}"
        try:
            with Deb(str(path), "tiny.deb") as package:
                package.unpack(str(out))
        except DebError:
            refused += 1
        delete_tree(str(out))
    assert refused
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([], "does not begin with debian-binary"),
        ([("debian-binary", b"3.0\n")], "another version of the format"),
        ([("debian-binary", b"2.0\n"), ("control.tar", b"")], "one control.tar and one data.tar"),
        (
            [("debian-binary", b"2.0\n"), ("control.tar", tar([])), ("data.tar", tar([]))],
            "has no control file",
        ),
        (
            [("debian-binary", b"2.0\n"), ("control.tar.bz2", b"BZh"), ("data.tar", b"")],
            r"compressed in a way that is not known, '\.bz2'",
        ),
    ],
)
def test_what_is_no_package_is_told(
    unpack: Unpack, members: list[tuple[str, bytes]], told: str
) -> None:
    with pytest.raises(DebError, match=told):
        unpack(ar(members))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"!<arch>\nnonsense", b"!<arch>\n" * 12])
def test_what_is_no_archive_is_told(unpack: Unpack, content: bytes) -> None:
    with pytest.raises(DebError, match=r"is no \.deb|is damaged"):
        unpack(content)


def test_a_control_file_must_say_what_it_is_of(unpack: Unpack) -> None:
    with pytest.raises(DebError, match="does not say version, architecture"):
        unpack(deb([], control="Package: tiny\n"))
    with pytest.raises(DebError, match=r"tiny\.deb: control:1: .* is not 'Field: value'"):
        unpack(deb([], control="nonsense\n"))
