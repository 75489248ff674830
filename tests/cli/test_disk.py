"""Disks that are full or read-only: what can be done is done, the rest is told, nothing is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.mounts

CHILD = Path(__file__).parent / "children/disk.py"
READ = [
    *(["run", "true"], ["build"], ["generations"], ["tree"], ["gc", "--dry-run"]),
    *(["store", "verify", "--contents"], ["store", "closure", "--sizes", "default"]),
    *(["store", "path-info", "default"], ["store", "roots"], ["store", "graph", "default"]),
    *(["store", "add", "known"], ["store", "dump", "default", "--output", "../out.nar"]),
    *(["store", "ls", "default"], ["store", "gc", "--dry-run"], ["store", "optimise", "--dry-run"]),
]
WRITTEN = [
    *(["switch"], ["rollback"], ["gc"], ["gc", "-d"], ["store", "gc"], ["store", "optimise"]),
    *(["store", "add", "unknown"], ["store", "delete", "dead"], ["add", "alpha"]),
]


def on_a_disk(place: Any, options: str, *words: str) -> Any:
    """Run the child on a disk of its own, mounted at the root, and return what it says."""
    place.root.mkdir()
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    before = ["unshare", "-rm", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*before, options, place.root, sys.executable, str(CHILD), *words],
        cwd=place.project,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_store_on_a_read_only_disk_is_read_and_says_so_when_it_is_written_to(place: Any) -> None:
    (place.project / "known").write_text("known")
    (place.project / "unknown").write_text("unknown")
    told = on_a_disk(place, "size=64m", "read-only", json.dumps(READ + WRITTEN))
    for words, (code, _, complaint) in zip(READ, told, strict=False):
        assert code == 0, (words, complaint)
    for words, (code, _, complaint) in zip(WRITTEN, told[len(READ) :], strict=True):
        assert code == 1, words
        assert "Read-only file system" in complaint, (words, complaint)
        assert "hint: " in complaint, (words, complaint)


@pytest.mark.parametrize("left", [0, 4, 8, 16, 24, 32, 36, 40, 44, 48, 100, 300])
def test_full_disk_is_told_by_every_step_and_the_old_generation_stays(
    place: Any, left: int
) -> None:
    told = on_a_disk(place, "size=64m", "full", str(left))
    for words, (code, _, complaint) in told:
        if code:
            assert "No space left on device" in complaint or "full" in complaint, (words, complaint)
            assert "hint: free some space" in complaint, (words, complaint)
    assert os.listdir(place.root) == []
