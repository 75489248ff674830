"""Damaged input of every kind: what comes out is right, or an error of ours, and nothing else."""

import io
import lzma
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envtool.errors import EnvtoolError
from envtool.formats.debian import apt, contents, control, package, relations, release, version
from envtool.machine.metadata import delete_tree
from envtool.sources.deb import Deb
from envtool.sources.debian.signature import archive_keys, read_keys, verify, verify_detached

ORIGIN = package.Origin("debian", "tested", "main")
DIGEST = "0" * 64
RELEASE = f"""Origin: Debian
Suite: stable
Codename: tested
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Acquire-By-Hash: yes
Architectures: all amd64
Components: main updates/contrib
SHA256:
 {DIGEST} 1234 main/binary-amd64/Packages.xz
"""
STANZA = f"""Package: tool
Version: 1:2.3~rc1-4+b1
Architecture: amd64
Installed-Size: 12
Pre-Depends: libc6 (>= 2.34)
Depends: a | b:any (<< 3~), c [amd64 !i386] <!nocheck>
Conflicts: d
Breaks: e (= 1)
Provides: f (= 2), g
Description: what it is
 and more
Filename: pool/main/t/tool/tool_2.3_amd64.deb
Size: 1000
SHA256: {DIGEST}
"""
LIST = "deb [arch=amd64 signed-by=/a.gpg] http://one.example/debian tested main # why\n"
SOURCES = "Types: deb\nURIs: http://a.example/debian\nSuites: tested\nSigned-By:\n a\n .\n b\n"
CONTENTS = (
    b"usr/lib/x86_64-linux-gnu/libz.so.1   libs/zlib1g,x/y\nusr/bin/dot   graphics/graphviz\n"
)

READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "control": (STANZA, lambda text: list(control.parse_stanzas(text))),
    "package": (STANZA, lambda text: package.read(text, ORIGIN)),
    "release": (RELEASE, release.parse),
    "relations": ("a | b:any (<< 3~), c [amd64 !i386] <!nocheck>", relations.parse),
    "version": ("1:2.3~rc1-4+b1", version.key),
    "apt line": (LIST, apt.parse_list),
    "apt stanza": (SOURCES, apt.parse_sources),
    "contents": (
        CONTENTS.decode(),
        lambda text: [
            *contents.libraries(text.encode("utf-8", "surrogateescape"), "x86_64-linux-gnu"),
            *contents.programs(text.encode("utf-8", "surrogateescape")),
        ],
    ),
}


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """Cut pieces out of a text, put others in, and change characters."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        gone = draw(st.integers(0, 30))
        put = draw(st.one_of(st.text(max_size=8), st.sampled_from(PIECES)))
        text = text[:at] + put + text[at + gone :]
    return text


PIECES = [
    "\n",
    "\n\n",
    ": ",
    "\t",
    "\0",
    "..",
    "/",
    "%00",
    "9" * 50,
    "9" * 5000,
    "-1",
    "~",
    "(",
    "\u0660",
    "\ud800",
]


@pytest.mark.parametrize("name", READERS)
def test_damaged_text_is_read_or_refused(name: str) -> None:
    whole, read = READERS[name]
    assert read(whole)

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(damaged(whole))
    def check(text: str) -> None:
        outcome(lambda: read(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")))

    check()


def outcome(read: Callable[[], object]) -> str:
    """Return how it ended; whatever is no error of ours goes up."""
    try:
        read()
    except EnvtoolError:
        return "refused"
    return "read"


@given(st.dictionaries(st.text(max_size=10), st.one_of(st.none(), st.integers(), st.text())))
def test_a_damaged_table_of_a_lock_is_refused(table: dict[str, object]) -> None:
    assert outcome(lambda: package.read_locked(table)) == "refused"


def altered(data: bytes, seed: int) -> bytes:
    """Return bytes of which some are changed, gone or new."""
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(changed) + 1)
        put = chance.randbytes(chance.randint(0, 8))
        changed[at : at + chance.randint(0, 8)] = put
    return bytes(changed)


def small_deb() -> bytes:
    parts = []
    for name in ("control", "data"):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            text = b"Package: tiny\nVersion: 1\nArchitecture: all\n"
            info = tarfile.TarInfo("./control" if name == "control" else "./usr/share/tiny")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
            link = tarfile.TarInfo("./usr/link")
            link.type, link.linkname = tarfile.SYMTYPE, "share"
            archive.addfile(link)
        parts.append((f"{name}.tar", stream.getvalue()))
    members = [("debian-binary", b"2.0\n"), *parts]
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        + data
        + b"\n" * (len(data) % 2)
        for name, data in members
    )


@pytest.mark.parametrize("ending", ["", ".xz"])
def test_a_damaged_deb_is_unpacked_inside_or_refused(tmp_path: Path, ending: str) -> None:
    whole = small_deb()
    if ending:
        at = whole.index(b"data.tar")
        data = lzma.compress(whole[at + 60 :])
        head = f"{'data.tar.xz':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        whole = whole[:at] + head + data
    place, target = tmp_path / "tiny.deb", tmp_path / "out"

    def unpack() -> None:
        with Deb(str(place), "tiny.deb") as opened:
            opened.unpack(str(target))

    place.write_bytes(whole)
    assert outcome(unpack) == "read"
    seen = set()
    for seed in range(200):
        delete_tree(str(target))
        place.write_bytes(altered(whole, seed))
        seen.add(outcome(unpack))
        assert {path.name for path in tmp_path.iterdir()} <= {"tiny.deb", "out"}
    assert seen == {"read", "refused"}
    delete_tree(str(target))


def test_damaged_signatures_and_keys_are_refused(tmp_path: Path) -> None:
    keys = archive_keys()
    whole = next(iter(sorted((Path(__file__).parent / "vectors").glob("*.asc")))).read_bytes()
    for seed in range(60):
        message = altered(whole, seed)
        outcome(lambda message=message: verify(message, keys, "it", now=1))  # type: ignore[misc]
        outcome(
            lambda message=message: verify_detached(b"text", message, keys, "it", now=1)  # type: ignore[misc]
        )
    own = sorted((Path(read_keys.__code__.co_filename).parent / "keys").glob("*.pgp"))[2]
    copy = tmp_path / "key.pgp"
    shutil.copy(own, copy)
    assert outcome(lambda: read_keys(str(copy))) == "read"
    for seed in range(100):
        copy.write_bytes(altered(own.read_bytes(), seed))
        outcome(lambda: read_keys(str(copy)))
