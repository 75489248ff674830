"""What differs between two sets of packages."""

from collections.abc import Sequence
from typing import Any

from envtool.formats.generation import Package
from envtool.formats.ground import HOST, Deb, Ground
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
    source: tuple[str | None, str] = (HOST.source, HOST.source)
    """Where the interpreter comes from, before (None: there was nothing) and after."""
    debs_added: tuple[Deb, ...] = ()
    """Of Debian; by use and name, as the next two."""
    debs_removed: tuple[Deb, ...] = ()
    debs_changed: tuple[tuple[Deb, Deb], ...] = ()

    def __bool__(self) -> bool:
        """Say whether anything differs."""
        packages = self.added or self.removed or self.changed
        debs = self.debs_added or self.debs_removed or self.debs_changed
        return self.has_other_python or bool(packages or debs)

    @property
    def has_other_python(self) -> bool:
        """Say whether the interpreter is of another version, or from elsewhere."""
        return self.python[0] != self.python[1] or self.source[0] != self.source[1]


def compare(
    before: Sequence[Package],
    after: Sequence[Package],
    python: tuple[str | None, str],
    ground: tuple[Ground | None, Ground] | None = None,
) -> Changes:
    """Return what differs between two sets of packages, and between what they stand on.

    Of the ground before, None says that there was nothing; without any, it is the host's.
    """
    former, now = ground or (HOST if python[0] else None, HOST)
    old = {package.name: package for package in before}
    new = {package.name: package for package in after}
    both = sorted(old.keys() & new.keys())
    return Changes(
        added=tuple(new[name] for name in sorted(new.keys() - old.keys())),
        removed=tuple(old[name] for name in sorted(old.keys() - new.keys())),
        changed=tuple((old[n], new[n]) for n in both if _identity(old[n]) != _identity(new[n])),
        python=python,
        source=(former.source if former else None, now.source),
        **_debs(former.debs if former else (), now.debs),
    )


def _debs(before: Sequence[Deb], after: Sequence[Deb]) -> dict[str, tuple[Any, ...]]:
    old = {(each.use, each.name): each for each in before}
    new = {(each.use, each.name): each for each in after}
    both = sorted(old.keys() & new.keys())
    return {
        "debs_added": tuple(new[key] for key in sorted(new.keys() - old.keys())),
        "debs_removed": tuple(old[key] for key in sorted(old.keys() - new.keys())),
        "debs_changed": tuple(
            (old[key], new[key]) for key in both if old[key].version != new[key].version
        ),
    }


def _identity(package: Package) -> object:
    """Return what tells one build of a package from another: its object, or else its version."""
    return package.path or package.version
