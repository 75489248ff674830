"""A mirror of Debian on this machine: a release, its updates and its security updates, as it is.

Only what locking reads is kept: InRelease, and the index of packages of main.
"""

import re
import shutil
from pathlib import Path

from envtool.machine.debian.archive import open_archive
from envtool.machine.debian.mirrors import find_mirrors
from envtool.machine.debian.releases import Suite
from envtool.machine.debian.updates import suites_of
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import Settings


def keep_suites(mirror: Path, suite: str) -> tuple[Suite, ...]:
    """Keep a release and its updates below the folder of a mirror, from the host's mirrors."""
    with Fetcher(offline=False) as fetcher:
        archive = open_archive(Settings(root=str(mirror / "root")), fetcher)
        found = suites_of(archive, suite, refresh=True)
        for each in found:
            _keep(mirror, each, fetcher, archive.architecture)
    return found


def _keep(mirror: Path, suite: Suite, fetcher: Fetcher, architecture: str) -> None:
    base = f"{find_mirrors((), None).of(suite.archive)[0]}/dists/{suite.name}"
    dist = mirror / suite.archive / "dists" / suite.name
    for listed in suite.release.files.values():
        if re.fullmatch(rf"main/binary-{architecture}/Packages\.xz", listed.path):
            path = dist / listed.path
            copy = path.parent / "by-hash/SHA256" / listed.sha256
            copy.parent.mkdir(parents=True)
            url = f"{base}/{listed.path.rpartition('/')[0]}/by-hash/SHA256/{listed.sha256}"
            fetcher.fetch(url, str(copy), sha256=listed.sha256)
            shutil.copy(copy, path)
    fetcher.fetch(f"{base}/InRelease", str(dist / "InRelease"), sha256=None)
