"""Kill an operation on a store at every nth line that it runs.

`kill_everywhere.py OPERATION ROOT STEP`. For each line a child forks, runs the operation and
kills itself there; then the store must be as the operation promises, contents included. Prints how
often it killed. All in one root, so that later runs meet the leftovers of earlier ones.
"""

import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import envtool.machine
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath
from envtool.machine.collecting.gc import collect
from envtool.machine.database import PathInfo
from envtool.machine.mending import recover
from envtool.machine.mending.verify import verify
from envtool.machine.metadata import delete_tree
from envtool.machine.profile import Profile, profile_of
from envtool.machine.settings import Settings
from envtool.machine.sharing import optimise as optimising
from envtool.machine.store import Store, Text
from envtool.reporting import SilentReporter
from envtool.values import replace

_FLOOR = os.path.dirname(envtool.machine.__file__)
_ONLY_LOOKS = f"{_FLOOR}/collecting/roots.py"
"""Its many lines read all of /proc and write nothing."""
_UNKNOWN_IS_FINE = {"unknown"}
"""Leftovers with a dead process's name are unknown files, which the collector removes."""

Step = Callable[[Settings, int], None]


def of_the_floor(file: str) -> bool:
    return file.startswith(_FLOOR) and file != _ONLY_LOOKS


def leave(settings: Settings, number: int) -> None:
    """Prepare nothing: what one run leaves is what the next one meets."""


@dataclass(frozen=True)
class Operation:
    """What is killed, and how to look at what that leaves. Numbers are those of the run."""

    perform: Step
    check: Callable[[Settings], None]
    prepare: Step = leave
    counts: Callable[[str], bool] = of_the_floor
    """Says of a source file whether its lines are ones to be killed at."""


def die_at(line: int, counts: Callable[[str], bool]) -> None:
    """Arrange to be killed at the given line of those that count, the first being 1."""
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not counts(frame.f_code.co_filename):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def profile(settings: Settings) -> Profile:
    return profile_of(settings, "/project/envtool.toml", "default")


def add(settings: Settings, number: int) -> None:
    with Store(settings) as store:
        one = store.add_text("one", str(number).encode())
        store.add_texts([Text("two", one.full().encode(), frozenset({one}))])


def add_tree(settings: Settings, number: int) -> None:
    source = f"{settings.root}/source"
    os.makedirs(f"{source}/folder", exist_ok=True)
    for name in ("file", "folder/file"):
        with open(f"{source}/{name}", "w", encoding="ascii") as file:
            file.write(str(number))
    with Store(settings) as store:
        store.add_tree(source, "tree")


def switch(settings: Settings, number: int) -> None:
    with Store(settings) as store:
        wanted = store.add_text("generation", str(number).encode())
    allowed = f"{profile(settings).current_object()}\n{store.physical(wanted)}"
    with open(f"{settings.root}/allowed", "w", encoding="ascii") as file:
        file.write(allowed)
    profile(settings).set(wanted)


def collect_garbage(settings: Settings, number: int) -> None:
    add(settings, number)
    with Store(settings) as store:
        profile(settings).set(store.add_text("kept", b"kept"))
        collect(store)


def check(settings: Settings) -> None:
    with Store(settings) as store:
        problems = verify(store, contents=True)
        assert {problem.kind for problem in problems} <= _UNKNOWN_IS_FINE, problems
        current = profile(settings).current_object()
        if current is not None:
            assert store.is_valid(StorePath.parse(os.path.basename(current))), current


def check_switch(settings: Settings) -> None:
    check(settings)
    with open(f"{settings.root}/allowed", encoding="ascii") as file:
        assert str(profile(settings).current_object()) in file.read().split("\n")

    current = profile(settings).current()
    assert current is not None
    others = {generation.number for generation in profile(settings).generations()}
    profile(settings).delete(others - {current.number})


def check_collection(settings: Settings) -> None:
    """Check that the next collector finishes what the killed one left."""
    check(settings)
    with Store(settings) as store:
        collect(store)
        assert len(store.database.infos()) == 1
        assert verify(store, contents=True) == []


