"""The processes below one, found in /proc."""

import os
import subprocess
import sys

from envtool.machine.descendants import descendants

STARTER = """
import os, subprocess, sys
from envtool.machine.descendants import end_descendants
held = [int(sys.argv[1])]
subprocess.Popen(["sleep", "1000"], pass_fds=held, start_new_session=True)
words = ["sh", "-c", "sleep 1000 & echo begun; exec sleep 1000"]
below = subprocess.Popen(words, pass_fds=held, stdout=subprocess.PIPE)
os.close(held[0])
below.stdout.readline()
print("begun", flush=True)
sys.stdin.read()
end_descendants()
print("ended", flush=True)
"""


def test_all_below_are_found_and_ended_whatever_their_session() -> None:
    reading, writing = os.pipe()
    with (
        open(reading, "rb") as held,
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(writing)],
            pass_fds=[writing],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process,
    ):
        os.close(writing)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert len(descendants(process.pid)) == 3
        assert process.pid in descendants(os.getpid())
        process.stdin.close()
        assert held.read() == b"", "the last of them is gone"
        assert process.stdout.readline() == b"ended\n"


def test_one_that_is_not_there_has_none_below() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert descendants(process.pid) == set()
