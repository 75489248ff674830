"""Packages as an index describes them, and as a lock pins them."""

import pytest

from envtool.errors import FormatError
from envtool.formats.debian.package import (
    Origin,
    Package,
    pin,
    read,
    read_locked,
    render_locked,
)
from envtool.formats.debian.relations import Relation

ORIGIN = Origin("debian", "bookworm", "main")
STANZA = """Package: libgl1
Source: libglvnd
Version: 1.6.0-1
Installed-Size: 569
Architecture: amd64
Provides: libgl1-virtual (= 1.6.0-1), gl
Pre-Depends: dpkg (>= 1.17)
Depends: libc6 (>= 2.34), libglx0 (= 1.6.0-1) | gl-vendor
Breaks: libgl1-mesa-glx (<< 18)
Conflicts: old-gl
Description: Vendor neutral GL dispatch library
Priority: optional
Filename: pool/main/libg/libglvnd/libgl1_1.6.0-1_amd64.deb
Size: 88408
SHA256: 9e0b5aabb2465b3d2e7a7fe27f9913846277833f7a2826e7767acccff5b588c5
"""


def package() -> Package:
    return read(STANZA, ORIGIN)


def test_a_stanza_is_a_package() -> None:
    found = package()
    assert str(found) == "libgl1 1.6.0-1"
    assert [[each.name for each in group] for group in found.depends] == [
        ["dpkg"],
        ["libc6"],
        ["libglx0", "gl-vendor"],
    ]
    assert [each.name for each in found.conflicts] == ["old-gl", "libgl1-mesa-glx"]
    assert found.provides == (Relation("libgl1-virtual", None, "=", "1.6.0-1"), Relation("gl"))
    assert (found.size, found.unpacked, found.essential) == (88408, 569 * 1024, False)
    assert found.summary == "Vendor neutral GL dispatch library"


def test_a_locked_package_says_where_and_when() -> None:
    locked = pin(package(), "20260711T101637Z")
    assert locked.filename == "libgl1_1.6.0-1_amd64.deb"
    assert (locked.archive, locked.suite, locked.component) == ("debian", "bookworm", "main")
    assert locked.timestamp == "20260711T101637Z"


@pytest.mark.parametrize(
    ("version", "source", "kept", "told"),
    [
        ("1.6.0-1", "libglvnd", "", ("libglvnd", "1.6.0-1")),
        ("1.6.0-1+b2", "libglvnd (1.6.0-1)", "", ("libglvnd", "1.6.0-1")),
        ("4:1.6.0-1", "libglvnd (1.7)", "libglvnd 1.7", ("libglvnd", "1.7")),
        ("1.6.0-1", "other", "other 1.6.0-1", ("other", "1.6.0-1")),
        ("1.6.0-1", "no such (form", "libgl1 1.6.0-1", ("libgl1", "1.6.0-1")),
    ],
)
def test_a_locked_package_knows_what_it_was_built_from(
    version: str, source: str, kept: str, told: tuple[str, str]
) -> None:
    text = STANZA.replace("Version: 1.6.0-1", f"Version: {version}")
    locked = pin(
        read(text.replace("Source: libglvnd", f"Source: {source}"), ORIGIN), "20260711T101637Z"
    )
    assert locked.source == kept
    assert (locked.source_name, locked.source_version) == told
    assert read_locked(render_locked(locked)) == locked


def test_a_package_without_a_source_is_its_own() -> None:
    text = STANZA.replace("Source: libglvnd\n", "").replace("libg/libglvnd/", "")
    locked = pin(read(text, ORIGIN), "20260711T101637Z")
    assert (locked.source_name, locked.source_version) == ("libgl1", "1.6.0-1")
    with pytest.raises(FormatError, match="source is 'one', which is not its form"):
        read_locked({**render_locked(locked), "source": "one"})


def test_a_locked_package_comes_back_from_its_table() -> None:
    locked = pin(package(), "20260711T101637Z")
    assert read_locked(render_locked(locked)) == locked


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Package: libgl1", "Package: ../gl", "Package is '../gl'"),
        ("SHA256: 9e", "SHA256: 9E", "libgl1: Sha256 is"),
        ("Size: 88408", "Size: -1", "libgl1: Size is '-1'"),
        ("Filename: pool", "Filename: /pool", "Filename is '/pool"),
        ("Filename: pool", "Filename: ../pool", "leads out of the archive"),
        ("Version: 1.6.0-1", "Version: 1 2", "'1 2' is not a Debian version"),
        ("Depends: libc6", "Depends: lib c6", "libgl1 of bookworm/main: 'lib c6"),
    ],
)
def test_a_stanza_that_is_no_package_is_refused(old: str, new: str, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        read(STANZA.replace(old, new, 1), ORIGIN)


def test_every_fault_of_a_locked_package_is_told() -> None:
    table = render_locked(pin(package(), "20260711T101637Z"))
    table |= {"size": "88408", "path": "pool/../../x.deb", "timestamp": "yesterday"}
    del table["sha256"]
    with pytest.raises(FormatError) as caught:
        read_locked(table)
    assert caught.value.message.splitlines() == [
        "libgl1: size is '88408', which is not its form",
        "libgl1: sha256 is missing",
        "libgl1: path is 'pool/../../x.deb', which is not its form",
        "libgl1: timestamp is 'yesterday', which is not its form",
    ]
