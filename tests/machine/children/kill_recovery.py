"""Kill the making of a new database at every line of `mending.recover` that it runs.

`kill_recovery.py ROOT`. For each line the database is damaged, a child forks, begins to make a new
one and kills itself there; whoever comes next must get all rows back. Prints how often it killed.
"""

import os
import shutil
import signal
import sys
from types import FrameType
from typing import Any

from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.mending import recover
from envtool.machine.settings import Settings
from envtool.machine.store import Store
from envtool.reporting import SilentReporter
from envtool.values import replace


def die_at(line: int) -> None:
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != recover.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def fill(settings: Settings) -> dict[StorePath, PathInfo]:
    """Add a text, and an object that only its row can vouch for."""
    with Store(settings) as store:
        text = store.add_text("text", b"text")
        output = StorePath.parse(f"{'0' * 32}-output")
        shutil.copy2(store.physical(text), store.physical(output))
        store.register([replace(store.info(text), path=output, ca=None)])
        return store.database.infos()


def damage(settings: Settings) -> None:
    """Spoil the head of the database; leave a log that SQLite would take for its own."""
    with open(settings.database, "r+b") as file:
        file.write(b"\xa5" * 100)
    with open(f"{settings.database}-wal", "wb") as file:
        file.write(Hash.of(b"log").digest * 200)


def killed(settings: Settings, line: int) -> bool:
    child = os.fork()
    if not child:
        die_at(line)
        with Store(settings) as store:
            recover.rebuild(store, SilentReporter())
        sys.settrace(None)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(root: str) -> None:
    settings = Settings(root, fsync=False)
    expected = fill(settings)
    line = 0
    was_killed = True
    while was_killed:
        line += 1
        damage(settings)
        was_killed = killed(settings, line)
        with Store(settings) as store:
            if was_killed:
                recover.rebuild(store, SilentReporter())
            found = store.database.infos()
        assert found == expected, (line, found)
        for name in os.listdir(os.path.dirname(settings.database)):
            assert name.startswith(("db.sqlite", "schema", "big-lock", "reserved")), name
            if ".damaged-" in name:
                os.unlink(f"{os.path.dirname(settings.database)}/{name}")
    sys.stdout.write(f"{line - 1}\n")


main(sys.argv[1])
