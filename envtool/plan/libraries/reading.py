"""Read what the unpacked wheels of an environment need, or are known to open by name."""

from collections.abc import Iterable, Iterator, Sequence

from envtool.formats.requires import DECLARED
from envtool.plan.libraries.completeness import Contents
from envtool.sources.binaries import Binary, in_folder
from envtool.sources.opened import OPENED, Opened
from envtool.values import replace, value

__all__ = ["Unpacked", "read_wheels", "with_rpath"]


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
    wheels: Iterable[Unpacked], libraries: Sequence[str] = (), *, loader: str | None = None
) -> tuple[Contents, ...]:
    """Return what counts of each wheel; `libraries` are the declaration's own, asked for last.

    `loader` is that of an interpreter of our own. Of the wheels' programs only those count then
    that are made to start by it (`build.closed.programs`), and so look where it does.

    :raises OSError: a wheel is not there.
    """
    found = [
        Contents(
            each.name,
            tuple(_counting(in_folder(each.folder), loader)),
            each.requires,
            OPENED.get(each.name, ()),
        )
        for each in wheels
    ]
    if libraries:
        opens = tuple(Opened((soname,), "the declaration says so") for soname in libraries)
        found.append(Contents(DECLARED, (), (), opens))
    return tuple(found)


def _counting(binaries: Iterable[Binary], loader: str | None) -> Iterator[Binary]:
    for each in binaries:
        if loader is None or not each.elf.is_program:
            yield each
        elif each.elf.starts_by(loader):
            yield with_rpath(each)


def with_rpath(binary: Binary) -> Binary:
    """Return the file with its search path as DT_RPATH: it looks where what loads it does, too."""
    dynamic = binary.elf.dynamic
    if dynamic is None or dynamic.runpath is None:
        return binary
    changed = replace(dynamic, rpath=dynamic.runpath, runpath=None)
    return replace(binary, elf=replace(binary.elf, dynamic=changed))
