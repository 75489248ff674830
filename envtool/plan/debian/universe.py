"""What packages there are to choose from: several indices seen as one."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Protocol

from envtool.formats.debian.package import Origin, Package
from envtool.formats.debian.relations import Group, Relation
from envtool.formats.debian.suites import release_of
from envtool.formats.debian.version import key, satisfies

__all__ = ["Index", "Universe", "provision"]


class Index(Protocol):
    """The packages of one component of a suite."""

    @property
    def origin(self) -> Origin:
        """Return which one."""

    def names(self, prefix: str, most: int) -> Sequence[str]:
        """Return names that begin so; a negative number is no limit."""

    def named(self, name: str) -> Sequence[Package]:
        """Return the packages of this name."""

    def providing(self, name: str) -> Sequence[Package]:
        """Return the packages that provide this name, whatever they are called themselves."""


class Universe:
    """The packages of several indices; of one name the newest come first."""

    def __init__(self, indices: Sequence[Index], architecture: str) -> None:
        self.architecture = architecture
        releases = dict.fromkeys(release_of(each.origin.suite) for each in indices)
        self.title = ", ".join(releases) or "nothing"
        """The releases, as a message names them."""
        self._indices = tuple(indices)
        self._named: dict[str, tuple[Package, ...]] = {}
        self._providing: dict[str, tuple[Package, ...]] = {}

    def near(self, name: str, cutoff: float = 0.6) -> list[str]:
        """Return names of packages that are nearly this one, the nearest first; three at most."""
        prefix = name[: max(2, len(name) // 3)]
        names = {each for index in self._indices for each in index.names(prefix, -1)}
        return get_close_matches(name, sorted(names), cutoff=cutoff)

    def named(self, name: str) -> tuple[Package, ...]:
        """Return the versions of a package, the newest first; each once."""
        if name not in self._named:
            # What several indices have counts as of the first.
            found: dict[str, Package] = {}
            for index in self._indices:
                for each in index.named(name):
                    found.setdefault(each.sha256, each)
            versions = sorted(found.values(), key=lambda each: key(each.version), reverse=True)
            self._named[name] = tuple(versions)
        return self._named[name]

    def providing(self, name: str) -> tuple[Package, ...]:
        """Return who provides a name: the more important, the less needy, then by name.

        "Needy" is who depends on more packages: where any web browser or any of five ways to run
        PHP will do, it need not be the largest. Older versions of a package come behind all that
        are the newest of theirs.
        """
        if name not in self._providing:
            owners = {each.name for index in self._indices for each in index.providing(name)}
            found = [
                package
                for owner in owners
                for package in self.named(owner)
                if any(each.name == name for each in package.provides)
            ]
            self._providing[name] = tuple(sorted(found, key=self._preference))
        return self._providing[name]

    def candidates(self, group: Group) -> tuple[Package, ...]:
        """Return what satisfies one of the alternatives, the best first."""
        found: dict[str, Package] = {}
        for relation in group:
            if self.is_native(relation):
                for package in self.named(relation.name):
                    if relation.allows(package.version):
                        found.setdefault(package.sha256, package)
                for package in self.providing(relation.name):
                    if provision(package, relation):
                        found.setdefault(package.sha256, package)
        return tuple(found.values())

    def is_native(self, relation: Relation) -> bool:
        """Return whether a relation means packages of the universe's own architecture."""
        return relation.qualifier in {None, "any", "native", "all", self.architecture}

    def _preference(self, package: Package) -> tuple[bool, bool, int, int, str, int]:
        age = self.named(package.name).index(package)
        needs = len(package.depends)
        return age > 0, not package.essential, package.priority, needs, package.name, age


def provision(package: Package, relation: Relation) -> Relation | None:
    """Return by which of its Provides a package is what is asked for; None if by none.

    One without a version satisfies no relation with a version (Policy 7.5).
    """
    for each in package.provides:
        if each.name == relation.name and (
            relation.operator is None
            or (each.operator and satisfies(each.version, relation.operator, relation.version))
        ):
            return each
    return None
