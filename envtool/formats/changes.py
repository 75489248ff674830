"""What differs between two sets of packages."""

from collections.abc import Sequence

from envtool.formats.generation import Package
from envtool.values import value


@value
class Changes:
    """What differs between two sets of packages; each sorted by name."""

    added: tuple[Package, ...]
    removed: tuple[Package, ...]
    changed: tuple[tuple[Package, Package], ...]
    """Before and after."""
    python: tuple[str | None, str]
    """Version before (None: there was nothing) and after."""

    def __bool__(self) -> bool:
        """Say whether anything differs."""
        same_python = self.python[0] == self.python[1]
        return not same_python or bool(self.added or self.removed or self.changed)


def compare(
    before: Sequence[Package], after: Sequence[Package], python: tuple[str | None, str]
) -> Changes:
    """Return what differs between two sets of packages."""
    old = {package.name: package for package in before}
    new = {package.name: package for package in after}
    both = sorted(old.keys() & new.keys())
    return Changes(
        added=tuple(new[name] for name in sorted(new.keys() - old.keys())),
        removed=tuple(old[name] for name in sorted(old.keys() - new.keys())),
        changed=tuple((old[n], new[n]) for n in both if _identity(old[n]) != _identity(new[n])),
        python=python,
    )


def _identity(package: Package) -> object:
    """Return what tells one build of a package from another: its object, or else its version."""
    return package.path or package.version
