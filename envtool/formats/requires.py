"""Who requires whom among the packages of an environment."""

from collections.abc import Sequence

from envtool.formats.generation import Package
from envtool.formats.locked import Lock, LockedLibrary


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


DECLARED = "the declaration"
"""Who asks for the libraries that the declaration names itself."""


def askers(libraries: Sequence[LockedLibrary]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return which sonames somebody (a wheel, or another library's package) asks a package for."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for library in libraries:
        for asked in library.asked:
            who, _, soname = asked.rpartition(" ")
            key = (who, library.package.name)
            found[key] = (*found.get(key, ()), soname)
    return found


def with_libraries(
    packages: Sequence[Package], libraries: Sequence[LockedLibrary]
) -> list[Package]:
    """Return the packages and those of Debian whose libraries they need, with who needs which.

    Where one of Debian has the name of a Python package, that one is meant.
    """
    names = {package.name for package in packages}
    asking = askers(libraries)
    new = [each.package for each in libraries if each.package.name not in names]
    needs: dict[str, list[str]] = {}
    for who, name in asking:
        needs.setdefault(who, []).append(name)
    found = [
        Package(
            name=package.name,
            version=package.version,
            path=package.path,
            size=package.size,
            direct=package.direct,
            requires=(*package.requires, *needs.get(package.name, ())),
        )
        for package in packages
    ]
    found += [
        Package(
            name=package.name,
            version=package.version,
            path=None,
            size=None,
            direct=(DECLARED, package.name) in asking,
            requires=needs.get(package.name, ()),
        )
        for package in new
    ]
    return found


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
