"""The host's GPU driver, played by libraries compiled here, is let through when asked for."""

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.machine.metadata import delete_tree

if TYPE_CHECKING:
    from cli.closed.conftest import Proof
    from cli.conftest import Place, Run

GPU = "\n[gpu]\nhost-drivers = true\n"
NAMES = ("libcuda.so.1", "libnvidia-ml.so.1", "libGLX_nvidia.so.0", "libother.so.1")
TRY = """
import ctypes
for name in ("libcuda.so.1", "libnvidia-ml.so.1", "libGLX_nvidia.so.0", "libother.so.1"):
    try:
        print(name, ctypes.CDLL(name).answer())
    except OSError:
        print(name, "no")
"""


@pytest.fixture
def drivers(tmp_path: Path) -> Path:
    """Return a folder with three libraries of a driver and one that is none of it."""
    folder = tmp_path / "drivers"
    folder.mkdir()
    (tmp_path / "answer.c").write_text("int answer(void) { return 42; }\n")
    (tmp_path / "more.c").write_text("int answer(void); int more(void) { return answer(); }\n")
    for name in NAMES:
        source, needed = ["answer.c"], list[str]()
        if name == "libnvidia-ml.so.1":
            source, needed = ["more.c"], ["drivers/libcuda.so.1"]
        words = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", f"drivers/{name}"]
        subprocess.run([*words, *source, *needed], cwd=tmp_path, check=True)
    return folder


@pytest.mark.programs("gcc")
def test_only_the_driver_is_let_through_and_only_when_asked_for(
    closed: "Run", place: "Place", proof: "Proof", drivers: Path
) -> None:
    place.environ |= {"ENVTOOL_DRIVERS": f"/nowhere:{drivers}"}
    declaration = place.project / "envtool.toml"
    assert closed("switch").returncode == 0
    assert closed("run", "python", "-c", TRY).stdout == "".join(f"{name} no\n" for name in NAMES)

    declaration.write_text(proof.declaration + GPU)
    assert "envtool switch" in closed("run", "true").stderr
    ended = closed("switch")
    assert (ended.returncode, "gpu.host-drivers" in ended.stderr) == (0, False)
    said = closed("run", "python", "-c", TRY).stdout.splitlines()
    assert said == [*(f"{name} 42" for name in NAMES[:3]), "libother.so.1 no"]
    assert closed("run", "python", "-c", proof.code).stdout.strip() == proof.said
    assert closed("store", "verify", "--contents").returncode == 0

    declaration.write_text(proof.declaration)
    assert closed("switch").returncode == 0
    assert closed("run", "python", "-c", TRY).stdout == "".join(f"{name} no\n" for name in NAMES)


@pytest.mark.programs("gcc")
def test_a_lost_program_with_drivers_is_made_again(
    closed: "Run", place: "Place", proof: "Proof", drivers: Path
) -> None:
    place.environ |= {"ENVTOOL_DRIVERS": str(drivers)}
    (place.project / "envtool.toml").write_text(proof.declaration + GPU)
    assert closed("switch").returncode == 0
    program = Path(closed("run", "python", "-c", "import sys; print(sys.base_prefix)").stdout[:-1])
    assert sorted(path.name for path in (program / "drivers").iterdir()) == sorted(NAMES[:3])
    delete_tree(str(program))
    assert closed("store", "verify", "--repair").returncode == 0
    assert closed("run", "python", "-c", TRY).stdout.startswith("libcuda.so.1 42\n")


def test_a_machine_without_a_driver_is_told_and_works(
    closed: "Run", place: "Place", proof: "Proof"
) -> None:
    place.environ |= {"ENVTOOL_DRIVERS": os.fspath(place.home)}
    (place.project / "envtool.toml").write_text(proof.declaration + GPU)
    ended = closed("switch")
    assert ended.returncode == 0
    assert "gpu.host-drivers: this machine has no libraries of a GPU driver" in ended.stderr
    assert closed("run", "python", "-c", proof.code).stdout.strip() == proof.said
