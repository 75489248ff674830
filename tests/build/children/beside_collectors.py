"""Realise, again and again, beside collectors that delete everything nobody uses.

`beside_collectors.py collect ROOT` collects until its standard input ends, and prints the names of
what it deleted, a line for each collection. `beside_collectors.py realise ROOT TIMES WHEEL…` makes
the environment of the wheels so often, looks each time whether all of its closure is whole, gives
it up, and waits until a collector has taken it.
"""

import hashlib
import os
import select
import sys
from pathlib import Path

from envtool.build.realise import realise
from envtool.formats.lock import Artifact, LockedPackage
from envtool.machine.collecting.gc import collect
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.mending.verify import verify
from envtool.machine.settings import Settings
from envtool.machine.store import Store
from envtool.plan.instantiate import Selected, instantiate
from envtool.reporting import SilentReporter
from envtool.sources.interpreter import find


def collect_on(settings: Settings) -> None:
    """Collect until nobody needs it any more."""
    ended = False
    while not ended:
        ended = bool(select.select([sys.stdin], [], [], 0)[0])
        with Store(settings) as store:
            dead = [path.name for path, _ in collect(store).dead]
        print(" ".join(dead), flush=True)  # noqa: T201 - the answer to the test


def selected(wheel: Path) -> Selected:
    """Return the package of a wheel as a lock would pin it."""
    name, version = wheel.name.split("-")[:2]
    content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    artifact = Artifact(wheel.name, None, str(wheel), len(content), digest)
    return Selected(LockedPackage(name, version, None, wheels=(artifact,)), artifact)


def realise_on(settings: Settings, times: int, wheels: list[Path]) -> None:
    """Make the environment so often."""
    interpreter = find(None, prefer=None, environ=os.environ)
    made = instantiate("demo", [selected(wheel) for wheel in wheels], interpreter)
    assert made.environment is not None
    for _ in range(times):
        with Store(settings) as store, Fetcher(offline=True) as fetcher, store.using():
            output = realise(
                store, fetcher, SilentReporter(), made.derivations, made.environment, jobs=2
            )
            closure = store.closure([output])
            assert all(os.path.lexists(store.physical(path)) for path in closure)
            assert verify(store, contents=True, paths=closure) == []
        with Store(settings) as store:
            while store.database.valid([output]):
                os.sched_yield()


if __name__ == "__main__":
    role, root, *words = sys.argv[1:]
    if role == "collect":
        collect_on(Settings(root, fsync=False))
    else:
        realise_on(Settings(root, fsync=False), int(words[0]), list(map(Path, words[1:])))
