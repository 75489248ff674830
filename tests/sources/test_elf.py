"""What real and made-up ELF files say, with binutils as the judge; damage is None."""

import functools
import mmap
import os
import re
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envtool.sources.elf import Dynamic, Elf, Target, dynamic, read

LAYOUTS = [(wide, sign) for wide in (True, False) for sign in "<>"]


@dataclass(frozen=True)
class Compiled:
    """A library that needs another one."""

    folder: Path

    def library(self, *flags: str, name: str = "libone.so") -> Path:
        (self.folder / "one.c").write_text("int two(void); int one(void) { return two(); }\n")
        (self.folder / "two.c").write_text("int two(void) { return 2; }\n")
        link = ["gcc", "-shared", "-fPIC", "-nostdlib", *(f for f in flags if f.startswith("-m"))]
        two, one = self.folder / "libtwo.so", self.folder / name
        self._run([*link, "two.c", "-o", two, "-Wl,-soname,libtwo.so.2"])
        rest = [flag for flag in flags if not flag.startswith("-m")]
        self._run([*link, "one.c", two, "-o", one, *rest])
        return one

    def _run(self, command: Sequence[str | Path]) -> None:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def compiled(tmp_path: Path) -> Compiled:
    return Compiled(tmp_path)


def synthetic(
    wide: bool, sign: str, *, tags: Sequence[tuple[int, bytes]], end: bytes = b""
) -> bytes:
    """Return a file with one loaded segment that holds the dynamic section and its strings."""
    strings, entries = b"\0", []
    for tag, text in tags:
        entries.append((tag, len(strings)))
        strings += text + b"\0"
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if sign == "<" else 2, 1]) + b"\0" * 9
    header = struct.Struct(sign + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"))
    segment = struct.Struct(sign + ("IIQQQQQQ" if wide else "IIIIIIII"))
    entry = struct.Struct(sign + ("qQ" if wide else "iI"))
    base, first = 0x10000, 16 + header.size
    at = first + 2 * segment.size
    table = at + (len(entries) + 2) * entry.size
    size = table + len(strings)
    whole = [*entries, (5, base + table), (0, 0)]
    loads = [(1, 0, base, size), (2, at, base + at, len(whole) * entry.size)]
    data = ident + header.pack(3, 62, 1, 0, first, 0, 0, 0, segment.size, 2, 0, 0, 0)
    for kind, offset, address, length in loads:
        if wide:
            data += segment.pack(kind, 4, offset, address, address, length, length, 8)
        else:
            data += segment.pack(kind, offset, address, address, length, length, 4, 4)
    return data + b"".join(entry.pack(*each) for each in whole) + strings + end


@pytest.mark.parametrize(("wide", "sign"), LAYOUTS)
def test_every_class_and_byte_order_is_read(wide: bool, sign: str) -> None:
    tags = [(1, b"libc.so.6"), (14, b"libone.so.1"), (1, b"libm.so.6"), (29, b"$ORIGIN/../a:/b")]
    data = synthetic(wide, sign, tags=tags)
    said = Dynamic(
        needed=("libc.so.6", "libm.so.6"),
        soname="libone.so.1",
        rpath=(),
        runpath=("$ORIGIN/../a", "/b"),
    )
    assert dynamic(data) == said
    assert read(data) == Elf(Target(wide, sign == "<", 62), None, said, (), ())


def test_runpath_counts_and_rpath_beside_it_does_not() -> None:
    found = dynamic(synthetic(wide=True, sign="<", tags=[(15, b"/rpath"), (29, b"/runpath")]))
    assert found is not None
    assert found.search == ("/runpath",)


def test_empty_entries_of_a_search_path_are_dropped() -> None:
    found = dynamic(synthetic(wide=True, sign="<", tags=[(15, b":/a::")]))
    assert found is not None
    assert found.search == ("/a",)


def test_names_that_are_no_utf8_are_still_names() -> None:
    found = dynamic(synthetic(wide=True, sign="<", tags=[(1, b"lib\xff.so")]))
    assert found is not None
    assert found.needed == ("lib\ufffd.so",)


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"MZ" * 100, b"\x7fELF" + b"\0" * 60, b"#!/bin/sh"]
)
def test_what_is_no_elf_file_has_no_dynamic_section(data: bytes) -> None:
    assert dynamic(data) is None


