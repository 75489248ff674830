"""Sharing while an object is made: what it has in common with an older version of it.

Where the store has an object of the same name, or of another version of the same thing, each new
file is compared with the one at the same place there, as it is written. If mode and bytes are the
same it becomes a hard link to that one and is never written at all. Nothing is hashed, nothing is
looked up: a first version costs nothing, and a damaged file equals nothing and so never spreads.
The two need no entry in `.links`; `envtool.machine.optimise` finds them linked already.
"""

import os
import stat
from collections.abc import Iterable
from typing import TYPE_CHECKING

from envtool.formats.nix.storepath import DIGEST_LENGTH, STORE_DIR, StorePath
from envtool.machine.metadata import EXECUTABLE_MODE, FILE_MODE
from envtool.machine.twin import Twin

if TYPE_CHECKING:
    from envtool.machine.store import Store

_CHUNK = 1 << 20
_RECENT = 10_000
"""Store paths registered last among which an older version is looked for: 10 ms at most."""
_NAME_AT = len(STORE_DIR) + DIGEST_LENGTH + 2
"""Where the name begins in a full store path."""
# All of them: to compare the names in SQL takes longer than to fetch them.
_LATEST = f"""
select path from ValidPaths where id > (select max(id) from ValidPaths) - {_RECENT} order by id
"""  # noqa: S608 - constants only


def older_versions(store: "Store", names: Iterable[str]) -> dict[str, str]:
    """Return where, for each of these names of store paths, its like lies on this machine.

    That is the object of the same name that was registered last, or else of the same name up to
    the last dash; names without either are left out. None at all where the settings say so.
    """
    if not store.settings.optimise:
        return {}
    wanted = {name: _stem(name) for name in names}
    latest: dict[str, str] = {}
    for path in _latest(store) if wanted else ():
        name = path[_NAME_AT:]
        if not name.endswith(".drv"):
            latest[name] = latest[_stem(name)] = path
    latest.pop("", None)
    found = {name: latest.get(name) or latest.get(stem) for name, stem in wanted.items()}
    return {
        name: store.physical(StorePath.parse_full(path)) for name, path in found.items() if path
    }


def _latest(store: "Store") -> list[str]:
    """Return the full store paths that were registered last, the very last at the end."""
    with store.database.reading() as connection:
        rows = [] if connection is None else connection.execute(_LATEST).fetchall()
    return [path for (path,) in rows]


def _stem(name: str) -> str:
    """Return the name up to its last dash, which stands before the version; `` without any."""
    return name[: name.rfind("-") + 1]


def share(tree: str, older: str) -> int:
    """Replace files of the tree by links to the same ones of `older`; return the bytes shared.

    The tree is one that nobody else works on; what it shares then is in canonical form. Where
    its folders cannot be written to it stays as it is.
    """
    link, shared = f"{tree}-link", 0
    status = os.lstat(tree)
    if not stat.S_ISDIR(status.st_mode):
        return _share(tree, older, link, status)
    folders = [""]
    while folders:
        below = folders.pop()
        for name in os.listdir(f"{tree}{below}"):
            place = f"{below}/{name}"
            status = os.lstat(f"{tree}{place}")
            if not stat.S_ISDIR(status.st_mode):
                shared += _share(f"{tree}{place}", f"{older}{place}", link, status)
            elif os.path.isdir(f"{older}{place}"):
                folders.append(place)
    return shared


def _share(path: str, older: str, link: str, status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        return 0
    mode = EXECUTABLE_MODE if status.st_mode & stat.S_IXUSR else FILE_MODE
    twin = Twin.find(older, link, status.st_size, mode)
    if twin is None:
        return 0
    with twin, open(path, "rb", buffering=0) as file:
        while data := file.read(_CHUNK):
            if not twin.matches(data):
                return 0
        if not twin.link():
            return 0
    try:
        os.rename(link, path)
    except PermissionError:
        os.unlink(link)
        return 0
    return status.st_size