# Linking files that are the same


def put_alike(settings: Settings, number: int) -> None:
    """Let the store be one with files that are the same, and none of them linked."""
    delete_tree(settings.root)
    source = f"{settings.root}-source"
    for folder in ("a", "b"):
        os.makedirs(f"{source}/{folder}")
        for each in range(3):
            with open(f"{source}/{folder}/{each}", "wb") as file:
                file.write(b"same" * (100 + each % 2))
    with Store(settings) as store:
        store.add_tree(source, "tree")
        store.add_text("text", b"same" * 100)
    shutil.rmtree(source)


def optimise(settings: Settings, number: int) -> None:
    with Store(settings) as store:
        optimising.optimise(store, SilentReporter())


def check_links(settings: Settings) -> None:
    """Check that the next run links all, and leaves every folder closed."""
    check(settings)
    optimise(settings, 0)
    check(settings)
    inodes = set()
    for folder, _, names in os.walk(settings.store):
        if f"{settings.store}/." not in folder and folder != settings.store:
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o555, folder
            assert os.stat(folder).st_mtime == 1, folder
            inodes |= {os.stat(f"{folder}/{name}").st_ino for name in names}
    assert len(inodes) == 2, inodes


# Making a damaged database anew

_OUTPUT = StorePath.parse(f"{'0' * 32}-output")
_ROWS: dict[StorePath, PathInfo] = {}
"""All that the database held before it was damaged."""


def damage(settings: Settings, number: int) -> None:
    """Spoil the head of the database; leave a log that SQLite would take for its own.

    In it are a text, and an object that only its row can vouch for.
    """
    if not os.path.exists(settings.database):
        with Store(settings) as store:
            text = store.add_text("text", b"text")
            shutil.copy2(store.physical(text), store.physical(_OUTPUT))
            store.register([replace(store.info(text), path=_OUTPUT, ca=None)])
            _ROWS.update(store.database.infos())
    with open(settings.database, "r+b") as file:
        file.write(b"\xa5" * 100)
    with open(f"{settings.database}-wal", "wb") as file:
        file.write(Hash.of(b"log").digest * 200)


def rebuild(settings: Settings, number: int) -> None:
    with Store(settings) as store:
        recover.rebuild(store, SilentReporter())


def check_rows(settings: Settings) -> None:
    """Check that whoever comes next gets all rows back, and what lies beside the database."""
    rebuild(settings, 0)
    with Store(settings) as store:
        found = store.database.infos()
    assert found == _ROWS, found
    folder = os.path.dirname(settings.database)
    for name in os.listdir(folder):
        assert name.startswith(("db.sqlite", "schema", "big-lock", "reserved")), name
        if ".damaged-" in name:
            os.unlink(f"{folder}/{name}")


OPERATIONS = {
    "add": Operation(add, check),
    "add_tree": Operation(add_tree, check),
    "switch": Operation(switch, check_switch),
    "collect": Operation(collect_garbage, check_collection),
    "optimise": Operation(
        optimise, check_links, put_alike, lambda file: file == optimising.__file__
    ),
    "rebuild": Operation(rebuild, check_rows, damage, lambda file: file == recover.__file__),
}


def killed(operation: Operation, settings: Settings, line: int) -> bool:
    """Perform the operation in a child; say whether it was killed at the line."""
    child = os.fork()
    if child == 0:
        die_at(line, operation.counts)
        operation.perform(settings, line)
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def main(name: str, root: str, step: int) -> None:
    settings = Settings(root, fsync=False)
    operation = OPERATIONS[name]
    operation.prepare(settings, 0)
    operation.perform(settings, 0)
    kills, was_killed = -1, True
    while was_killed:
        kills += 1
        line = 1 + kills * step
        operation.prepare(settings, line)
        was_killed = killed(operation, settings, line)
        operation.check(settings)
    print(kills)  # noqa: T201 - the answer to the test


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
