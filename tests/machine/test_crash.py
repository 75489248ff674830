"""Kills at random instants; tests/soak/crash.py is the same for longer."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

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
