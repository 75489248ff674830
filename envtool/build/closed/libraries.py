"""Join unpacked .debs into one folder of shared libraries, for wheels to find, and their data.

What a file of the folder needs lies in it as well, or beside the interpreter, and is found by the
DT_RPATH of the interpreter's program. Debian's own search paths lead to folders of the host, so
they are taken out. Files are otherwise shared with the unpacked .debs by hard links.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence

from envtool.build.closed.data import join_data
from envtool.errors import BuildError
from envtool.sources.elf import MAGIC, read
from envtool.sources.elf_edit import without_search

__all__ = ["FOLDER", "candidates", "join_libraries", "places"]

FOLDER = "lib"
"""Of the object: where the libraries are."""
_LEFT = re.compile(
    r"(?:pkgconfig|cmake|girepository-1\.0|perl5?|perl-base|gconv|debug|audit)/|.*\.(?:a|o|pc)$|[^/]*\.la$"
).match
_LIBRARY = re.compile(r"lib[^/]*\.so(?:\.[^/]*)?").fullmatch


def candidates(tree: str, multiarch: str) -> tuple[str, ...]:
    """Return the folders of an unpacked .deb in which the loader of a Debian would look."""
    found = (f"{tree}/{below}" for below in _folders(multiarch))
    return tuple(folder for folder in found if os.path.isdir(folder))


def _folders(multiarch: str) -> tuple[str, ...]:
    return f"lib/{multiarch}", f"usr/lib/{multiarch}", "lib", "usr/lib"


def join_libraries(trees: Sequence[str], target: str, multiarch: str) -> None:
    """Make the new folder `target` of the libraries of unpacked .debs; sorted, first to last.

    :raises BuildError: two of them have different files at one place.
    """
    folder = f"{target}/{FOLDER}"
    os.makedirs(folder)
    for tree in trees:
        for path, place in places(tree, multiarch):
            _add(path, f"{folder}/{place}")
    _link_alternatives(folder)
    _drop_dangling(folder)
    join_data(trees, target)


def places(tree: str, multiarch: str) -> Iterator[tuple[str, str]]:
    """Yield what is to be taken, and where to; of the folders of all machines the top only."""
    for folder in candidates(tree, multiarch):
        if folder.endswith(f"/{multiarch}"):
            yield from ((f"{folder}/{place}", place) for place in _below(folder, ""))
        else:
            names = sorted(name for name in os.listdir(folder) if _LIBRARY(name))
            yield from ((f"{folder}/{name}", name) for name in names)


def _below(folder: str, inside: str) -> Iterator[str]:
    with os.scandir(f"{folder}/{inside}") as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            place = f"{inside}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if not _LEFT(f"{place}/"):
                    yield from _below(folder, f"{place}/")
            elif not _LEFT(place):
                yield place


def _add(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source):
        text = os.readlink(source)
        if not text.startswith("/") and not os.path.lexists(target):
            os.symlink(text, target)
        return
    with open(source, "rb") as file:
        data = file.read()
    changed = without_search(data) if data.startswith(MAGIC) else data
    if os.path.lexists(target):
        if os.path.islink(target) or _contents(target) != changed:
            place = os.path.basename(target)
            raise BuildError(f"two packages of Debian have different libraries {place}")
    elif changed is data:
        _share(source, target)
    else:
        with open(target, "xb") as file:
            file.write(changed)


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _share(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # the file has as many names as its file system allows, or lies on another
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


def _link_alternatives(folder: str) -> None:
    """Make libraries of folders right below reachable: `blas/libblas.so.3`, `pulseaudio/lib…`."""
    for name in sorted(os.listdir(folder)):
        below = f"{folder}/{name}"
        if not os.path.isdir(below) or os.path.islink(below):
            continue
        for library in sorted(os.listdir(below)):
            link = f"{folder}/{library}"
            if _LIBRARY(library) and not os.path.lexists(link) and _is_soname(below, library):
                os.symlink(f"{name}/{library}", link)


def _is_soname(folder: str, name: str) -> bool:
    try:
        data = _contents(f"{folder}/{name}")
    except OSError:
        return False  # a folder, or a link that leads nowhere
    elf = read(data)
    return elf is not None and elf.dynamic is not None and elf.dynamic.soname == name


def _drop_dangling(folder: str) -> None:
    """Remove links to what was left, and links to those."""
    while dangling := [path for path in _links(folder) if not os.path.exists(path)]:
        for path in dangling:
            os.unlink(path)


def _links(folder: str) -> Iterator[str]:
    for above, folders, files in os.walk(folder):
        paths = (f"{above}/{name}" for name in (*folders, *files))
        yield from (path for path in paths if os.path.islink(path))
