"""Kill an operation on a store at every nth line of envtool.machine that it runs.

`kill_everywhere.py OPERATION ROOT STEP`. For each line a child forks, runs the operation and
kills itself there; then the store must verify, contents included. Prints how often it
killed. All in one root, so that later runs meet the leftovers of earlier ones.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import envtool.machine
from envtool.formats.nix.storepath import StorePath
from envtool.machine.collecting.gc import collect
from envtool.machine.database import PathInfo  # noqa: F401 - imported before the counting starts
from envtool.machine.mending.verify import verify
from envtool.machine.profile import Profile, profile_of
from envtool.machine.settings import Settings
from envtool.machine.store import Store, Text

_ROOM = os.path.dirname(envtool.machine.__file__)
_ONLY_LOOKS = f"{_ROOM}/collecting/roots.py"
"""Its many lines read all of /proc and write nothing."""
_UNKNOWN_IS_FINE = {"unknown"}


def die_at(line: int) -> None:
    """Arrange to be killed at the given line of the machine floor, counted from 1."""
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        file = frame.f_code.co_filename
        if not file.startswith(_ROOM) or file == _ONLY_LOOKS:
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


OPERATIONS: dict[str, tuple[Callable[[Settings, int], None], Callable[[Settings], None]]] = {
    "add": (add, check),
    "add_tree": (add_tree, check),
    "switch": (switch, check_switch),
    "collect": (collect_garbage, check_collection),
}


def killed(operation: Callable[[Settings, int], None], settings: Settings, line: int) -> bool:
    child = os.fork()
    if child == 0:
        die_at(line)
        operation(settings, line)
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def main(name: str, root: str, step: int) -> None:
    settings = Settings(root, fsync=False)
    operation, checked = OPERATIONS[name]
    operation(settings, 0)
    kills = 0
    while killed(operation, settings, 1 + kills * step):
        checked(settings)
        kills += 1
    checked(settings)
    print(kills)  # noqa: T201 - the answer to the test


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
