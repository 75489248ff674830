"""What an interpreter of our own costs: its start beside the host's, and its closure from nothing.

The peer of the start is a Python of the same feature release on the host, as its distribution
built it. The closure is locked, fetched, unpacked and joined in an empty root, from a mirror on
loopback that keeps what the lock pins and the index it was chosen from.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mirror import keep_suites
from stage import arguments, envtool, perform, unlock
from timing import Command, Prepare, interleave, keep, median, report

from envtool.formats.lock import parse
from envtool.machine.debian.mirrors import find_mirrors
from envtool.machine.fetching.fetch import Fetcher

INSIDE = "start in an environment"
STARTS = {
    "start bare": ("-I", "-S", "-c", "1"),
    "start": ("-c", "1"),
    INSIDE: ("-c", "1"),
    "start with modules": ("-c", "import asyncio, ssl, sqlite3, json, email.message"),
}
VENV = ("-m", "venv", "--without-pip")
GOAL, COLD = 1.1, 6.0


def command(folder: Path, *argv: str, **more: str) -> Command:
    """Return a command of envtool's whose root lies in the folder."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "ENVTOOL_ROOT": f"{folder}/root"}
    return Command((envtool(), *argv), environment | more, str(folder))


def project(folder: Path, suite: str) -> Path:
    """Make a project that asks for an interpreter and nothing else."""
    folder.mkdir(parents=True)
    text = f'name = "bench"\ninterpreter = "debian/{suite}"\ndependencies = []\n'
    (folder / "envtool.toml").write_text(text)
    return folder


def fill(mirror: Path, locked: Path, suite: str) -> None:
    """Keep what a lock pins, and what locking reads, in the folder of a mirror."""
    text = (locked / "pylock.toml").read_text()
    packages = parse(text, path="pylock.toml").python.pins.packages
    mirrors = find_mirrors((), None)
    with Fetcher(offline=False) as fetcher:
        for package in packages:
            path = mirror / package.archive / package.path
            path.parent.mkdir(parents=True, exist_ok=True)
            fetcher.fetch(mirrors.urls(package)[0], str(path), sha256=package.sha256)
    keep_suites(mirror, suite)


@contextmanager
def served(mirror: Path) -> Iterator[str]:
    """Serve a folder from a process of its own, and give its URL."""
    argv = [sys.executable, "-u", "-m", "http.server", "--protocol", "HTTP/1.1"]
    argv += ["--bind", "127.0.0.1", "--directory", str(mirror), "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            found = re.search(r"port (\d+)", server.stdout.readline())
            assert found is not None
            yield f"http://127.0.0.1:{found[1]}/{{archive}}"
        finally:
            server.terminate()


def cold(folder: Path, suite: str, url: str) -> Prepare:
    """Lock and realise in a root where there is nothing."""

    def prepare(number: int) -> Command:
        here = project(folder / f"cold-{number}", suite)
        return command(here, "switch", ENVTOOL_DEBIAN_MIRROR=url)

    return prepare


def found(here: Path, prefix: str) -> str:
    """Return the program python of the environment (`prefix`) or its interpreter's."""
    code = f"import sys; print(sys.{prefix})"
    return perform(command(here, "run", "python", "-c", code)) + "/bin/python"


def start(program: str, words: tuple[str, ...], folder: Path) -> Prepare:
    """Start an interpreter."""
    started = replace(command(folder), argv=(program, *words))
    return lambda _: started


def main() -> None:
    """Measure."""
    parser = arguments(__doc__, rounds=31)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--host", default="/usr/bin/python3.11", help="the peer")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envtool-bench-", dir=chosen.folder) as name:
        folder = Path(name)
        try:
            here = project(folder / "project", chosen.suite)
            perform(command(here, "switch"))
            venv = folder / "venv"
            perform(replace(command(folder), argv=(chosen.host, *VENV, str(venv))))
            bare = {"own": found(here, "base_prefix"), "host": chosen.host}
            inside = {"own": found(here, "prefix"), "host": f"{venv}/bin/python"}
            for title, words in STARTS.items():
                programs = inside if title == INSIDE else bare
                sides = {name: start(each, words, folder) for name, each in programs.items()}
                runs = interleave(sides, rounds=chosen.rounds, wait=chosen.wait)
                report(title, runs, goal=GOAL)
            fill(folder / "mirror", here, chosen.suite)
            with served(folder / "mirror") as url:
                once = {"cold": cold(folder, chosen.suite, url)}
                runs = interleave(once, rounds=7, wait=chosen.wait)
            seconds = median(runs["cold"])
            print(f"closure from nothing: {seconds:.2f} s (at most {COLD:.0f} s wanted)")
            keep("interpreter cold", runs, {"median": seconds, "goal": COLD})
        finally:
            unlock(folder)


if __name__ == "__main__":
    main()