def test_many_names_of_one_long_string_are_damage_not_memory() -> None:
    data = synthetic(wide=True, sign="<", tags=[(1, b"")], end=b"x" * (1 << 20))
    assert dynamic(data.replace(struct.pack("<qQ", 1, 1), struct.pack("<qQ", 1, 2))) is None


@pytest.mark.programs("gcc")
@pytest.mark.parametrize("dtags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_compiled_library_says_what_it_was_linked_with(compiled: Compiled, dtags: str) -> None:
    path = compiled.library(
        f"-Wl,{dtags}", "-Wl,-rpath,$ORIGIN/../two.libs:/usr/local/lib", "-Wl,-soname,libone.so.1"
    )
    folders = ("$ORIGIN/../two.libs", "/usr/local/lib")
    is_new = dtags == "--enable-new-dtags"
    found = dynamic(path.read_bytes())
    assert found == Dynamic(
        needed=("libtwo.so.2",),
        soname="libone.so.1",
        rpath=() if is_new else folders,
        runpath=folders if is_new else None,
    )
    assert found.search == folders


@pytest.mark.programs("gcc")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="gcc makes 32-bit code with -m32 there")
def test_compiled_32_bit_library_says_the_same(compiled: Compiled) -> None:
    found = dynamic(compiled.library("-m32", "-Wl,-rpath,$ORIGIN").read_bytes())
    assert found is not None
    assert (found.needed, found.soname, found.search) == (("libtwo.so.2",), None, ("$ORIGIN",))


@pytest.mark.programs("gcc")
def test_object_file_has_no_dynamic_section(compiled: Compiled) -> None:
    (compiled.folder / "a.c").write_text("int a;\n")
    subprocess.run(["gcc", "-c", "a.c", "-o", "a.o"], cwd=compiled.folder, check=True)
    assert dynamic((compiled.folder / "a.o").read_bytes()) is None


@pytest.mark.programs("gcc")
def test_memory_map_and_bytes_give_the_same(compiled: Compiled) -> None:
    path = compiled.library("-Wl,-rpath,$ORIGIN")
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert dynamic(mapped) == dynamic(path.read_bytes()) is not None


def real_libraries() -> list[str]:
    """Return the shared objects of the interpreter's standard library and those loaded now."""
    modules = (Path(os.__file__).parent / "lib-dynload").glob("*.so")
    lines = Path("/proc/self/maps").read_text().splitlines()
    loaded = {line.split()[-1] for line in lines if re.search(r"\.so[.\d]*$", line)}
    return sorted({*map(str, modules), *loaded})


