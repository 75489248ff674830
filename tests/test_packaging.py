"""The wheel holds one import package, and every module of the tree."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = {"envtool": "envtool", "kernel": "envtool/kernel", "magics": "envtool/magics"}


def installed_names() -> set[str]:
    """Return the wheel name of every module; rglob does not enter symlinked folders."""
    return {
        f"{installed}/{module.relative_to(ROOT / folder).as_posix()}"
        for folder, installed in ROOMS.items()
        for module in (ROOT / folder).rglob("*.py")
    }


def test_the_wheel_holds_one_import_package_and_every_module(tmp_path: Path) -> None:
    # By way of the sdist: a wheel built in the tree keeps deleted modules in build/lib.
    argv = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(argv, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (scripts,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        programs = archive.read(scripts).decode()
    assert {name.split("/")[0] for name in names} == {"envtool"}
    assert {name for name in names if name.endswith(".py")} == installed_names()
    assert "envtool/py.typed" in names
    assert "envtool = envtool.cli:main" in programs
    assert "envtool-kernel = envtool.kernel.launcher:main" in programs
