"""Kill operations on a store at random instants; whatever happens, nothing valid may be lost.

`python tests/soak/crash.py [--kills 1000] [--seed N] [--folder DIR] [--nix]`. Each round forks one
operation, kills it (SIGKILL) after a random part of the time that it takes unharmed, and looks: the
store verifies, contents included; the profile is at its old or its new generation; the same
operation, begun again, ends; now and then the collector runs, after which nothing unknown is left.
With `--nix` a real Nix verifies the store, too. Prints the kills by operation; a failure names the
round, and the seed that leads there again.
"""

import argparse
import base64
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from envtool.build import schedule
from envtool.build.realise import realise
from envtool.formats.lock import Artifact, LockedPackage
from envtool.formats.nix.storepath import StorePath
from envtool.machine.collecting.gc import collect
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.mending.verify import verify
from envtool.machine.profile import Profile, profile_of
from envtool.machine.settings import Settings
from envtool.machine.sharing.optimise import optimise
from envtool.machine.store import Store
from envtool.plan.instantiate import Selected, instantiate
from envtool.reporting import SilentReporter
from envtool.sources.interpreter import Interpreter, find

WHEELS = 6
COLLECT_EVERY = 10
NIX_EVERY = 50


def make_wheel(folder: Path, name: str) -> Selected:
    """Write a wheel of forty files and return it as a lock would pin it."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/part{number % 4}/module{number}.py": f"VALUE = {number}\n".encode() * 50 * number
        for number in range(40)
    }
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},sha256={_digest(data)},\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in files.items():
            archive.writestr(member, data)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    artifact = Artifact(path.name, None, str(path), len(content), digest)
    return Selected(LockedPackage(name, "1.0", None, wheels=(artifact,)), artifact)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@dataclass
class Victim:
    """One root, and the operations that are killed in it."""

    folder: Path
    wheels: list[Selected]
    interpreter: Interpreter
    allowed: set[str | None] = field(default_factory=set)
    """Where the profile may point after the operation that is killed now."""

    @property
    def settings(self) -> Settings:
        return Settings(str(self.folder / "root"), jobs=2, fsync=False)

    @property
    def profile(self) -> Profile:
        return profile_of(self.settings, "/project/envtool.toml", "default")

    def realise(self, number: int) -> None:
        """Fetch, unpack in worker processes and join some of the wheels."""
        chosen = [wheel for at, wheel in enumerate(self.wheels) if number >> at & 1 or at < 2]
        made = instantiate(f"env{number}", chosen, self.interpreter)
        assert made.environment is not None
        with Store(self.settings) as store, Fetcher(offline=True) as fetcher:
            realise(store, fetcher, SilentReporter(), made.derivations, made.environment, jobs=2)

    def add(self, number: int) -> None:
        """Add a folder."""
        source = self.folder / "source"
        for at in range(30):
            place = source / f"folder{at % 3}" / f"file{at}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{number if at % 2 else ''} {at}\n" * 200)
        with Store(self.settings) as store:
            store.add_tree(str(source), f"tree{number}")

    def switch(self, number: int) -> None:
        """Make a generation current."""
        with Store(self.settings) as store:
            wanted = store.add_text("generation", str(number).encode())
            with store.shared():
                self.profile.set(wanted)

    def gc(self, number: int) -> None:
        """Collect; what `switch` made current stays."""
        self.add(number)
        with Store(self.settings) as store:
            collect(store)

    def optimise(self, number: int) -> None:
        """Link what is the same."""
        self.add(number)
        with Store(self.settings) as store:
            optimise(store, SilentReporter())

    def check(self) -> None:
        """Look whether all that is valid is whole, and the profile at one of its two places."""
        with Store(self.settings) as store:
            problems = verify(store, contents=True)
            harm = [problem for problem in problems if problem.harms]
            assert not harm, harm
            current = self.profile.current_object()
            assert current in self.allowed, (current, self.allowed)
            if current is not None:
                assert store.is_valid(StorePath.parse(os.path.basename(current))), current

    def tidy(self) -> None:
        """Collect, and look whether the leftovers of all kills are gone."""
        with Store(self.settings) as store:
            collect(store)
            assert verify(store, contents=True) == []
        kept = self.profile.current()
        numbers = {generation.number for generation in self.profile.generations()}
        self.profile.delete(numbers - {kept.number if kept else None})

    def ask_nix(self) -> None:
        """Let a real Nix verify the store."""
        root = f"{self.folder}/root"
        uri = f"local?store=/envtool/store&real={root}/store&state={root}/var"
        command = ["nix-store", "--store", uri, "--verify", "--check-contents"]
        variables = {**os.environ, "NIX_LOCALSTATE_DIR": str(self.folder), "HOME": str(self.folder)}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


Operation = Callable[[Victim, int], None]
OPERATIONS: dict[str, Operation] = {
    "realise": Victim.realise,
    "add": Victim.add,
    "switch": Victim.switch,
    "gc": Victim.gc,
    "optimise": Victim.optimise,
}


def fork(operation: Operation, victim: Victim, number: int) -> int:
    """Begin the operation in a process of its own, in a group of its own; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        operation(victim, number)
        code = 0
    finally:
        os._exit(code)
    raise AssertionError


