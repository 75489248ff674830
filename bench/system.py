"""What a system root costs: some 230 .debs that lie on this machine, unpacked and set up.

envtool's side is the whole of `envtool run` in an empty root, with the interpreter of Debian that
comes along: fetched from a folder, checked by hash, unpacked, maintainer scripts run in a sandbox,
hashed into the store, entered. The peers make a root of the same system packages, from a
repository of just these .debs, with the scripts run, too: mmdebstrap as it is by default
(`important`), and with the variant `custom`, and debootstrap (`minbase`). mmdebstrap leaves out the
documentation that envtool leaves out; debootstrap cannot. apt is among the packages, since the
peers want it.

The peers run as root; they are Debian's packages mmdebstrap, debootstrap and apt-utils.
"""

import gzip
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stage import arguments, envtool, perform, unlock
from timing import Command, Prepare, interleave, median, report

from envtool.formats.debian.package import DebianPackage
from envtool.formats.lock import parse
from envtool.machine.debian.locked import fetch_locked
from envtool.machine.debian.mirrors import find_mirrors
from envtool.machine.fetching.fetch import Fetcher

PACKAGES = ["apt", "gcc", "git", "graphviz", "nodejs", "pandoc", "r-base-core"]
GOAL = 1.0
LEFT_OUT = ("doc", "doc-base", "info", "lintian", "locale", "man")
MERGED = Path("/usr/share/mmdebstrap/hooks/merged-usr")


def command(folder: Path, *argv: str | Path, **more: str) -> Command:
    """Return a command that sees nothing of the user's."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "LC_ALL": "C"}
    return Command(tuple(map(str, argv)), environment | more, str(folder))


def lock(folder: Path, suite: str) -> tuple[DebianPackage, ...]:
    """Make a project that asks for the packages, lock it, and keep all .debs in a mirror.

    Return those of the system root.
    """
    wanted = ", ".join(f'"{name}"' for name in PACKAGES)
    project = folder / "project"
    project.mkdir()
    (project / "envtool.toml").write_text(
        f'name = "bench"\ninterpreter = "debian/{suite}"\ndependencies = []\n'
        f'[system]\npackages = [{wanted}]\nsuite = "{suite}"\n'
    )
    root = f"{folder}/lock-root"
    perform(command(folder, envtool(), "-C", project, "lock", ENVTOOL_ROOT=root))
    found = parse((project / "pylock.toml").read_text(), path="pylock.toml")
    assert found.system is not None
    mirrors = find_mirrors((), None)
    with Fetcher(offline=False) as fetcher:
        for package in {*found.python.pins.packages, *found.system.packages}:
            path = folder / "mirror" / package.archive / package.path
            path.parent.mkdir(parents=True, exist_ok=True)
            fetch_locked(fetcher, mirrors, package, str(path))
    return found.system.packages


def publish(folder: Path, packages: Sequence[DebianPackage], suite: str) -> None:
    """Make a repository of the packages, and no others."""
    place, index = folder / "repository", f"dists/{suite}/main/binary-amd64/Packages"
    (place / "pool").mkdir(parents=True)
    (place / index).parent.mkdir(parents=True)
    for each in packages:
        os.link(folder / "mirror" / each.archive / each.path, place / "pool" / each.filename)
    text = perform(Command(("apt-ftparchive", "packages", "pool"), dict(os.environ), str(place)))
    (place / index).write_text(f"{text}\n\n")  # a blank line ends a stanza
    (place / f"{index}.gz").write_bytes(gzip.compress((place / index).read_bytes()))
    said = {"Codename": suite, "Suite": suite, "Components": "main", "Architectures": "amd64"}
    options = [f"-oAPT::FTPArchive::Release::{name}={text}" for name, text in said.items()]
    argv = ("apt-ftparchive", *options, "release", f"dists/{suite}")
    release = perform(Command(argv, dict(os.environ), str(place)))
    (place / f"dists/{suite}/Release").write_text(f"{release}\n")


def sides(folder: Path, packages: Sequence[DebianPackage], suite: str) -> dict[str, Prepare]:
    """Return what makes a root, ours first; the peers without those that are not here."""
    names = ",".join(each.name for each in packages)
    repository = folder / "repository"

    def ours(number: int) -> Command:
        more = {"ENVTOOL_ROOT": f"{folder}/root-{number}", "ENVTOOL_JOBS": str(os.cpu_count())}
        more["ENVTOOL_DEBIAN_MIRROR"] = f"file:{folder}/mirror/{{archive}}"
        return command(folder, envtool(), "-C", folder / "project", "run", "dot", "-V", **more)

    def mmdebstrap(variant: str) -> Prepare:
        left = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in LEFT_OUT]
        left.append("--dpkgopt=path-include=/usr/share/doc/*/copyright")
        argv = ["mmdebstrap", "--quiet", "--mode=root", f"--variant={variant}", *left]
        argv += [f"--include={names}", f"--hook-dir={MERGED}", suite]
        source = f"deb [trusted=yes] copy:{repository} {suite} main"
        return lambda number: command(folder, *argv, f"{folder}/{variant}-{number}", source)

    def debootstrap(number: int) -> Command:
        argv = ("debootstrap", "--variant=minbase", "--no-check-gpg", f"--include={names}", suite)
        return command(folder, *argv, folder / f"debootstrap-{number}", f"file:{repository}")

    found: dict[str, Prepare] = {"envtool": ours}
    if shutil.which("mmdebstrap"):
        found |= {"mmdebstrap": mmdebstrap("important"), "mmdebstrap custom": mmdebstrap("custom")}
    if shutil.which("debootstrap"):
        found["debootstrap"] = debootstrap
    return found


def installed(folder: Path) -> int:
    """Return how many packages dpkg's database of a root says are installed."""
    text = (folder / "var/lib/dpkg/status").read_text()
    return text.count("Status: install ok installed\n")


def main() -> None:
    """Measure."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--suite", default="bookworm")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envtool-bench-", dir=chosen.folder) as name:
        folder = Path(name)
        try:
            packages = lock(folder, chosen.suite)
            publish(folder, packages, chosen.suite)
            both = sides(folder, packages, chosen.suite)
            runs = interleave(both, rounds=chosen.rounds, wait=chosen.wait)
            print(f"{len(packages)} packages, {sum(each.size for each in packages) / 1e6:.0f} MB")
            report("a system root", runs, goal=GOAL)
            for peer in list(runs)[2:]:
                print(f"  envtool / {peer}: {median(runs['envtool']) / median(runs[peer]):.2f}")
            (made,) = (folder / "root-0/store").glob("*-system")
            for place in (made, *(folder / f"{each}-0" for each in ("important", "custom"))):
                print(f"  {place.name}: {installed(place)} packages")
        finally:
            subprocess.run(["umount", "--quiet", *folder.glob("*/proc")], check=False)
            unlock(folder)


if __name__ == "__main__":
    main()
