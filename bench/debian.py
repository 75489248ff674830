"""What Debian as a source costs: a suite's index, closures of ten programs, and questions to it.

The peer is apt with folders of its own: `update`, then `-s install` without recommended packages
and as if nothing was there, from the same mirror on loopback, which has the indices of one release,
of its updates and of its security updates. The closures are compared, too: of the ten programs, and
of as many others alone as `--closures` says.
"""

import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from interpreter import served
from mirror import keep_suites
from stage import arguments, envtool, perform, unlock
from timing import Command, Prepare, interleave, keep, median, report

from envtool.machine.debian.archive import Archive, open_archive
from envtool.machine.debian.releases import Suite
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import Settings
from envtool.plan.debian.pinning import pin_closure
from envtool.sources.debian import signature

PROGRAMS = (
    "graphviz pandoc git r-base-core ffmpeg gcc nodejs texlive-base postgresql-client imagemagick"
)
COLD, WARM, QUESTION = 3.0, 0.2, 0.05
PIN = """
import sys
from envtool.machine.debian.archive import open_archive
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import Settings
from envtool.plan.debian.pinning import pin_closure
root, mirror, suite, refresh, *names = sys.argv[1:]
with Fetcher(offline=False) as fetcher:
    archive = open_archive(Settings(root=root, debian_mirrors=(mirror,)), fetcher)
    pin_closure(archive, names, [suite], refresh=refresh == "refresh")
"""
ASK = """
import sys, time
from envtool.machine.debian.archive import open_archive
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import Settings
root, suite, name = sys.argv[1:]
with Fetcher(offline=True) as fetcher:
    archive = open_archive(Settings(root=root), fetcher)
    start = time.perf_counter()
    with archive.packages(archive.suite(suite, refresh=False), "main") as index:
        (found,) = index.named(name)[:1]
        found.depends, index.providing("mail-transport-agent")
print(time.perf_counter() - start)
"""


