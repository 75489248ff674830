"""Unpack .debs into one tree as dpkg would: one file per place, /usr merged, a database of it.

Each .deb is unpacked into a folder of its own, where it is checked for what must not be, and its
files are moved into the tree. `/bin`, `/sbin` and `/lib` are links into /usr, as in every Debian
that is installed today; what older packages have there comes to lie below /usr.
"""

import filecmp
import os
import re
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from envtool.errors import BuildError
from envtool.formats.debian.control import Stanza
from envtool.formats.debian.relations import parse, parse_flat
from envtool.sources.deb import Deb
from envtool.values import value

__all__ = ["DATABASE", "Laid", "lay_out"]

DATABASE = "var/lib/dpkg"
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp", "usr", "var/cache", "var/lib", "var/log")
_MOST_LINKS = 40
_LEFT = re.compile(
    r"usr/share/(?:(?:man|locale|doc-base|lintian|info)/|doc/[^/]+/(?!copyright$))"
).match
"""Nobody reads the documentation of a system root; licences stay."""


@value
class Laid:
    """A package whose files lie in the tree."""

    name: str
    architecture: str
    scripts: tuple[str, ...]
    """Maintainer scripts that it has: `preinst`, `postinst`."""
    triggers: tuple[str, ...]
    """Names and paths that it wants to hear of."""
    stripped: tuple[tuple[str, int], ...]
    """Path and mode of what lost its setuid or setgid bit."""
    essential: bool
    needs: tuple[tuple[str, ...], ...]
    """Of its Depends and Pre-Depends, the names in each group."""
    provides: tuple[str, ...]
    stem: str
    """What its files in dpkg's database are called, before the dot."""


@value
class _Opened:
    folder: str
    control: Stanza
    files: tuple[tuple[str, bytes], ...]
    stripped: tuple[tuple[str, int], ...]


def lay_out(
    debs: Sequence[tuple[str, str]], tree: str, scratch: str, *, jobs: int
) -> tuple[Laid, ...]:
    """Make the new folder `tree` of .debs, given by path and file name; in their order.

    `scratch` is a new folder on the same file system, which is left empty.

    :raises DebError: one must not be unpacked.
    :raises BuildError: two packages have different files at one place.
    """
    os.mkdir(scratch)
    for folder in _FOLDERS:
        os.makedirs(f"{tree}/{folder}")
    for name in ("info", "updates", "triggers", "alternatives"):
        os.makedirs(f"{tree}/{DATABASE}/{name}")
    owners: dict[str, str] = {}
    laid, stanzas = [], []
    with ThreadPoolExecutor(jobs, "unpack") as pool:
        numbered = enumerate(debs)
        for opened in pool.map(lambda each: _open(each[1], f"{scratch}/{each[0]}"), numbered):
            stanzas.append(opened.control)
            laid.append(_lay(opened, tree, owners, stanzas))
    for name in _MERGED:
        if os.path.isdir(f"{tree}/usr/{name}"):
            os.symlink(f"usr/{name}", f"{tree}/{name}")
    _write_status(tree, stanzas)
    os.rmdir(scratch)
    return tuple(laid)


def _open(deb: tuple[str, str], folder: str) -> _Opened:
    path, filename = deb
    with Deb(path, filename) as opened:
        unpacked = opened.unpack(folder)
        return _Opened(folder, opened.control, tuple(opened.files.items()), unpacked.stripped)


def _lay(opened: _Opened, tree: str, owners: dict[str, str], stanzas: Sequence[Stanza]) -> Laid:
    control = opened.control
    name, files = control["package"], dict(opened.files)
    placed = list(_move(opened, tree, owners, stanzas))
    stem = f"{name}:{control['architecture']}" if control.get("multi-arch") == "same" else name
    info = f"{tree}/{DATABASE}/info/{stem}"
    for kind, data in files.items():
        if kind not in {"control", "md5sums"}:
            with open(f"{info}.{kind}", "xb") as file:
                file.write(data)
            os.chmod(f"{info}.{kind}", 0o755 if data.startswith(b"#!") else 0o644)
    with open(f"{info}.list", "xb") as file:
        file.write(os.fsencode("".join(f"/{place}\n" for place in [".", *placed])))
    return Laid(
        name=name,
        architecture=control["architecture"],
        scripts=tuple(kind for kind in ("preinst", "postinst") if kind in files),
        triggers=tuple(_interests(files.get("triggers", b"").decode("utf-8", "replace"))),
        stripped=opened.stripped,
        essential=control.get("essential") == "yes",
        needs=tuple(
            tuple(each.name for each in group)
            for field in ("pre-depends", "depends")
            for group in parse(control.get(field, ""))
        ),
        provides=tuple(each.name for each in parse_flat(control.get("provides", ""))),
        stem=stem,
    )


def _interests(text: str) -> Iterator[str]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) == 2 and words[0].startswith("interest"):  # noqa: PLR2004 - kind and name
            yield words[1]


