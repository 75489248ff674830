"""One folder of the libraries of several unpacked .debs."""

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.build.closed.libraries import join_libraries
from envtool.errors import BuildError
from envtool.sources.elf import dynamic

if TYPE_CHECKING:
    from build.closed.conftest import Unpacked

MULTIARCH = "x86_64-linux-gnu"
LIB = f"usr/lib/{MULTIARCH}"


def joined(target: Path) -> dict[str, str]:
    """Return the places below the folder, with the targets of links."""
    found = {}
    for above, folders, files in os.walk(target / "lib"):
        for name in (*folders, *files):
            path = Path(above) / name
            if path.is_symlink() or path.is_file():
                place = path.relative_to(target / "lib").as_posix()
                found[place] = os.readlink(path) if path.is_symlink() else ""
    return found


def test_libraries_of_all_packages_lie_in_one_folder(tmp_path: Path, unpacked: "Unpacked") -> None:
    one = unpacked(
        "one",
        f"{LIB}/libone.so.1.2",
        f"{LIB}/libone.a",
        f"{LIB}/pkgconfig/one.pc",
        f"{LIB}/one-1/plugins/p.so",
        "usr/share/doc/one/copyright",
        "usr/bin/one",
        links={f"{LIB}/libone.so.1": "libone.so.1.2", f"{LIB}/alt.so.1": "/etc/alternatives/x"},
    )
    two = unpacked(
        "two",
        f"lib/{MULTIARCH}/libtwo.so.2",
        "usr/lib/libthree.so.3",
        "usr/lib/other/libfour.so.4",
        links={f"lib/{MULTIARCH}/libgone.so.1": "../../share/gone"},
    )
    join_libraries([one, two], str(tmp_path / "out"), MULTIARCH)
    assert joined(tmp_path / "out") == {
        "libone.so.1": "libone.so.1.2",
        "libone.so.1.2": "",
        "one-1/plugins/p.so": "",
        "libtwo.so.2": "",
        "libthree.so.3": "",
    }
    shared = os.stat(tmp_path / "out/lib/libtwo.so.2")
    assert shared.st_ino == os.stat(f"{two}/lib/{MULTIARCH}/libtwo.so.2").st_ino


def test_two_packages_with_different_files_at_one_place_are_refused(
    tmp_path: Path, unpacked: "Unpacked"
) -> None:
    trees = [unpacked(name, f"{LIB}/libone.so.1") for name in ("one", "two")]
    join_libraries(trees, str(tmp_path / "same"), MULTIARCH)
    (tmp_path / "two" / LIB / "libone.so.1").write_text("another")
    with pytest.raises(BuildError, match=r"different libraries libone\.so\.1"):
        join_libraries(trees, str(tmp_path / "out"), MULTIARCH)


@pytest.mark.programs("gcc")
def test_alternatives_are_reached_and_paths_of_the_host_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "one" / LIB
    for place, soname in (("blas/libblas.so.3", "libblas.so.3"), ("libtop.so.1", "libtop.so.1")):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        search = f"-Wl,-rpath,/usr/lib/{MULTIARCH}/blas"
        base = ["gcc", "-shared", "-nostdlib", "-xc", "/dev/null", f"-Wl,-soname,{soname}"]
        subprocess.run([*base, search, "-o", path], check=True)
    (folder / "blas/libplugin.so").write_bytes((folder / "blas/libblas.so.3").read_bytes())
    join_libraries([str(tmp_path / "one")], str(tmp_path / "out"), MULTIARCH)
    places = joined(tmp_path / "out")
    assert places["libblas.so.3"] == "blas/libblas.so.3"
    assert "libplugin.so" not in places
    for place in ("libtop.so.1", "blas/libblas.so.3"):
        found = dynamic((tmp_path / "out/lib" / place).read_bytes())
        assert found is not None
        assert found.search == ()
