"""Wheels: what must not be unpacked is refused by name, and no byte of it leads anywhere."""

import base64
import hashlib
import os
import random
import stat
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envtool.build.unpack import unpack
from envtool.errors import WheelError
from envtool.sources import wheel as wheel_module
from envtool.sources.wheel import CHUNK, MAX_DEPTH, EntryPoint, Wheel

if TYPE_CHECKING:
    from fixtures.wheels import MakeWheel, Tamper

    from envtool.sources.members import Data

FILENAME = "tiny-1.0-py3-none-any.whl"
INFO = "tiny-1.0.dist-info"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
METADATA = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"


@dataclass(frozen=True)
class Entry:
    """A member as the archive's directory describes it, true or not."""

    name: str
    content: bytes = b"content\n"
    mode: int = stat.S_IFREG | 0o644
    method: int = zipfile.ZIP_DEFLATED
    twist: Callable[[zipfile.ZipInfo], None] = lambda _: None
    """Changes the directory's entry after the member is written."""


def digest(content: bytes, algorithm: str = "sha256") -> str:
    raw = hashlib.new(algorithm, content).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def record_of(entries: Sequence[Entry]) -> str:
    rows = [f'"{each.name}",{digest(each.content)},{len(each.content)}' for each in entries]
    return "\n".join([*rows, f"{INFO}/RECORD,,", ""])


def forge(
    folder: Path,
    *entries: Entry,
    texts: Mapping[str, str | bytes | None] | None = None,
    info: str = INFO,
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """Write a wheel that is right but for what is asked for; a text of None is left out."""
    given = {"METADATA": METADATA, "WHEEL": WHEEL, **(texts or {})}
    record = given.pop("RECORD", "")
    metadata = [
        Entry(f"{info}/{name}", text.encode() if isinstance(text, str) else text, method=method)
        for name, text in given.items()
        if text is not None
    ]
    members = [*entries, *metadata]
    if record is not None:
        text = record or record_of([each for each in members if not each.name.endswith("/")])
        content = text if isinstance(text, bytes) else text.encode()
        members.append(Entry(f"{info}/RECORD", content, method=method))
    path = folder / FILENAME
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore", UserWarning)  # duplicate names are what is wanted
        for each in members:
            _write(archive, each)
    return path


def _write(archive: zipfile.ZipFile, entry: Entry) -> None:
    info = zipfile.ZipInfo("placeholder", (1980, 1, 1, 0, 0, 0))
    info.filename = entry.name
    info.external_attr = entry.mode << 16
    archive.writestr(info, entry.content, entry.method)
    entry.twist(info)


def read_all(path: Path) -> dict[str, bytes]:
    with Wheel(str(path), FILENAME) as wheel:
        return {member.name: b"".join(wheel.read(member)) for member in wheel.members}


def assert_refused(path: Path, reason: str) -> None:
    """Check that unpacking fails, says why, and has written nothing beside its target."""
    room = path.parent / "room" / "deep"
    room.mkdir(parents=True)
    with pytest.raises(WheelError, match=reason) as caught:
        unpack(str(path), FILENAME, str(room / "target"))
    assert caught.value.message.startswith(f"{FILENAME}: ")
    assert caught.value.hint is not None
    assert sorted(os.listdir(path.parent)) == ["room", FILENAME]
    assert os.listdir(room.parent) == ["deep"]
    assert set(os.listdir(room)) <= {"target"}


def test_members_of_a_sound_wheel_are_read_whole(tmp_path: Path) -> None:
    path = forge(tmp_path, Entry("tiny.py"), Entry("pkg/data.bin", b"\0" * 100_000))
    found = read_all(path)
    assert found["tiny.py"] == b"content\n"
    assert found["pkg/data.bin"] == b"\0" * 100_000


def test_folders_of_the_archive_are_not_members(tmp_path: Path) -> None:
    path = forge(tmp_path, Entry("pkg/", b"", stat.S_IFDIR | 0o755), Entry("pkg/a.py"))
    assert "pkg/a.py" in read_all(path)
    assert "pkg/" not in read_all(path)


def test_places_follow_the_schemes_of_the_data_folder(tmp_path: Path) -> None:
    parts = ("purelib/a.py", "platlib/b.py", "scripts/run", "data/share/d", "headers/h.h")
    path = forge(tmp_path, *(Entry(f"tiny-1.0.data/{part}") for part in parts))
    with Wheel(str(path), FILENAME) as wheel:
        places = {member.place for member in wheel.members if ".data/" in member.name}
    assert places == {
        "site-packages/a.py",
        "site-packages/b.py",
        "scripts/run",
        "data/share/d",
        "headers/h.h",
    }


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.txt",
        "pkg/../../escaped.txt",
        "pkg/..",
        "./tiny.py",
        "pkg/./tiny.py",
        "pkg//tiny.py",
        "C:/escaped.txt",
        "c:escaped.txt",
        "tiny-1.0.data/scripts/../../../escaped",
        "tiny-1.0.data/data/../../../../escaped",
    ],
)
def test_names_that_lead_out_of_the_wheel_are_refused(tmp_path: Path, name: str) -> None:
    assert_refused(forge(tmp_path, Entry(name)), "leads out of the wheel")


