"""System packages: what their closure is, and the derivation of the root that they make.

Beside what is asked for, a root has Debian's essential packages, which nothing depends on and
everything may use, and the certificates.
"""

import json
from typing import TYPE_CHECKING

from envtool.formats.debian.suites import release_of
from envtool.formats.locked import LockedSystem
from envtool.formats.nix.storepath import StorePath
from envtool.machine.settings import Settings
from envtool.plan.closed.interpreters import ALIASES
from envtool.plan.closed.python import add_deb_file
from envtool.plan.derivations import DEBIAN_ROOT, Instantiation, derivation
from envtool.values import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envtool.formats.debian.package import DebianPackage
    from envtool.formats.declarations.declaration import SystemChoice
    from envtool.machine.debian.archive import Archive
    from envtool.plan.debian.universe import Universe

__all__ = ["add_system", "pin_system"]

_STABLE = "stable"
_ESSENTIAL = (
    *("base-files", "base-passwd", "bash", "bsdutils", "coreutils", "dash", "debianutils"),
    *("diffutils", "dpkg", "findutils", "grep", "gzip", "hostname", "init-system-helpers"),
    *("libc-bin", "login", "ncurses-base", "ncurses-bin", "perl-base", "sed", "sysvinit-utils"),
    *("tar", "util-linux"),
)
"""What is essential in some suite; in others some of them are not."""
_USUAL = ("ca-certificates", "usr-is-merged")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def pin_system(
    settings: Settings,
    choice: "SystemChoice",
    former: LockedSystem | None,
    *,
    upgrade: bool = False,
) -> LockedSystem:
    """Return the closure of the packages that are asked for, as Debian's archive has it now.

    The `former` one is kept if it answers the same, unless it is to be upgraded.

    :raises UnsatisfiableError: there is no closure; it says which other suite has what is missing.
    :raises FetchError: the suite is not there, may not be trusted, or no mirror answers.
    """
    if former is not None and not upgrade and _answers(former, choice):
        return replace(former, allowed=choice.allowed)
    from envtool.machine.debian.archive import open_archive
    from envtool.machine.fetching.fetch import Fetcher

    with Fetcher(offline=settings.offline) as fetcher:
        found = _pin(open_archive(settings, fetcher), choice)
    # What did not change keeps the time at which it was locked.
    before = {(each.sha256, each.suite): each for each in former.packages} if former else {}
    kept = (before.get((each.sha256, each.suite), each) for each in found)
    return LockedSystem(choice.packages, choice.allowed, tuple(kept))


def _answers(former: LockedSystem, choice: "SystemChoice") -> bool:
    suites = {release_of(each.suite) for each in former.packages}
    components = {each.component for each in former.packages}
    fits = choice.suite is None or choice.suite in ALIASES or suites == {release_of(choice.suite)}
    return fits and former.requested == choice.packages and components <= {*choice.components}


def _pin(archive: "Archive", choice: "SystemChoice") -> "tuple[DebianPackage, ...]":
    from envtool.plan.debian.pinning import open_universe, pin_closure

    suites = [choice.suite or _STABLE]
    with open_universe(archive, suites, choice.components, refresh=True) as (universe, _):
        wanted = [*choice.packages, *_always(universe)]
    return pin_closure(archive, wanted, suites, choice.components, refresh=False).packages


def _always(universe: "Universe") -> "Iterable[str]":
    for name in _ESSENTIAL:
        if any(each.essential for each in universe.named(name)):
            yield name
    for name in _USUAL:
        if universe.named(name):
            yield name


def add_system(made: Instantiation, system: LockedSystem) -> StorePath:
    """Add the system root, and the fetches of its .debs, and return its `.drv` path."""
    fetches = [(add_deb_file(made, each), each) for each in system.packages]
    debs = [[made.output(path).full(), each.filename] for path, each in fetches]
    variables = {
        "debs": json.dumps(debs),
        "allowed": json.dumps(list(system.allowed)),
    }
    architecture = next(
        (each.architecture for each in system.packages if each.architecture != "all"), "amd64"
    )
    machine = _MACHINES.get(architecture, architecture)
    inputs = [path for path, _ in fetches]
    return made.add(derivation("system", DEBIAN_ROOT, variables, inputs, system=f"{machine}-linux"))