def apt(folder: Path, url: str, suites: Sequence[Suite]) -> tuple[str, ...]:
    """Make folders of its own for apt, and return the options that say so."""
    for each in ("state/lists/partial", "cache/archives/partial", "etc"):
        (folder / each).mkdir(parents=True)
    (folder / "status").touch()
    keys = Path(signature.__file__).with_name("keys")
    trusted = folder / "keys.gpg"
    trusted.write_bytes(b"".join(path.read_bytes() for path in sorted(keys.glob("*.pgp"))))
    sources = folder / "sources.list"
    sources.write_text(
        "".join(
            f"deb [signed-by={trusted}] {url.replace('{archive}', each.archive)} {each.name} main\n"
            for each in suites
        )
    )
    options = {
        "Dir::State": f"{folder}/state",
        "Dir::State::status": f"{folder}/status",
        "Dir::Cache": f"{folder}/cache",
        "Dir::Etc": f"{folder}/etc",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    return tuple(word for name, value in options.items() for word in ("-o", f"{name}={value}"))


def command(folder: Path, *argv: str) -> Command:
    """Return a command that sees nothing of the user's, and for envtool no network."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C"}
    environment |= {"ENVTOOL_ROOT": f"{folder}/root", "ENVTOOL_OFFLINE": "1"}
    return Command(argv, environment, str(folder))


def simulated(folder: Path, options: tuple[str, ...], names: list[str]) -> set[str] | None:
    """Return what apt would take; None if it finds nothing that goes together."""
    argv = ("apt-get", *options, "-s", "--no-install-recommends", "install", *names)
    done = subprocess.run(
        argv, env=command(folder).environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return None
    return set(re.findall(r"^Inst (\S+?)(?::\S+)? ", done.stdout, re.MULTILINE))


def compared(
    archive: Archive, folder: Path, options: tuple[str, ...], suite: str, count: int
) -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield what of a closure only apt takes, and what only we; the ten first, then others."""
    with archive.packages(archive.suite(suite, refresh=False), "main") as index:
        names = random.Random(1).sample(index.all_names(), count)
    for each in [PROGRAMS, *names]:
        theirs = simulated(folder, options, each.split())
        if theirs is None:
            continue
        found = pin_closure(archive, each.split(), [suite], refresh=False)
        ours = {package.name for package in found.packages}
        yield each, theirs - ours, ours - theirs


def agree(folder: Path, options: tuple[str, ...], suite: str, count: int) -> None:
    """Say how many closures are what apt would take, and how the others differ."""
    with Fetcher(offline=True) as fetcher:
        archive = open_archive(Settings(root=f"{folder}/root"), fetcher)
        rows = list(compared(archive, folder, options, suite, count))
    different = [(name, theirs, ours) for name, theirs, ours in rows if theirs | ours]
    for name, theirs, ours in different:
        print(f"  {name}: only apt {sorted(theirs)}, only envtool {sorted(ours)}")
    print(f"closures equal to apt's: {len(rows) - len(different)} of {len(rows)}\n")


def sides(folder: Path, url: str, suites: Sequence[Suite], *, cold: bool) -> dict[str, Prepare]:
    """Return both tools, each with the index that it fetches first, or has."""
    names = PROGRAMS.split()

    def ours(number: int) -> Command:
        root = f"{folder}/cold-{number}" if cold else f"{folder}/root"
        argv = (
            sys.executable,
            "-c",
            PIN,
            root,
            url,
            suites[0].name,
            "refresh" if cold else "keep",
            *names,
        )
        return command(folder, *argv)

    def theirs(number: int) -> Command:
        options = apt(folder / f"apt-{number}", url, suites) if cold else kept
        install = ["apt-get", *options, "-s", "--no-install-recommends", "install", *names]
        if not cold:
            return command(folder, *install)
        update = ["apt-get", *options, "update"]
        return command(folder, "sh", "-c", f"{quoted(update)} && {quoted(install)}")

    kept = () if cold else apt(folder / "apt", url, suites)
    if not cold:
        perform(command(folder, "apt-get", *kept, "update"))
        perform(ours(0))
    return {"envtool": ours, "apt": theirs}


def quoted(words: list[str]) -> str:
    """Return words as a shell reads them."""
    return " ".join(f"'{word}'" for word in words)


def questions(folder: Path, suite: str, wait: float) -> None:
    """Time a search as a process, and a package with its dependencies inside one."""
    words = (envtool(), "--offline", "search", "--suite", suite)
    for title, more in {"search": ["graphviz"], "search in vain": ["graphvz"]}.items():
        started = command(folder, *words, *more)
        runs = interleave({title: lambda _, started=started: started}, rounds=21, wait=wait)
        print(f"{title}: {median(runs[title]) * 1e3:.0f} ms (at most {WARM * 1e3:.0f} wanted)")
        keep(f"debian {title}", runs, {"median": median(runs[title]), "goal": WARM})
    asked = command(folder, sys.executable, "-c", ASK, f"{folder}/root", suite, "graphviz")
    seconds = sorted(float(perform(asked)) for _ in range(9))[4]
    print(f"a package, what it needs, and who provides a name: {seconds * 1e3:.0f} ms")


def main() -> None:
    """Measure."""
    parser = arguments(__doc__, rounds=11)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--closures", type=int, default=100, help="how many to compare with apt's")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envtool-bench-", dir=chosen.folder) as name:
        folder = Path(name)
        try:
            suites = keep_suites(folder / "mirror", chosen.suite)
            with served(folder / "mirror") as url:
                for title, cold, goal in (("cold", True, COLD), ("warm", False, WARM)):
                    both = sides(folder, url, suites, cold=cold)
                    runs = interleave(both, rounds=chosen.rounds, wait=chosen.wait)
                    report(f"closure of ten programs, {title}", runs, goal=1.0)
                    print(f"  {median(runs['envtool']):.2f} s (at most {goal} s wanted)\n")
            questions(folder, chosen.suite, chosen.wait)
            options = apt(folder / "again", url, suites)
            shutil.rmtree(folder / "again/state")
            shutil.copytree(folder / "apt/state", folder / "again/state")
            agree(folder, options, chosen.suite, chosen.closures)
        finally:
            unlock(folder)


if __name__ == "__main__":
    main()
