"""Debian's names of architectures: of the machine, of library folders, and wildcards."""

from collections.abc import Iterable

from envtool.errors import EnvtoolError

__all__ = ["counts", "matches", "of_machine", "triplet"]

_MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "armhf",
    "armv8l": "armhf",
    "i386": "i386",
    "i686": "i386",
    "loongarch64": "loong64",
    "ppc64le": "ppc64el",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
_TRIPLETS = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "armel": "arm-linux-gnueabi",
    "armhf": "arm-linux-gnueabihf",
    "i386": "i386-linux-gnu",
    "loong64": "loongarch64-linux-gnu",
    "ppc64el": "powerpc64le-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "s390x": "s390x-linux-gnu",
}


def of_machine(machine: str) -> str:
    """Return Debian's name of what `uname -m` says.

    :raises EnvtoolError: Debian has no such architecture.
    """
    if machine not in _MACHINES:
        raise EnvtoolError(f"Debian has no architecture for this machine, {machine!r}")
    return _MACHINES[machine]


def triplet(architecture: str) -> str:
    """Return the name of the architecture's folder below /usr/lib.

    :raises EnvtoolError: an architecture that Debian does not release.
    """
    if architecture not in _TRIPLETS:
        raise EnvtoolError(f"{architecture!r} is no architecture that Debian releases")
    return _TRIPLETS[architecture]


def matches(architecture: str, wildcard: str) -> bool:
    """Return whether an architecture of Linux is, or falls under, what is named.

    Wildcards are `any`, `linux-any` and `any-CPU` (Policy 11.1).
    """
    return wildcard in {architecture, "any", "linux-any", f"any-{architecture}"} or (
        wildcard == f"linux-{architecture}"
    )


def counts(restrictions: Iterable[str], architecture: str) -> bool:
    """Return whether a relation with these restrictions counts on an architecture (Policy 7.1)."""
    listed = tuple(restrictions)
    denied = [each[1:] for each in listed if each.startswith("!")]
    if denied:
        return not any(matches(architecture, each) for each in denied)
    return not listed or any(matches(architecture, each) for each in listed)
