"""A short run of the fuzzer; `tests/soak/fuzz.py MINUTES` is the long one."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "soak" / "fuzz.py"


def test_readers_answer_mutated_inputs_with_errors_of_ours_only(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rounds", "1500"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = re.findall(r"^(\w+): (\d+) inputs, (\d+) of them valid", done.stdout, re.MULTILINE)
    assert [(name, inputs) for name, inputs, _ in counts] == [
        ("nar", "1500"),
        ("derivation", "1500"),
        ("narinfo", "1500"),
    ]
    assert all(0 < int(valid) < int(inputs) for _, inputs, valid in counts)
