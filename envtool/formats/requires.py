"""Who requires whom among the packages of an environment."""

from collections.abc import Sequence

from envtool.formats.generation import Package
from envtool.formats.locked import Lock


def locked_packages(lock: Lock) -> list[Package]:
    """Return the lock's packages as a generation would tell of them, before there is one."""
    return [
        Package(
            name=package.name,
            version=package.version,
            path=None,
            size=None,
            direct=package.direct,
            requires=package.dependencies,
        )
        for package in lock.packages
    ]


def chains(packages: Sequence[Package], wanted: str) -> list[tuple[str, ...]]:
    """Return the chains of names that lead from direct requirements to the package `wanted`.

    One, the shortest, for each requirement, shortest first; none when the package is not there.
    """
    users: dict[str, list[str]] = {}
    for package in packages:
        for required in package.requires:
            users.setdefault(required, []).append(package.name)
    direct = {package.name for package in packages if package.direct}
    if wanted not in {package.name for package in packages}:
        return []
    found: list[tuple[str, ...]] = []
    queue: list[tuple[str, ...]] = [(wanted,)]
    seen = {wanted}
    while queue:
        chain = queue.pop(0)
        if chain[0] in direct:
            found.append(chain)
        for user in sorted(users.get(chain[0], ())):
            if user not in seen:
                seen.add(user)
                queue.append((user, *chain))
    return found
