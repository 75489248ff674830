"""Stanzas, and what is made of them: Release files, apt's sources, libraries of Contents."""

from email.utils import parsedate_to_datetime

import pytest

from envtool.errors import FormatError
from envtool.formats.debian.apt import parse_list, parse_sources
from envtool.formats.debian.contents import Library, libraries, programs
from envtool.formats.debian.control import parse_stanza, parse_stanzas
from envtool.formats.debian.release import Listed, parse, timestamp

HASH = "9e0b5aabb2465b3d2e7a7fe27f9913846277833f7a2826e7767acccff5b588c5"
RELEASE = f"""Origin: Debian
Suite: oldstable
Codename: bookworm
Version: 12.15
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Acquire-By-Hash: yes
Architectures: all amd64
Components: updates/main updates/contrib
MD5Sum:
 0d1c2b3a49586776859483726150abcd 1 main/binary-amd64/Packages.xz
SHA256:
 {HASH}  8790396 main/binary-amd64/Packages.xz
"""


def test_continued_lines_stay_lines() -> None:
    text = "Package: a\nDescription: short\n long\n .\n  more\n\n\nPACKAGE: b\n"
    assert list(parse_stanzas(text)) == [
        {"package": "a", "description": "short\nlong\n.\n more"},
        {"package": "b"},
    ]


def test_comments_are_left_out_between_lines_of_a_field() -> None:
    assert parse_stanza("# of apt\nTypes: deb\nURIs: a\n# b\n c\n") == {
        "types": "deb",
        "uris": "a\nc",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a line\n", "f:1: 'a line' is not 'Field: value'"),
        (" goes on\n", "f:1: goes on with a field, but none has begun"),
        ("A: 1\nB: 2\na: 3\n", "f:3: the field 'a' stands here twice"),
        ("-----BEGIN: x\n", "f:1: .*is not 'Field: value'"),
        ("A: 1\n\nB: 2\n", "f: has 2 stanzas"),
    ],
)
def test_what_is_no_stanza_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        parse_stanza(text, "f")


def test_a_release_file_vouches_for_its_indices() -> None:
    release = parse(RELEASE)
    assert (release.suite, release.codename, release.version) == ("oldstable", "bookworm", "12.15")
    assert release.by_hash
    assert release.components == ("main", "contrib")
    listed = Listed("main/binary-amd64/Packages.xz", HASH, 8790396)
    assert release.find("main/binary-amd64/Packages", (".gz", ".xz")) == listed
    assert release.find("main/binary-arm64/Packages", (".xz", "")) is None


def test_its_times_are_seconds_and_go_back_to_text() -> None:
    release = parse(RELEASE)
    assert timestamp(release.date) == "20260711T101637Z"
    assert release.valid_until == release.date + 7 * 86400
    assert parse(RELEASE.replace("Valid-Until", "X")).valid_until is None