def test_absolute_names_are_refused(tmp_path: Path) -> None:
    path = forge(tmp_path, Entry(f"{tmp_path}/escaped.txt"))
    assert_refused(path, "leads out of the wheel")


@pytest.mark.parametrize("name", ["..\\escaped.txt", "pkg\\tiny.py", "tiny.py\0.txt"])
def test_names_with_backslash_or_nul_are_refused(tmp_path: Path, name: str) -> None:
    assert_refused(forge(tmp_path, Entry(name)), "forbidden name")


def test_name_longer_than_a_file_system_takes_is_refused(tmp_path: Path) -> None:
    assert_refused(forge(tmp_path, Entry("ü" * 128 + ".py")), "too long")


def test_name_deeper_than_any_package_is_refused(tmp_path: Path) -> None:
    assert_refused(forge(tmp_path, Entry("a/" * 30_000 + "b.py")), "too deep")


def test_name_as_deep_as_is_allowed_is_unpacked(tmp_path: Path) -> None:
    name = "a/" * (MAX_DEPTH - 1) + "b.py"
    unpack(str(forge(tmp_path, Entry(name))), FILENAME, str(tmp_path / "target"))
    assert (tmp_path / "target/site-packages" / name).read_bytes() == b"content\n"


def test_duplicate_member_is_refused(tmp_path: Path) -> None:
    path = forge(tmp_path, Entry("tiny.py"), Entry("tiny.py", b"other\n"))
    assert_refused(path, r"holds 'tiny\.py' twice")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tiny.py", "tiny-1.0.data/purelib/tiny.py"),
        ("tiny-1.0.data/platlib/tiny.py", "tiny-1.0.data/purelib/tiny.py"),
    ],
)
def test_two_members_for_one_place_are_refused(tmp_path: Path, one: str, other: str) -> None:
    assert_refused(forge(tmp_path, Entry(one), Entry(other)), "two files in one place")


@pytest.mark.parametrize(
    ("one", "other"),
    [("pkg", "pkg/tiny.py"), ("pkg/tiny.py", "tiny-1.0.data/purelib/pkg")],
)
def test_file_and_folder_of_one_name_are_refused(tmp_path: Path, one: str, other: str) -> None:
    assert_refused(forge(tmp_path, Entry(one), Entry(other)), "a file and a folder in one place")


@pytest.mark.parametrize("target", [b"tiny.py", b"../../../etc/passwd", b"/etc/passwd"])
def test_symlinks_are_refused_wherever_they_point(tmp_path: Path, target: bytes) -> None:
    path = forge(tmp_path, Entry("tiny.py"), Entry("link", target, stat.S_IFLNK | 0o777))
    assert_refused(path, "holds a symlink: 'link'")


@pytest.mark.parametrize(
    "kind",
    [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK],
    ids=["fifo", "chr", "blk", "sock"],
)
def test_devices_fifos_and_sockets_are_refused(tmp_path: Path, kind: int) -> None:
    path = forge(tmp_path, Entry("thing", b"", kind | 0o644))
    assert_refused(path, "'thing', which is neither file nor folder")


@pytest.mark.parametrize("bit", [stat.S_ISUID, stat.S_ISGID])
def test_setuid_and_setgid_bits_are_refused(tmp_path: Path, bit: int) -> None:
    path = forge(tmp_path, Entry("tool", mode=stat.S_IFREG | bit | 0o755))
    assert_refused(path, "setuid or setgid bit on 'tool'")


def test_encrypted_member_is_refused(tmp_path: Path) -> None:
    def encrypt(info: zipfile.ZipInfo) -> None:
        info.flag_bits |= 1

    assert_refused(forge(tmp_path, Entry("secret.py", twist=encrypt)), "encrypted member")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_than_deflate_are_refused(tmp_path: Path, method: int) -> None:
    assert_refused(forge(tmp_path, Entry("tiny.py", method=method)), "other than deflate")


