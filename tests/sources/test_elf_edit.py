"""Search paths of ELF files, changed in place, with the real loader and binutils as judges."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from envtool.sources.elf import Dynamic, dynamic
from envtool.sources.elf_edit import inheriting, without_search

pytestmark = pytest.mark.programs("gcc", "readelf")
RUNPATH, RPATH = "-Wl,--enable-new-dtags,-rpath,", "-Wl,--disable-new-dtags,-rpath,"


def library(path: Path, *flags: str | Path, soname: str | None = None) -> Path:
    """Compile an empty library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = [f"-Wl,-soname,{soname}"] if soname else []
    command = ["gcc", "-shared", "-nostdlib", "-Wl,--no-as-needed", "-xc", "/dev/null", "-xnone"]
    subprocess.run([*command, *own, *flags, "-o", path], check=True)
    return path


def said(path: Path) -> Dynamic:
    found = dynamic(path.read_bytes())
    assert found is not None
    return found


def readelf(path: Path) -> list[str]:
    command = ["readelf", "-dW", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.findall(r"\((RPATH|RUNPATH)\)", shown)


def loads(path: Path) -> bool:
    code = f"import ctypes; ctypes.CDLL({str(path)!r})"
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("machine", [[], ["-m32"]])
def test_a_runpath_becomes_an_rpath(tmp_path: Path, machine: list[str]) -> None:
    path = library(tmp_path / "a.so", f"{RUNPATH}$ORIGIN/x:/y", *machine)
    before = path.read_bytes()
    path.write_bytes(inheriting(before))
    assert readelf(path) == ["RPATH"]
    assert (said(path).rpath, said(path).runpath) == (("$ORIGIN/x", "/y"), None)
    changed = [i for i, (a, b) in enumerate(zip(before, path.read_bytes(), strict=True)) if a != b]
    assert len(changed) == 1


def test_who_has_one_finds_what_the_one_that_loads_it_finds(tmp_path: Path) -> None:
    far = library(tmp_path / "far/libfar.so.1", soname="libfar.so.1")
    near = library(tmp_path / "near/libnear.so.1", f"{RUNPATH}/nowhere", far, soname="libnear.so.1")
    top = library(tmp_path / "top.so", f"{RPATH}$ORIGIN/near:$ORIGIN/far", near, "-L", far.parent)
    assert not loads(top)
    near.write_bytes(inheriting(near.read_bytes()))
    assert loads(top)


def test_without_search_nothing_is_looked_for(tmp_path: Path) -> None:
    for flag in (RPATH, RUNPATH):
        path = library(tmp_path / "a.so", f"{flag}/usr/lib/private", soname="liba.so.1")
        path.write_bytes(without_search(path.read_bytes()))
        assert readelf(path) == []
        assert (said(path).rpath, said(path).runpath) == ((), None)
        assert said(path).soname == "liba.so.1"
        assert loads(path)


@pytest.mark.parametrize("data", [b"", b"text", b"\x7fELF", b"\x7fELF" + b"\2\1" + b"\xff" * 90])
def test_what_has_no_search_path_stays_as_it_is(data: bytes) -> None:
    assert inheriting(data) is data
    assert without_search(data) is data


def test_an_rpath_alone_stays(tmp_path: Path) -> None:
    data = library(tmp_path / "a.so", f"{RPATH}/x").read_bytes()
    assert inheriting(data) is data