def _move(
    opened: _Opened, tree: str, owners: dict[str, str], stanzas: Sequence[Stanza]
) -> Iterator[str]:
    """Move the files of a package to their places, and yield these as it names them."""
    name = opened.control["package"]
    for folder, names in _folders(opened.folder):
        os.chmod(folder, 0o755)  # noqa: S103 - it is emptied, and goes
        below = folder[len(opened.folder) + 1 :]
        target = _inside(tree, _merged(below)) if below else tree
        if below:
            yield below
        for each in names:
            place = f"{below}/{each}" if below else each
            merged = _merged(place)
            if _LEFT(merged) or place in _MERGED:
                os.unlink(f"{folder}/{each}")
                continue
            if not _is_ours(f"{folder}/{each}", f"{target}/{each}", name, owners, stanzas):
                os.unlink(f"{folder}/{each}")
                continue
            os.rename(f"{folder}/{each}", f"{target}/{each}")
            owners[f"{target}/{each}"] = name
            yield place
    _remove(opened.folder)


def _folders(top: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder, those above first, with the names of what is no folder in it."""
    todo = [top]
    while todo:
        folder = todo.pop()
        names = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name, reverse=True):
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    names.append(entry.name)
        yield folder, names[::-1]


def _remove(top: str) -> None:
    """Remove a tree of folders, of which all files have been moved."""
    for folder in reversed([folder for folder, _ in _folders(top)]):
        os.rmdir(folder)


def _merged(place: str) -> str:
    return f"usr/{place}" if place.split("/", 1)[0] in _MERGED else place


def _inside(tree: str, place: str) -> str:
    """Return where a folder of a package lies, making it; links are followed within the tree.

    :raises BuildError: it is no folder, or links lead round in a circle.
    """
    path, todo, followed = tree, place.split("/")[::-1], 0
    while todo:
        part = todo.pop()
        if part in {"", ".", ".."}:
            path = os.path.dirname(path) if part == ".." and path != tree else path
            continue
        below = f"{path}/{part}"
        try:
            os.mkdir(below, 0o755)
        except FileExistsError:
            if os.path.islink(below):
                followed += 1
                to = os.readlink(below)
                path = tree if to.startswith("/") else path
                todo += to.split("/")[::-1]
                if followed > _MOST_LINKS:
                    raise BuildError(f"/{place} leads through too many links") from None
                continue
            if not os.path.isdir(below):
                raise BuildError(f"/{place} lies in what is no folder") from None
        path = below
    return path


def _is_ours(
    source: str, target: str, name: str, owners: dict[str, str], stanzas: Sequence[Stanza]
) -> bool:
    """Say whether a package's file comes to lie at a place, rather than what is there.

    :raises BuildError: neither of two packages says that it replaces the other.
    """
    if not os.path.lexists(target):
        return True
    if os.path.isdir(target) and not os.path.islink(target):
        if os.path.islink(source):
            return False  # as dpkg has it: a folder that is there stays
        raise BuildError(f"{name} has a file {target.rpartition('/')[2]} where a folder is")
    owner = owners[target]
    by_name = {stanza["package"]: stanza for stanza in stanzas}
    if _says(by_name[name], owner):
        os.unlink(target)
        return True
    if _says(by_name[owner], name) or _equal(source, target):
        return False
    place = target.rpartition("/")[2]
    raise BuildError(
        f"{name} and {owner} have different files {place}, and neither replaces the other"
    )


def _says(stanza: Stanza, other: str) -> bool:
    fields = (stanza.get("replaces", ""), stanza.get("conflicts", ""))
    return any(each.name == other for text in fields for each in parse_flat(text))


def _equal(one: str, other: str) -> bool:
    kinds = [stat.S_IFMT(os.lstat(each).st_mode) for each in (one, other)]
    if kinds[0] != kinds[1]:
        return False
    if stat.S_ISLNK(kinds[0]):
        return os.readlink(one) == os.readlink(other)
    return filecmp.cmp(one, other, shallow=False)


def _write_status(tree: str, stanzas: Sequence[Stanza]) -> None:
    """Write dpkg's database, in which everything is installed."""
    admin = f"{tree}/{DATABASE}"
    texts = []
    for stanza in sorted(stanzas, key=lambda each: each["package"]):
        lines = ["Status: install ok installed"]
        lines += [f"{_title(field)}: {_folded(text)}" for field, text in stanza.items()]
        texts.append("\n".join(lines) + "\n\n")
    for name, text in (
        ("status", "".join(texts)),
        ("info/format", "1\n"),
        ("available", ""),
        ("diversions", ""),
        ("statoverride", ""),
        ("triggers/File", ""),
        ("triggers/Unincorp", ""),
    ):
        with open(f"{admin}/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def _folded(text: str) -> str:
    """Return a value as it stands in a file: each line but the first behind a blank."""
    return text.replace("\n", "\n ")


def _title(field: str) -> str:
    return "-".join(part.capitalize() for part in field.split("-"))
