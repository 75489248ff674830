"""Read what the unpacked wheels of an environment need, or are known to open by name."""

from collections.abc import Iterable, Sequence

from envtool.plan.completeness import Contents
from envtool.sources.binaries import in_folder
from envtool.sources.opened import OPENED, Opened
from envtool.values import value

__all__ = ["DECLARED", "Unpacked", "read_wheels"]

DECLARED = "the declaration"
"""Who asks for what `libraries` names."""


@value
class Unpacked:
    """An unpacked wheel."""

    name: str
    """Normalised."""
    folder: str
    """Where it lies on this machine."""
    requires: tuple[str, ...]
    """Names of packages of the same environment."""


def read_wheels(wheels: Iterable[Unpacked], libraries: Sequence[str] = ()) -> tuple[Contents, ...]:
    """Return what counts of each wheel; `libraries` are the declaration's own, asked for last.

    :raises OSError: a wheel is not there.
    """
    found = [
        Contents(each.name, in_folder(each.folder), each.requires, OPENED.get(each.name, ()))
        for each in wheels
    ]
    if libraries:
        opens = tuple(Opened((soname,), "the declaration says so") for soname in libraries)
        found.append(Contents(DECLARED, (), (), opens))
    return tuple(found)
