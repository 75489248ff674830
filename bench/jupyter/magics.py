"""What `%envtool` lines take in a running kernel.

    python bench/jupyter/magics.py [--rounds N]

In a root of its own. The package that is added lies in the store already. What the import of the
magics costs a kernel is a row of `kernel.py`.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # bench, for what its scripts share

from timing import keep

LINES = ("status", "tree", "diff", "add iniconfig", "rollback")


def printed(client: Any, code: str) -> str:
    """Return what a cell prints; it must succeed."""
    texts: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            texts.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=120, output_hook=hear)["content"]
    if reply["status"] != "ok":
        sys.exit(f"{code}: {reply['ename']}: {reply['evalue']}")
    return "".join(texts)


def timed(act: Callable[[], object]) -> float:
    """Return how many seconds it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each row, by its name."""
    from jupyter_client.manager import start_new_kernel

    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        manager, client = start_new_kernel(kernel_name="magics")
        for line in LINES:
            found.setdefault(line, []).append(timed(lambda: printed(client, f"%envtool {line}")))  # noqa: B023 - called at once
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return found


def main() -> None:
    """Make a project with a kernel, measure, and print a table."""
    from envtool.kernel.specs.kernelspec import install
    from envtool.machine.settings import load
    from envtool.workspace.entering import open_project
    from envtool.workspace.workspace import Workspace

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        names = {"ENVTOOL_ROOT": "root", "JUPYTER_DATA_DIR": "jupyter", "IPYTHONDIR": "ipython"}
        os.environ |= {name: f"{folder}/{place}" for name, place in names.items()}
        Path(folder, "envtool.toml").write_text('name = "magics"\ndependencies = ["ipykernel"]\n')
        workspace, project = Workspace(load(os.environ)), open_project(folder)
        workspace.switch(project)
        workspace.add(project, ["iniconfig"])
        workspace.rollback(project)
        workspace.remove(project, ["iniconfig"])
        install(workspace, project)
        measure(1)  # bytecode, and what the index is asked for
        found = measure(rounds)
        keep("magics", {}, found)
        for name, seconds in found.items():
            middle, least = statistics.median(seconds), min(seconds)
            print(f"{name:16} {middle * 1000:8.1f} ms  ({least * 1000:.1f} at best)")


if __name__ == "__main__":
    main()
