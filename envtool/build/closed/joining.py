"""Join unpacked .debs into the tree of one interpreter that holds only what it runs with.

Files are shared with the unpacked .debs by hard links. `/bin`, `/sbin`, `/lib` and `/lib64` are
those of `/usr` (Debian's merged /usr), and links are relative, so that the tree may lie anywhere.
Documentation, other programs and configuration stay behind.
"""

import filecmp
import os
import re
import shutil
from collections.abc import Iterator, Sequence

from envtool.errors import BuildError
from envtool.sources.elf import MAGIC, dynamic

__all__ = [
    "add",
    "check_libraries",
    "drop_dangling",
    "join",
    "library_folder",
    "library_folders",
    "merged",
    "places",
]

_MERGED = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32"})
_KEPT = (
    "usr/include/python3",
    "usr/lib/",
    "usr/lib64/",
    "usr/share/ca-certificates/",
    "usr/share/terminfo/",
    "usr/share/zoneinfo/",
)
_LEFT = re.compile(
    # What libc loads from its built-in places only, which the loader shuts: of no use here.
    r"usr/lib/[^/]+/(?:gconv|audit|perl[^/]*)/"
    r"|usr/lib/(?:binfmt\.d|python3|ssl|tmpfiles\.d|systemd|mime)/"
    r"|usr/lib/python[\d.]+/(?:test|[^/]+/tests?|sitecustomize\.py$|site-packages/)"
).match


def join(trees: Sequence[str], target: str, feature: str) -> None:
    """Make the new folder `target` of what the interpreter of a feature release (`3.13`) needs.

    :raises BuildError: two of the trees have different files at one place.
    """
    os.makedirs(target)
    links: list[str] = []
    for tree in trees:
        for place in places(tree, ""):
            inside = merged(place)
            if _is_kept(inside, feature):
                add(f"{tree}/{place}", place, f"{target}/{inside}", links)
    drop_dangling(links)


def places(tree: str, folder: str) -> Iterator[str]:
    """Yield the places of all files and links; sorted, links not followed."""
    with os.scandir(f"{tree}/{folder}") as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            place = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from places(tree, place)
            else:
                yield place


def merged(place: str) -> str:
    """Return where a file of a package lies in a merged /usr."""
    return f"usr/{place}" if place.split("/", 1)[0] in _MERGED else place


def _is_kept(place: str, feature: str) -> bool:
    if place == f"usr/bin/python{feature}":
        return True
    other = re.match(r"usr/lib/python([\d.]+)/", place)
    if other is not None and other[1] != feature:
        return False
    return place.startswith(_KEPT) and not _LEFT(place)


def add(source: str, place: str, target: str, links: list[str]) -> None:
    """Add a package's file, or its link, which is then among the `links`.

    `place` is the file's own, as the package has it.

    :raises BuildError: there is something else already.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source):
        to = os.path.normpath(os.path.join("/", os.path.dirname(place), os.readlink(source)))
        inside = merged(to.lstrip("/"))
        text = os.path.relpath(f"/{inside}", f"/{os.path.dirname(merged(place))}")
        _add_link(text, target)
        links.append(target)
        return
    try:
        _share(source, target, is_program=merged(place).startswith("usr/bin/"))
    except FileExistsError as error:
        if os.path.islink(target) or not filecmp.cmp(source, target, shallow=False):
            raise BuildError(f"two packages have different files at /{place}") from error


def _add_link(text: str, target: str) -> None:
    try:
        os.symlink(text, target)
    except FileExistsError as error:
        if not os.path.islink(target) or os.readlink(target) != text:
            shown = os.path.basename(target)
            raise BuildError(f"two packages have different links {shown}") from error


def _share(source: str, target: str, *, is_program: bool) -> None:
    if is_program:
        # By itself it would start with the loader of the host, and mix two systems.
        with open(source, "rb") as file, open(target, "xb") as copy:
            copy.write(file.read())
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # the file has as many names as its file system allows, or lies on another
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


def drop_dangling(links: Sequence[str]) -> None:
    """Remove links to what stayed behind, and links to those."""
    left = [link for link in links if os.path.lexists(link)]
    while dangling := [link for link in left if not os.path.exists(link)]:
        for link in dangling:
            os.unlink(link)
        left = [link for link in left if link not in dangling]


def library_folder(tree: str) -> str:
    """Return the folder of shared libraries: the one with the C library, below `usr/lib`.

    :raises BuildError: there is none.
    """
    below = f"{tree}/usr/lib"
    for name in sorted(os.listdir(below)) if os.path.isdir(below) else ():
        if os.path.lexists(f"{below}/{name}/libc.so.6"):
            return f"{below}/{name}"
    raise BuildError(
        "the interpreter's packages have no libc.so.6",
        hint="envtool lock --upgrade",
    )


def library_folders(tree: str) -> tuple[str, ...]:
    """Return the folders of shared libraries: that of the C library, and `usr/lib` if it has any.

    :raises BuildError: there is no C library.
    """
    below = f"{tree}/usr/lib"
    own = any(re.search(r"\.so(\.|$)", name) for name in os.listdir(below))
    return (library_folder(tree), below) if own else (library_folder(tree),)


def check_libraries(tree: str) -> None:
    """Check that each library that a file of the tree needs is in it.

    :raises BuildError: with a line for each that is not.
    """
    here = {name for folder in library_folders(tree) for name in os.listdir(folder)}
    missing = {
        f"{place}: {soname}"
        for place in places(tree, "usr/lib")
        for soname in _needed(f"{tree}/{place}")
        if soname not in here
    }
    if missing:
        lines = "\n".join(f"  {line}" for line in sorted(missing))
        raise BuildError(f"the interpreter's packages lack libraries that they need:\n{lines}")


def _needed(path: str) -> tuple[str, ...]:
    if os.path.islink(path):
        return ()
    with open(path, "rb") as file:
        if file.read(4) != MAGIC:
            return ()
        file.seek(0)
        found = dynamic(file.read())
    return found.needed if found else ()
