"""Kill `store optimise` at every nth line of it that runs.

`kill_optimise.py ROOT STEP`. For each line a child forks, runs it on a fresh copy of a store and
kills itself there; then the store must verify, contents included, and a second run must link
all and leave every folder closed. Prints how often it killed.
"""

import os
import shutil
import signal
import stat
import sys
from types import FrameType
from typing import Any

from envtool.machine.mending.verify import verify
from envtool.machine.settings import Settings
from envtool.machine.sharing import optimise as room
from envtool.machine.store import Store
from envtool.reporting import SilentReporter


def die_at(line: int) -> None:
    """Arrange to be killed at the given line of the room, counted from 1."""
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != room.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def make(settings: Settings) -> None:
    source = f"{settings.root}-source"
    for folder in ("a", "b"):
        os.makedirs(f"{source}/{folder}")
        for number in range(3):
            with open(f"{source}/{folder}/{number}", "wb") as file:
                file.write(b"same" * (100 + number % 2))
    with Store(settings) as store:
        store.add_tree(source, "tree")
        store.add_text("text", b"same" * 100)
    shutil.rmtree(source)


def killed(settings: Settings, line: int) -> bool:
    pid = os.fork()
    if pid == 0:
        with Store(settings) as store:
            die_at(line)
            room.optimise(store, SilentReporter())
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def check(settings: Settings, line: int) -> None:
    with Store(settings) as store:
        for _ in range(2):
            # Leftovers with a dead process's name are unknown files, which the collector removes.
            problems = [each for each in verify(store, contents=True) if each.kind != "unknown"]
            assert not problems, (line, problems)
            room.optimise(store, SilentReporter())
        inodes = set()
        for folder, _, names in os.walk(store.settings.store):
            if f"{store.settings.store}/." not in folder and folder != store.settings.store:
                assert stat.S_IMODE(os.stat(folder).st_mode) == 0o555, (line, folder)
                assert os.stat(folder).st_mtime == 1, (line, folder)
                inodes |= {os.stat(f"{folder}/{name}").st_ino for name in names}
        assert len(inodes) == 2, (line, inodes)


def main() -> None:
    root, step = sys.argv[1], int(sys.argv[2])
    kills, line = 0, 1
    while True:
        settings = Settings(f"{root}-{line}", fsync=False)
        make(settings)
        done = not killed(settings, line)
        check(settings, line)
        shutil.rmtree(settings.root, ignore_errors=True)
        if done:
            break
        kills, line = kills + 1, line + step
    print(kills)  # noqa: T201 - for who started it


main()
