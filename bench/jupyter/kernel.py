"""Kernels beside plain ipykernel: starts, round trips, the magics, and what a relay costs.

    python bench/jupyter/kernel.py [--rounds N]

The peer is a venv with the same ipykernel, compiled beforehand, started without envtool. Rounds are
interleaved: each starts every side once, in alternating order. `changed` is a realised kernel whose
declaration has changed since, which costs reading it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.manager import KernelManager

from envtool.kernel.specs.kernelspec import install_generic
from envtool.machine.settings import load
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parent.parent))  # bench, for what its scripts share

from timing import keep, settle

LIMIT = 120
IMPORT = """
import sys, time
for name in [name for name in sys.modules if name.partition(".")[0] == "envtool"]:
    del sys.modules[name]
began = time.perf_counter()
import envtool.magics
print(time.perf_counter() - began)
"""
TRIPS = 50


@contextmanager
def kernel(name: str) -> Iterator[tuple[KernelManager, Any, float]]:
    """Start a kernel; give its manager, its client, and the seconds until it answered."""
    manager = KernelManager(kernel_name=name)
    # A client that finds no kernel yet tries again, by default each 100 ms: that would be measured.
    context = zmq.Context()
    context.setsockopt(zmq.RECONNECT_IVL, 1)
    start = time.perf_counter()
    manager.start_kernel(stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    client.context = context
    client.start_channels()
    client.kernel_info(reply=True, timeout=LIMIT)
    seconds = time.perf_counter() - start
    client.wait_for_ready(timeout=LIMIT)  # which also waits 200 ms for silence
    try:
        yield manager, client, seconds
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def round_trip(client: Any) -> float:
    """Return the median seconds of executing `1+1`, without history."""
    taken = []
    for _ in range(TRIPS):
        start = time.perf_counter()
        client.execute("1+1", store_history=False, reply=True, timeout=LIMIT)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def import_of_magics(client: Any) -> float:
    """Return the seconds of importing the magics once more, their folder known."""
    texts: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            texts.append(message["content"]["text"])

    client.execute_interactive(IMPORT, output_hook=hear, timeout=LIMIT)
    return float("".join(texts))


def first_progress(client: Any) -> tuple[float, float]:
    """Execute a cell; return the seconds until it showed something, and until it was done."""
    start = time.perf_counter()
    shown: list[float] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "display_data":
            shown.append(time.perf_counter() - start)

    client.execute_interactive("print(1)", output_hook=hear, timeout=LIMIT)
    return shown[0], time.perf_counter() - start


def memory(process: int) -> float:
    """Return the MB that a process has in memory, as far as it shares them with nobody."""
    with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
        told = dict(line.split(":", 1) for line in file if "_" in line or line.startswith("Rss"))
    return int(told["Private_Dirty"].split()[0]) / 1000


class Offers:
    """The sides: kernelspecs in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        os.environ |= {
            "ENVTOOL_ROOT": str(folder / "root"),
            "JUPYTER_DATA_DIR": str(folder / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(folder / "run"),
            "IPYTHONDIR": str(folder / "ipython"),
        }
        self.workspace = Workspace(load(os.environ))
        self.launcher = f"{install_generic(self.workspace).directory}/envtool-kernel"
        self.offer("realised", [self.launcher, "--declaration", self.declare()])
        self.changed = Path(self.declare())
        self.offer("changed", [self.launcher, "--declaration", str(self.changed)])
        self.offer("plain", [self._venv(), "-m", "ipykernel_launcher"])

    def declare(self) -> str:
        """Write a declaration that nothing was made of yet."""
        self.count += 1
        path = self.folder / f"p{self.count}" / "envtool.toml"
        path.parent.mkdir()
        path.write_text('dependencies = ["ipykernel"]\n')
        return str(path)

    def offer(self, name: str, argv: list[str]) -> str:
        """Write a kernelspec and return its name."""
        spec = {"argv": [*argv, "-f", "{connection_file}"], "display_name": name}
        directory = self.folder / "jupyter/kernels" / name
        directory.mkdir(parents=True)
        (directory / "kernel.json").write_text(
            json.dumps({**spec, "language": "python", "interrupt_mode": "message"})
        )
        return name

    def unbuilt(self) -> str:
        """Return the name of a kernel whose environment is in the store but was never made."""
        declaration = self.declare()
        return self.offer(f"new-{self.count}", [self.launcher, "--declaration", declaration])

    def realise(self) -> None:
        """Make the environment of `realised`, and with it all that others need."""
        self.workspace.switch(open_project(str(self.folder / "p1")))
        self.workspace.switch(open_project(str(self.changed.parent)))
        self.changed.write_text('dependencies = ["ipykernel", "six"]\n')

    def _venv(self) -> str:
        venv, uv = self.folder / "venv", Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, venv], check=True)
        python = str(venv / "bin/python")
        install = [uv, "pip", "install", "-q", "--compile-bytecode", "--python", python]
        subprocess.run([*install, "ipykernel"], check=True)
        return python


def rounds(offers: Offers, count: int) -> dict[str, list[float]]:
    """Return what was measured, by row."""
    found: dict[str, list[float]] = {}

    def note(row: str, figure: float) -> None:
        found.setdefault(row, []).append(figure)

    def fast(name: str) -> None:
        with kernel(name) as (_, client, seconds):
            note(f"start, {name} (s)", seconds)
            note(f"1+1, {name} (ms)", round_trip(client) * 1000)
            if name == "realised":
                note("import of the magics (ms)", import_of_magics(client) * 1000)

    def relayed() -> None:
        with kernel(offers.unbuilt()) as (manager, client, seconds):
            note("start, relay (s)", seconds)
            shown, done = first_progress(client)
            note("first progress, relay (s)", shown)
            note("first cell, relay (s)", done)
            note("1+1, relay (ms)", round_trip(client) * 1000)
            note("memory, relay (MB)", memory(manager.provisioner.pid))

    sides: list[Callable[[], None]] = [
        *(partial(fast, name) for name in ("plain", "realised", "changed")),
        relayed,
    ]
    for number in range(count):
        for side in sides if number % 2 else reversed(sides):
            settle(5)
            side()
    return found


def main() -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="envtool-bench-", dir=base) as folder:
        offers = Offers(Path(folder))
        with kernel(offers.unbuilt()) as (_, client, seconds):
            shown, done = first_progress(client)
            print(f"cold, from the network: answers in {seconds:.2f} s, progress in the cell")
            print(f"{shown:.2f} s after it was sent, the result after {done:.1f} s")
        offers.realise()
        found = rounds(offers, arguments.rounds)
    keep("kernel", {}, found)
    for row, figures in found.items():
        spread = f"{min(figures):.2f} to {max(figures):.2f}"
        print(f"{row:28} {statistics.median(figures):8.2f}   ({spread})")
    names = ("realised", "changed", "plain")
    ours, changed, plain = (statistics.median(found[f"start, {name} (s)"]) for name in names)
    extra = statistics.median(found["1+1, relay (ms)"]) - statistics.median(
        found["1+1, realised (ms)"]
    )
    print(f"start, realised to plain: {ours / plain:.2f} times, changed: {changed / plain:.2f}")
    print(f"the relay adds {extra:.2f} ms to a round trip")


if __name__ == "__main__":
    main()
