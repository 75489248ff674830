"""Time whole processes side by side: A B A B, medians, and the ratio of the first two.

Each round runs every side once, so that a machine that slows down slows all of them. Before a
run it waits for an idle machine, and it notes what share of the machine others used meanwhile:
runs with more than a fifth do not count, unless no run is left.
"""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).with_name("results")
QUIET = 0.2
"""Share of the machine that others may use during a run that counts."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is run and timed."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    stdin: str = os.devnull
    """The file that it reads."""


@dataclass(frozen=True, slots=True)
class Run:
    """One timed process with all its children."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system."""
    foreign: float
    """Share of the machine's processors that others used."""
    memory: int
    """Bytes that the largest of its processes had in memory."""


Prepare = Callable[[int], Command]
"""Make everything ready for a round, untimed, and say what to run."""


def busy() -> float:
    """Return the seconds that all processors have been at work since the machine started."""
    with open("/proc/stat", encoding="ascii") as stream:
        fields = [int(field) for field in stream.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def settle(limit: float) -> None:
    """Wait for half a second in which the machine is 85 % idle, at most `limit` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        before, start = busy(), time.monotonic()
        time.sleep(0.5)
        if (busy() - before) / (time.monotonic() - start) / (os.cpu_count() or 1) < 0.15:
            return


def once(command: Command) -> Run:
    """Run a command to its end.

    :raises SystemExit: it failed; with what it had to say.
    """
    with open(command.stdin, "rb") as source:
        before, start = busy(), time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            env=command.environment,
            cwd=command.folder,
            stdin=source,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command.argv)} failed:\n{said.decode(errors='replace')}")
    cpu = usage.ru_utime + usage.ru_stime
    foreign = (busy() - before - cpu) / (wall * (os.cpu_count() or 1))
    return Run(wall, cpu, max(foreign, 0.0), usage.ru_maxrss * 1024)


def interleave(sides: Mapping[str, Prepare], *, rounds: int, wait: float) -> dict[str, list[Run]]:
    """Time every side once per round; who comes first alternates."""
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in order:
            command = sides[name](number)
            settle(wait)
            runs[name].append(once(command))
    return runs


def counted(runs: list[Run]) -> list[Run]:
    """Return the runs that others did not disturb; all, when there is none."""
    return [run for run in runs if run.foreign < QUIET] or runs


def median(runs: list[Run]) -> float:
    """Return the median wall time in seconds of the runs that count."""
    return statistics.median(run.wall for run in counted(runs))


def report(name: str, runs: Mapping[str, list[Run]], *, goal: float) -> None:
    """Print medians and ratio, and keep every run in `results/NAME.json`."""
    print(name)
    for side, all_runs in runs.items():
        good = counted(all_runs)
        best, cpu = min(run.wall for run in good), statistics.median(run.cpu for run in good)
        print(
            f"  {side:20} median {median(all_runs) * 1e3:8.1f} ms   best {best * 1e3:8.1f} ms"
            f"   cpu {cpu * 1e3:8.1f} ms   runs {len(good)} of {len(all_runs)}"
        )
    ours, peer, *_ = runs
    ratio = median(runs[ours]) / median(runs[peer])
    print(f"  {ours} / {peer}: {ratio:.2f} (at most {goal:.2f} wanted)\n", flush=True)
    keep(name, runs, {"ratio": ratio, "goal": goal})


def keep(name: str, runs: Mapping[str, list[Run]], found: Mapping[str, object]) -> None:
    """Keep every run, and what was found from them, in `results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "name": name,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **found,
        "runs": {side: [asdict(run) for run in all_runs] for side, all_runs in runs.items()},
    }
    path = RESULTS / f"{name.replace(' ', '-')}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
