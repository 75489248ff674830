"""The older version of an object that is being made, with which it shares what is the same.

Where the store has an object of the same name, or of another version of the same thing, each new
file is compared with the one at the same place there, as it is written (`sharing.twin`).
If mode and bytes are the same it becomes a hard link to that one and is never written at all.
Nothing is hashed: a first version costs nothing, and a damaged file equals nothing and so never
spreads. The two need no entry in `.links`; `sharing.optimise` finds them linked already.
"""

from collections.abc import Iterable

from envtool.formats.nix.storepath import DIGEST_LENGTH, STORE_DIR, StorePath
from envtool.machine.database import Database
from envtool.machine.settings import Settings

_RECENT = 10_000
"""Store paths registered last among which an older version is looked for: 10 ms at most."""
_NAME_AT = len(STORE_DIR) + DIGEST_LENGTH + 2
"""Where the name begins in a full store path."""
# All of them: to compare the names in SQL takes longer than to fetch them.
_LATEST = f"""
select path from ValidPaths where id > (select max(id) from ValidPaths) - {_RECENT} order by id
"""  # noqa: S608 - constants only


def older_versions(settings: Settings, database: Database, names: Iterable[str]) -> dict[str, str]:
    """Return where, for each of these names of store paths, its like lies on this machine.

    That is the object of the same name that was registered last, or else of the same name up to
    the last dash; names without either are left out. None at all where the settings say so.
    """
    if not settings.optimise:
        return {}
    wanted = {name: _stem(name) for name in names}
    latest: dict[str, str] = {}
    for path in _latest(database) if wanted else ():
        name = path[_NAME_AT:]
        if not name.endswith(".drv"):
            latest[name] = latest[_stem(name)] = path
    latest.pop("", None)
    found = {name: latest.get(name) or latest.get(stem) for name, stem in wanted.items()}
    return {
        name: f"{settings.store}/{StorePath.parse_full(path)}"
        for name, path in found.items()
        if path
    }


def _latest(database: Database) -> list[str]:
    """Return the full store paths that were registered last, the very last at the end."""
    with database.reading() as connection:
        rows = [] if connection is None else connection.execute(_LATEST).fetchall()
    return [path for (path,) in rows]


def _stem(name: str) -> str:
    """Return the name up to its last dash, which stands before the version; `` without any."""
    return name[: name.rfind("-") + 1]
