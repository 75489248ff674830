"""What one closure has that another lacks, by name and version, as `nix store diff-closures`."""

import re
from collections.abc import Mapping

from envtool.formats.nix.storepath import StorePath
from envtool.values import value

__all__ = ["Difference", "compare", "name_and_version"]

_OUTPUT = re.compile(r"(.*)-(?:[a-z]+|lib32|lib64)", re.DOTALL)
"""A name that may end in that of an output; nobody can tell `-bin` from `-unstable`."""
_VERSION = re.compile(r"-(?![A-Za-z])(?=.)", re.DOTALL)

Sizes = Mapping[StorePath, int]
"""A closure: each path with its NAR's bytes."""


@value
class Difference:
    """What became of one name."""

    name: str
    removed: tuple[str, ...]
    """Versions that only the first closure has, sorted; an empty text is no version."""
    added: tuple[str, ...]
    """Versions that only the second has."""
    before: int
    """Bytes of all its paths in the first closure; 0 when it is not there."""
    after: int

    @property
    def growth(self) -> int:
        """By how many bytes the second is larger."""
        return self.after - self.before


def compare(before: Sizes, after: Sizes) -> list[Difference]:
    """Return the names whose versions or sizes differ, in order."""
    old, new = _grouped(before), _grouped(after)
    found = []
    for name in sorted(old.keys() | new.keys()):
        versions, later = old.get(name, {}), new.get(name, {})
        difference = Difference(
            name,
            tuple(sorted(versions.keys() - later.keys())),
            tuple(sorted(later.keys() - versions.keys())),
            sum(versions.values()),
            sum(later.values()),
        )
        if difference.removed or difference.added or difference.growth:
            found.append(difference)
    return found


def name_and_version(path: StorePath) -> tuple[str, str]:
    """Split `numpy-2.1.0` at the first dash that no letter follows; the version may be empty.

    Before that a last part such as `-dev` or `-lib` is taken off (Nix's `DrvName` and
    `diff-closures.cc`).
    """
    name = path.name
    if match := _OUTPUT.fullmatch(name):
        name = match[1]
    if match := _VERSION.search(name):
        return name[: match.start()], name[match.end() :]
    return name, ""


def _grouped(sizes: Sizes) -> dict[str, dict[str, int]]:
    """Return bytes by name and version."""
    groups: dict[str, dict[str, int]] = {}
    for path, size in sizes.items():
        name, version = name_and_version(path)
        versions = groups.setdefault(name, {})
        versions[version] = versions.get(version, 0) + size
    return groups