def test_unknown_compression_is_refused(tmp_path: Path) -> None:
    def unknown(info: zipfile.ZipInfo) -> None:
        info.compress_type = 93

    assert_refused(forge(tmp_path, Entry("tiny.py", twist=unknown)), "other than deflate")


def resized(change: int) -> Callable[[zipfile.ZipInfo], None]:
    def twist(info: zipfile.ZipInfo) -> None:
        info.file_size += change

    return twist


@pytest.mark.parametrize("change", [-1, 1, 1000])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_member_of_another_size_than_it_claims_is_refused(
    tmp_path: Path, change: int, method: int
) -> None:
    entry = Entry("tiny.py", b"x" * 5000, method=method, twist=resized(change))
    assert_refused(forge(tmp_path, entry), "bytes it claims")


def test_claim_that_no_deflate_can_keep_is_refused_unread(tmp_path: Path) -> None:
    path = forge(tmp_path, Entry("tiny.py", twist=resized(1 << 31)))
    assert_refused(path, "which cannot be")


@pytest.fixture(params=["whole", "in pieces"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "whole":
        monkeypatch.setattr(wheel_module, "_WHOLE", 0)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.usefixtures("either_way")
def test_large_member_is_read_in_pieces(tmp_path: Path, method: int) -> None:
    large = random.Random(1).randbytes(2 * CHUNK + 12345)
    path = forge(tmp_path, Entry("large", large, method=method))
    with Wheel(str(path), FILENAME) as wheel:
        member = next(member for member in wheel.members if member.name == "large")
        pieces = list(wheel.read(member))
    assert b"".join(pieces) == large
    assert max(map(len, pieces)) <= CHUNK


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_large_member_of_another_size_than_it_claims_is_refused(
    tmp_path: Path, change: int
) -> None:
    path = forge(tmp_path, Entry("large", b"x" * (CHUNK + 1), twist=resized(change)))
    with Wheel(str(path), FILENAME) as wheel:
        member = next(member for member in wheel.members if member.name == "large")
        with pytest.raises(WheelError, match="bytes it claims"):
            list(wheel.read(member))


@pytest.mark.usefixtures("either_way")
def test_bomb_that_claims_to_be_small_yields_nothing(tmp_path: Path) -> None:
    size = 3 * CHUNK
    path = forge(tmp_path, Entry("bomb", b"\0" * size, twist=resized(10 - size)))
    pieces: list[Data] = []
    with Wheel(str(path), FILENAME) as wheel:
        bomb = next(member for member in wheel.members if member.name == "bomb")
        with pytest.raises(WheelError, match="not the 10 bytes it claims"):
            pieces.extend(wheel.read(bomb))
    assert pieces == []


def test_member_whose_data_lies_beyond_the_end_is_refused(tmp_path: Path) -> None:
    def far(info: zipfile.ZipInfo) -> None:
        info.header_offset = 1 << 30

    assert_refused(forge(tmp_path, Entry("tiny.py", twist=far)), "has no local header|not a zip")


def test_member_whose_data_is_cut_off_is_refused(tmp_path: Path) -> None:
    def longer(info: zipfile.ZipInfo) -> None:
        info.compress_size = 1 << 20

    assert_refused(forge(tmp_path, Entry("tiny.py", twist=longer)), "is truncated")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_wheel_truncated_anywhere_is_refused(tmp_path: Path, method: int) -> None:
    whole = forge(tmp_path, Entry("tiny.py"), method=method).read_bytes()
    cut = tmp_path / "cut.whl"
    for length in range(0, len(whole), 7):
        cut.write_bytes(whole[:length])
        with pytest.raises(WheelError, match="is not a zip archive"):
            read_all(cut)


def test_wheel_with_its_front_cut_off_is_refused(tmp_path: Path) -> None:
    whole = forge(tmp_path, Entry("tiny.py")).read_bytes()
    cut = tmp_path / "cut.whl"
    for start in range(1, len(whole), 7):
        cut.write_bytes(whole[start:])
        with pytest.raises(WheelError):
            read_all(cut)


def test_something_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILENAME
    path.write_text("<html>404</html>")
    assert_refused(path, "is not a zip archive")


def test_file_that_record_gives_another_hash_for_is_refused(tmp_path: Path) -> None:
    record = record_of([Entry("tiny.py", b"another\n")])
    record += "".join(
        f"{INFO}/{name},{digest(text.encode())},\n"
        for name, text in (("METADATA", METADATA), ("WHEEL", WHEEL))
    )
    path = forge(tmp_path, Entry("tiny.py"), texts={"RECORD": record})
    assert_refused(path, r"'tiny\.py' is not what RECORD says it is")


def test_file_that_record_names_and_the_wheel_lacks_is_refused(tmp_path: Path) -> None:
    path = forge(tmp_path, texts={"RECORD": record_of([Entry("nowhere.py")])})
    assert_refused(path, r"RECORD names files that are not there: 'nowhere\.py'")


def test_files_that_record_does_not_name_are_refused(tmp_path: Path) -> None:
    extra = [Entry(f"extra{number}.py") for number in range(5)]
    path = forge(tmp_path, *extra, texts={"RECORD": f"{INFO}/RECORD,,\n"})
    assert_refused(path, "RECORD gives no hash for .* and 4 more")


def test_file_that_record_names_without_a_hash_is_refused(tmp_path: Path) -> None:
    path = forge(tmp_path, Entry("tiny.py"), texts={"RECORD": "tiny.py,,\n"})
    assert_refused(path, "RECORD gives no hash for")


@pytest.mark.parametrize("algorithm", ["md5", "sha1"])
def test_weak_hash_in_record_is_refused(tmp_path: Path, algorithm: str) -> None:
    row = f"tiny.py,{digest(b'content', algorithm)},8\n"
    path = forge(tmp_path, Entry("tiny.py"), texts={"RECORD": row})
    assert_refused(path, f"RECORD uses '{algorithm}' for 'tiny.py'")


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_strong_hashes_in_record_are_accepted(tmp_path: Path, algorithm: str) -> None:
    contents = {"tiny.py": b"content\n", f"{INFO}/METADATA": METADATA.encode()}
    contents[f"{INFO}/WHEEL"] = WHEEL.encode()
    rows = [f"{name},{digest(content, algorithm)}," for name, content in contents.items()]
    path = forge(tmp_path, Entry("tiny.py"), texts={"RECORD": "\n".join(rows)})
    assert read_all(path)["tiny.py"] == b"content\n"


def test_record_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    path = forge(tmp_path, texts={"RECORD": '"tiny.py"x,sha256=,\n'})
    assert_refused(path, "RECORD cannot be read")


def test_signatures_need_no_row_in_record(tmp_path: Path) -> None:
    record = record_of([Entry("tiny.py")]) + "".join(
        f"{INFO}/{name},{digest(text.encode())},\n"
        for name, text in (("METADATA", METADATA), ("WHEEL", WHEEL))
    )
    texts = {"RECORD.jws": "{}", "RECORD": record}
    assert f"{INFO}/RECORD.jws" in read_all(forge(tmp_path, Entry("tiny.py"), texts=texts))


@pytest.mark.parametrize("name", ["METADATA", "WHEEL", "RECORD"])
def test_wheel_without_one_of_its_metadata_files_is_refused(tmp_path: Path, name: str) -> None:
    assert_refused(forge(tmp_path, texts={name: None}), f"lacks {INFO}/{name}")


def test_wheel_without_dist_info_is_refused(tmp_path: Path) -> None:
    path = forge(tmp_path, Entry("tiny.py"), info="tiny-1.0.egg-info")
    assert_refused(path, r"must have one \.dist-info folder, has 0")


def test_wheel_with_two_dist_infos_is_refused(tmp_path: Path) -> None:
    path = forge(tmp_path, Entry("other-1.0.dist-info/METADATA"))
    assert_refused(path, r"must have one \.dist-info folder, has 2")


@pytest.mark.parametrize("info", ["other-1.0.dist-info", "tiny-2.0.dist-info"])
def test_wheel_with_metadata_of_another_package_is_refused(tmp_path: Path, info: str) -> None:
    assert_refused(forge(tmp_path, info=info), "metadata of another package")


def test_dist_info_may_spell_the_name_differently(tmp_path: Path) -> None:
    path = forge(tmp_path, info="Tiny-1.0.dist-info", texts={"RECORD": None})
    assert_refused(path, r"lacks Tiny-1\.0\.dist-info/RECORD")


@pytest.mark.parametrize(("version", "shown"), [("2.0", "2.0"), ("10.0", "10.0"), ("", "unknown")])
def test_wheel_of_a_later_format_is_refused(tmp_path: Path, version: str, shown: str) -> None:
    path = forge(tmp_path, texts={"WHEEL": f"Wheel-Version: {version}\n"})
    assert_refused(path, f"is in wheel format {shown}")


@pytest.mark.parametrize("part", ["etc/passwd", "stdlib/os.py", "scripts"])
def test_unknown_install_scheme_is_refused(tmp_path: Path, part: str) -> None:
    assert_refused(forge(tmp_path, Entry(f"tiny-1.0.data/{part}")), "unknown install scheme")


def test_script_in_a_subfolder_is_refused(tmp_path: Path) -> None:
    path = forge(tmp_path, Entry("tiny-1.0.data/scripts/sub/run"))
    assert_refused(path, "has a script in a folder")


@pytest.mark.parametrize("name", ["METADATA", "WHEEL", "RECORD", "entry_points.txt"])
def test_metadata_that_is_not_utf8_is_refused(tmp_path: Path, name: str) -> None:
    latin = "Wheel-Version: 1.0\nAuthor: J\xfcrgen\n".encode("latin-1")
    assert_refused(forge(tmp_path, texts={name: latin}), f"{INFO}/{name} is not UTF-8")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("../run = tiny:main", "'../run' is no file name"),
        ("a/b = tiny:main", "'a/b' is no file name"),
        (".. = tiny:main", "'..' is no file name"),
        ("= tiny:main", "'' is no file name"),
        ("x" * 256 + " = tiny:main", "is no file name"),
        ("run = os:system;x", "refers to 'os:system;x'"),
        ("run = os", "refers to 'os'"),
        ("run = tiny:", "refers to 'tiny:'"),
        ("run = :main", "refers to ':main'"),
        ("run = tiny:main()", r"refers to 'tiny:main\(\)'"),
        ("run = ..tiny:main", "refers to"),
        ("run = ti ny:main", "refers to"),
        ("run =", "refers to ''"),
    ],
)
@pytest.mark.parametrize("group", ["console_scripts", "gui_scripts"])
def test_bad_entry_points_are_refused(tmp_path: Path, group: str, line: str, reason: str) -> None:
    path = forge(tmp_path, texts={"entry_points.txt": f"[{group}]\n{line}\n"})
    assert_refused(path, reason)