@pytest.mark.programs("readelf")
def test_real_extension_modules_are_read_as_readelf_reads_them() -> None:
    libraries = real_libraries()
    command = ["readelf", "-dW", *libraries]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    parts = re.split(r"^File: ", shown, flags=re.MULTILINE)[1:]
    for path, part in zip(libraries, parts, strict=True):
        found = dynamic(Path(path).read_bytes())
        assert found is not None
        assert list(found.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", part)
        paths = re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", part)
        assert ":".join(found.search) == "".join(paths)


def versions_of_readelf(path: str) -> tuple[set[tuple[str, str]], set[str]]:
    """Return what readelf says that a file wants of others, and defines."""
    command = ["readelf", "-VW", path]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    needs = shown.partition("Version needs section")[2]
    wanted, library = set(), ""
    for file, name in re.findall(r"File: (\S+)  Cnt|  Name: (\S+)  Flags", needs):
        library = file or library
        if name:
            wanted.add((library, name))
    parts = shown.partition("Version definition section")[2].partition("Version needs section")[0]
    found = re.findall(r"Flags: (.*?)  Index.*?Name: (\S+)", parts)
    return wanted, {name for flags, name in found if "BASE" not in flags}


@pytest.mark.programs("readelf")
def test_versions_of_symbols_are_those_that_readelf_reads() -> None:
    libraries = real_libraries()
    assert any(re.search(r"/libc\.so\.6$", path) for path in libraries)
    for path in libraries:
        found = read(Path(path).read_bytes())
        assert found is not None
        wanted = {(each.library, each.version) for each in found.wanted}
        assert (wanted, set(found.defined)) == versions_of_readelf(path), path


def test_a_program_asks_for_a_loader_and_a_library_does_not() -> None:
    program = read(Path("/bin/sh").resolve().read_bytes())
    library = read(Path(real_libraries()[0]).read_bytes())
    assert program is not None
    assert library is not None
    assert program.is_program
    assert program.interpreter is not None
    assert os.path.exists(program.interpreter)
    assert not library.is_program
    assert program.target == library.target
    assert {each.version for each in program.wanted if each.library == "libc.so.6"}


@pytest.mark.programs("readelf")
@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\xff\xff"])),
        min_size=1,
        max_size=4,
    )
)
def test_damage_to_versions_never_raises_and_costs_no_memory(
    changes: list[tuple[int, bytes]],
) -> None:
    data = bytearray(Path("/bin/sh").resolve().read_bytes())
    start = versions_start()
    for offset, change in changes:
        at = start + offset % 400
        data[at : at + len(change)] = change
    found = read(bytes(data))
    assert found is None or len(found.wanted) <= 4096


@functools.cache
def versions_start() -> int:
    """Return where the versions that /bin/sh wants stand in it."""
    command = ["readelf", "-SW", "/bin/sh"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\.gnu\.version_r +VERNEED +\w+ (\w+)", shown)
    assert found is not None
    return int(found[1], 16)


def mapped(data: bytes, folder: Path) -> Dynamic | None:
    path = folder / "damaged.so"
    path.write_bytes(data)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m:
        return dynamic(m)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    layout=st.sampled_from(LAYOUTS),
    changes=st.lists(
        st.tuples(
            st.integers(0, 400),
            st.sampled_from([b"\0" * 4, b"\xff" * 8, b"\xff", b"\x7f" + b"\xff" * 7, b"\x80"]),
        ),
        min_size=1,
        max_size=6,
    ),
    length=st.integers(1, 400),
)
def test_damage_anywhere_never_raises(
    tmp_path: Path, layout: tuple[bool, str], changes: list[tuple[int, bytes]], length: int
) -> None:
    tags = [(1, b"libc.so.6"), (14, b"libone.so.1"), (29, b"$ORIGIN/../a:/b")]
    data = bytearray(synthetic(*layout, tags=tags))
    for offset, change in changes:
        at = offset % len(data)
        data[at : at + len(change)] = change
    for damaged in (bytes(data), bytes(data[:length])):
        found = dynamic(damaged)
        assert found is None or isinstance(found, Dynamic)
        assert mapped(damaged, tmp_path) == found


@pytest.mark.parametrize("field", ["program headers", "section", "load offset", "strings"])
@pytest.mark.parametrize("value", [2**63, 2**64 - 1])
def test_offsets_beyond_any_file_are_damage(tmp_path: Path, field: str, value: int) -> None:
    data = synthetic(wide=True, sign="<", tags=[(1, b"libc.so.6")])
    at = {"program headers": 32, "section": 64 + 56 + 8, "load offset": 64 + 8, "strings": 0}[field]
    if field == "strings":
        at = data.index(struct.pack("<qQ", 1, 1)) + 8
    damaged = data[:at] + struct.pack("<Q", value) + data[at + 8 :]
    assert dynamic(damaged) is None
    assert mapped(damaged, tmp_path) is None
