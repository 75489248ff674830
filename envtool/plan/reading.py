"""Read what the unpacked wheels of an environment need, or are known to open by name."""

from collections.abc import Iterable, Sequence

from envtool.formats.requires import DECLARED
from envtool.plan.completeness import Contents
from envtool.sources.binaries import in_folder
from envtool.sources.opened import OPENED, Opened
from envtool.values import value

__all__ = ["Unpacked", "read_wheels"]


@value
class Unpacked:
    """An unpacked wheel."""

    name: str
    """Normalised."""
    folder: str
    """Where it lies on this machine."""
    requires: tuple[str, ...]
    """Names of packages of the same environment."""


def read_wheels(
    wheels: Iterable[Unpacked], libraries: Sequence[str] = (), *, programs: bool = True
) -> tuple[Contents, ...]:
    """Return what counts of each wheel; `libraries` are the declaration's own, asked for last.

    With an interpreter of our own a wheel's `programs` do not count: the loader that starts them
    is the host's.

    :raises OSError: a wheel is not there.
    """
    found = [
        Contents(
            each.name,
            tuple(one for one in in_folder(each.folder) if programs or not one.elf.is_program),
            each.requires,
            OPENED.get(each.name, ()),
        )
        for each in wheels
    ]
    if libraries:
        opens = tuple(Opened((soname,), "the declaration says so") for soname in libraries)
        found.append(Contents(DECLARED, (), (), opens))
    return tuple(found)