@pytest.mark.parametrize(
    "text",
    [
        "Sat, 1 Aug 2026 00:30:00 +0000",
        "1 Aug 2026 00:30:00 GMT",
        "Fri, 31 Jul 2026 18:00:00 -0630",
    ],
)
def test_times_are_those_of_mails(text: str) -> None:
    release = parse(RELEASE.replace("Sat, 11 Jul 2026 10:16:37 UTC", text))
    assert timestamp(release.date) == "20260801T003000Z"
    assert release.date == parsedate_to_datetime(text).timestamp()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Date: Sat, 11 Jul", "Date: soon,", "Date is .* no date"),
        ("Date: Sat, 11 Jul", "Date: Sat, 31 Jun", "Date is .* no date"),
        ("Date: Sat, 11 Jul", "Date: Sat, 11 Foo", "Date is .* no date"),
        ("Date:", "Dated:", "Date is ''"),
        ("SHA256:", "SHA1:", "no SHA256 table"),
        (HASH, HASH[1:], "no line of a SHA256 table"),
        ("  8790396 main/", "  8790396 ../main/", "no line of a SHA256 table"),
        ("  8790396 main/", "  8790396 /main/", "no line of a SHA256 table"),
        ("Suite: oldstable\nCodename: bookworm\n", "", "neither Suite nor Codename"),
    ],
)
def test_a_release_file_that_lacks_something_is_refused(old: str, new: str, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        parse(RELEASE.replace(old, new))


def test_lines_of_apt_are_sources() -> None:
    text = """# deb http://old/debian buster main
deb http://mirror.example/debian/ bookworm main contrib # ours
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64,arm64 signed-by=/k.gpg] https://other.example/debian-security trixie-security main
deb file:/srv/flat ./
nonsense
"""
    first, second, flat = parse_list(text)
    assert (first.uri, first.suites) == ("http://mirror.example/debian", ("bookworm",))
    assert first.components == ("main", "contrib")
    assert second.architectures == ("amd64", "arm64")
    assert second.signed_by == ("/k.gpg",)
    assert (flat.uri, flat.suites, flat.components) == ("file:/srv/flat", ("./",), ())


def test_stanzas_of_apt_are_sources() -> None:
    text = """Types: deb deb-src
URIs: http://a.example/debian http://b.example/debian/
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://c.example/debian
Suites: sid

Types: deb-src
URIs: http://d.example/debian
Suites: sid

Types: deb
URIs: http://e.example/debian
Suites: sid
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDME
"""
    a, b, e = parse_sources(text)
    assert [a.uri, b.uri, e.uri] == [f"http://{x}.example/debian" for x in "abe"]
    assert a.suites == ("trixie", "trixie-updates")
    assert a.signed_by == ("/usr/share/keyrings/debian-archive-keyring.gpg",)
    assert e.signed_by == ()


def test_libraries_are_those_of_the_loaders_folders() -> None:
    lines = b"""bin/bash                                  shells/bash
lib/x86_64-linux-gnu/libc.so.6                          libs/libc6
usr/lib/x86_64-linux-gnu/libGL.so.1                     libs/libgl1,contrib/x11/other-gl
usr/lib/x86_64-linux-gnu/blas/libblas.so.3              libs/libblas3
usr/lib/x86_64-linux-gnu/gtk-3.0/modules/deep.so        x/y
usr/lib/x86_64-linux-gnu/perl/auto.so                   x/y
usr/lib/i386-linux-gnu/libGL.so.1                       libs/libgl1
usr/lib32/libgomp.so.1                                  libs/lib32gomp1
usr/lib/libalone.so.2.0                                 libs/alone
usr/lib/python3/dist-packages/a.so                      python/a
usr/share/doc/a file.so notes                           doc/a
usr/lib/x86_64-linux-gnu/libz.a                         libdevel/z
"""
    triplet = "usr/lib/x86_64-linux-gnu"
    assert list(libraries(lines, "x86_64-linux-gnu")) == [
        Library("libc.so.6", "lib/x86_64-linux-gnu/libc.so.6", "libc6"),
        Library("libGL.so.1", f"{triplet}/libGL.so.1", "libgl1"),
        Library("libGL.so.1", f"{triplet}/libGL.so.1", "other-gl"),
        Library("libblas.so.3", f"{triplet}/blas/libblas.so.3", "libblas3"),
        Library("libalone.so.2.0", "usr/lib/libalone.so.2.0", "alone"),
    ]


def test_programs_are_those_of_the_folders_of_programs() -> None:
    lines = b"""bin/bash                                  shells/bash
usr/bin/dot                               graphics/graphviz,contrib/x11/other
usr/sbin/chroot                           admin/coreutils
usr/games/sl                              games/sl
usr/lib/git-core/git-add                  vcs/git
usr/share/bin/none                        x/y
"""
    assert list(programs(lines)) == [
        Library("bash", "bin/bash", "bash"),
        Library("dot", "usr/bin/dot", "graphviz"),
        Library("dot", "usr/bin/dot", "other"),
        Library("chroot", "usr/sbin/chroot", "coreutils"),
        Library("sl", "usr/games/sl", "sl"),
    ]