def test_entry_points_are_read_with_comments_extras_and_case(tmp_path: Path) -> None:
    text = """
# a comment
; another
[console_scripts]
Run-Me = tiny.cli:App.main [fast,safe]
plain=tiny:main
[other.group]
ignored = not/a:script!
"""
    path = forge(tmp_path, texts={"entry_points.txt": text})
    with Wheel(str(path), FILENAME) as wheel:
        assert wheel.entry_points("console_scripts") == (
            EntryPoint("Run-Me", "tiny.cli", "App.main"),
            EntryPoint("plain", "tiny", "main"),
        )
        assert wheel.entry_points("gui_scripts") == ()


@pytest.mark.parametrize(
    "tamper",
    [
        "absolute",
        "dotdot",
        "drive",
        "no-record",
        "record-extra",
        "record-hash",
        "record-missing",
        "setuid",
        "symlink",
        "truncated",
    ],
)
def test_every_tampered_wheel_of_the_index_is_refused(
    make_wheel: "MakeWheel", tamper: "Tamper"
) -> None:
    assert_refused(make_wheel("tiny", tamper=tamper), "RECORD|leads out|bit on|symlink|zip archive")
    assert not os.path.exists("/tmp/envtool-escaped.txt")


def tree_of(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def assert_recorded(site: Path) -> None:
    """Check every file against the RECORD it was unpacked with."""
    files = tree_of(site)
    info = next(name.split("/")[0] for name in files if name.endswith("/RECORD"))
    rows = [line.rsplit(",", 2) for line in files[f"{info}/RECORD"].decode().splitlines() if line]
    recorded = {name.strip('"').removeprefix("./"): value for name, value, _ in rows}
    for name, content in files.items():
        if name not in {f"{info}/RECORD", f"{info}/INSTALLER"}:
            assert recorded[name].rstrip("=") == digest(content, recorded[name].split("=")[0])


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    flips=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=4),
)
def test_flipped_bytes_give_a_refusal_or_what_record_says(
    tmp_path_factory: pytest.TempPathFactory, method: int, flips: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    path = forge(folder, Entry("pkg/tiny.py", b"x = 1\n" * 20, method=method), method=method)
    data = bytearray(path.read_bytes())
    for offset, change in flips:
        data[offset % len(data)] ^= change
    path.write_bytes(data)
    try:
        unpack(str(path), FILENAME, str(folder / "target"))
    except WheelError:
        assert set(os.listdir(folder)) <= {FILENAME, "target"}
    else:
        assert_recorded(folder / "target" / "site-packages")