def whole(operation: Operation, victim: Victim, number: int) -> float:
    """Do the operation unharmed and return the seconds that it took."""
    begun = time.monotonic()
    _, status = os.waitpid(fork(operation, victim, number), 0)
    assert status == 0, f"{operation.__name__} {number} ended with status {status}"
    return time.monotonic() - begun


def killed(operation: Operation, victim: Victim, number: int, after: float) -> bool:
    """Kill the operation after so many seconds; say whether it was still at work."""
    pid = fork(operation, victim, number)
    time.sleep(after)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert status in {0, signal.SIGKILL}, f"{operation.__name__} {number}: status {status}"
    while orphans():
        time.sleep(0.005)
    return status != 0


def orphans() -> bool:
    """Say whether a worker lives on whose parent was killed."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_worker = b"envtool.build.worker" in (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if is_worker and parent == 1:
            return True
    return False


def soak(victim: Victim, kills: int, chance: random.Random, *, nix: bool) -> Counter[str]:
    """Kill so often, and check after each time."""
    schedule.WORTH_A_WORKER = 1  # these wheels are tiny, and their workers must be killed, too
    number = 0
    took: dict[str, float] = {}
    for name, operation in OPERATIONS.items():
        number += 1
        took[name] = whole(operation, victim, number)
    found: Counter[str] = Counter()
    rounds = 0
    while found.total() < kills:
        rounds += 1
        number += 1
        name = chance.choice(list(OPERATIONS))
        operation = OPERATIONS[name]
        victim.allowed = {victim.profile.current_object()}
        if name == "switch":
            with Store(victim.settings) as store:
                wanted = store.add_text("generation", str(number).encode())
                victim.allowed.add(store.physical(wanted))
        if killed(operation, victim, number, chance.uniform(0, 1.1 * took[name])):
            found[name] += 1
        try:
            victim.check()
            whole(operation, victim, number)
            if rounds % COLLECT_EVERY == 0:
                victim.tidy()
            if nix and rounds % NIX_EVERY == 0:
                victim.ask_nix()
        except BaseException:
            print(f"round {rounds}: {name} {number}", file=sys.stderr)  # noqa: T201
            raise
    victim.tidy()
    return found


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--folder", help="where the root is made; by default a temporary folder")
    parser.add_argument("--nix", action="store_true", help="let a real Nix verify, too")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="envtool-soak-", dir=chosen.folder))
    print(f"seed {chosen.seed}, in {folder}", flush=True)  # noqa: T201
    (folder / "wheels").mkdir()
    wheels = [make_wheel(folder / "wheels", f"wheel{number}") for number in range(WHEELS)]
    victim = Victim(folder, wheels, find(None, prefer=None, environ=os.environ))
    found = soak(victim, chosen.kills, random.Random(chosen.seed), nix=chosen.nix)
    print(", ".join(f"{name} {count}" for name, count in sorted(found.items())))  # noqa: T201
    for place, _, _ in os.walk(folder):
        os.chmod(place, 0o700)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
