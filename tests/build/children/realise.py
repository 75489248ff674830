"""Realise an environment in a process of its own, once or dying at many points on the way.

`realise.py ROOT SPECIFICATION` realises once, tells what it waits for, and prints the output.
`realise.py ROOT SPECIFICATION SIGNAL TIMES` does it TIMES times in roots of their own, sending
itself the signal at another line of the build floor each time; then the store must verify, a second
run must finish, and it prints how often the signal hit.

The specification is a JSON file: the wheels' file name, URL, size and SHA-256.
"""

import itertools
import json
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

import envtool.build
from envtool.build.realise import realise
from envtool.formats.lock import Artifact, LockedPackage
from envtool.formats.nix.storepath import StorePath
from envtool.machine.collecting.temproots import SCRATCH
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.mending.verify import verify
from envtool.machine.settings import Settings
from envtool.machine.store import Store
from envtool.plan.derivations import Instantiation
from envtool.plan.instantiate import Selected, instantiate
from envtool.reporting import SilentReporter, Step
from envtool.sources.interpreter import find

_FLOOR = os.path.dirname(envtool.build.__file__)
_INTERRUPTED = 130


class Watching(SilentReporter):
    """Prints what is waited for, and appends each unit of work to `steps` in the root."""

    def __init__(self, root: str) -> None:
        self._steps = f"{root}/steps"

    def start(self, step: Step) -> None:
        with open(self._steps, "a", encoding="utf-8") as file:
            file.write(f"{step.kind} {step.label}\n")

    def note(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201 - the test waits for it


def instantiation(specification: str) -> Instantiation:
    with open(specification, encoding="utf-8") as file:
        wheels = json.load(file)
    chosen = []
    for filename, url, size, sha256 in wheels:
        name, version = filename.split("-")[:2]
        artifact = Artifact(filename, url, None, size, sha256)
        chosen.append(Selected(LockedPackage(name, version, None, wheels=(artifact,)), artifact))
    return instantiate("demo", chosen, find(None, prefer=None, environ=os.environ))


def once(root: str, made: Instantiation) -> StorePath:
    assert made.environment is not None
    with Store(Settings(root, fsync=False)) as store, Fetcher(offline=False) as fetcher:
        return realise(store, fetcher, Watching(root), made.derivations, made.environment, jobs=2)


def count_lines(wanted: int, number: int) -> "itertools.count[int]":
    """Count the lines of the build floor that all threads run; at the wanted one signal."""
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_FLOOR):
            return None
        if event == "line" and next(lines) == wanted:
            os.kill(os.getpid(), number)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
    return lines


def forked(root: str, made: Instantiation, wanted: int, number: int) -> int:
    """Realise in a forked child; return its wait status."""
    child = os.fork()
    if child == 0:
        lines = count_lines(wanted, number)
        try:
            once(root, made)
        except KeyboardInterrupt:
            os._exit(_INTERRUPTED)
        sys.settrace(None)
        with open(f"{root}/lines", "w", encoding="ascii") as file:
            file.write(str(next(lines)))
        os._exit(0)
    return os.waitpid(child, 0)[1]


def check(root: str, *, tidy: bool) -> None:
    """Check that all that is valid is intact and, when `tidy`, that nothing is half-made."""
    with Store(Settings(root)) as store:
        problems = verify(store, contents=True)
    assert {problem.kind for problem in problems} <= {"unknown"}, problems
    half_made = [each.name for each in problems if SCRATCH in each.name]
    assert not (tidy and half_made), half_made


def main(root: str, specification: str, name: str = "", times: str = "0") -> None:
    made = instantiation(specification)
    if not name:
        print(once(root, made), flush=True)  # noqa: T201 - the answer to the test
        return
    number, hits = signal.Signals[name], 0
    assert forked(f"{root}/whole", made, 0, number) == 0
    with open(f"{root}/whole/lines", encoding="ascii") as file:
        lines = int(file.read())
    for each in range(int(times)):
        place = f"{root}/{each}"
        status = forked(place, made, 1 + lines * each // int(times), number)
        hits += status != 0
        check(place, tidy=number == signal.SIGINT)
        assert forked(place, made, 0, number) == 0
        check(place, tidy=number == signal.SIGINT)
    print(hits)  # noqa: T201 - the answer to the test


if __name__ == "__main__":
    main(*sys.argv[1:])
