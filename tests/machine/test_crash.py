"""Kills at random instants, and disks that are full; tests/soak/crash.py kills for longer."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path(__file__).parent / "children" / "full.py"
SOAK = Path(__file__).parent.parent / "soak" / "crash.py"


def test_killed_operations_lose_nothing_that_was_valid(tmp_path: Path) -> None:
    judge = ["--nix"] if shutil.which("nix-store") else []
    done = subprocess.run(
        [sys.executable, SOAK, "--kills", "60", "--seed", "20261121", "--folder", tmp_path, *judge],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sum(map(int, re.findall(r"[a-z] (\d+)", done.stdout.splitlines()[-1]))) == 60
    assert done.stderr == ""


@pytest.mark.mounts
@pytest.mark.parametrize(
    ("limit", "size"),
    [("size=8m", 300_000), ("size=4m", 3_000), ("nr_inodes=150", 3_000), ("size=3m", 40_000)],
)
def test_full_disk_is_told_loses_nothing_and_can_be_emptied(
    tmp_path: Path, limit: str, size: int
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    command = [sys.executable, FULL, disk / "root", tmp_path / "source", size]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", limit, disk, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1
