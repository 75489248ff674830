"""The database of valid paths: what is registered, what refers to what. Validity is a row here.

The paths in it are logical (`/envtool/store/…`), so that a root can be moved.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from envtool.errors import FormatError, StoreError
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath
from envtool.machine.connection import BUSY_SECONDS, Connection
from envtool.values import value

_P = ParamSpec("_P")
_T = TypeVar("_T")

Outputs = Mapping[StorePath, Mapping[str, StorePath]]
"""`.drv` path to its outputs' paths by name."""

_COLUMNS = "v.path, v.hash, v.registrationTime, v.deriver, v.narSize, v.ultimate, v.sigs, v.ca"
_GIVEN = "(select value from json_each(?))"
_AMONG = f"from ValidPaths where path in {_GIVEN}"
_EDGES = (
    "select v.path, r.path from ValidPaths v "
    "join Refs on Refs.referrer = v.id join ValidPaths r on r.id = Refs.reference"
)
_REQUISITES = f"""
with recursive closure(id) as (
    select id from ValidPaths where path in {_GIVEN}
    union
    select reference from Refs join closure on referrer = closure.id)
select v.path, r.path from closure
    join ValidPaths v on v.id = closure.id
    left join Refs on Refs.referrer = v.id
    left join ValidPaths r on r.id = Refs.reference
"""  # noqa: S608 - constants only


@value
class PathInfo:
    """What is registered about one store path."""

    path: StorePath
    nar_hash: Hash
    nar_size: int
    """Bytes of the NAR."""
    references: frozenset[StorePath]
    """May include the path itself."""
    deriver: StorePath | None = None
    """The `.drv` that it was realised from; None for sources and when it is not known."""
    ca: str | None = None
    """How the content leads to the path, such as `fixed:r:sha256:…`; None if inputs do."""
    ultimate: bool = True
    """Made here, so that it needs no signature to be trusted."""
    registration_time: int = 0
    """Seconds since the epoch; 0 means now."""
    signatures: tuple[str, ...] = ()


def _read_soundly(
    method: "Callable[Concatenate[Database, _P], _T]",
) -> "Callable[Concatenate[Database, _P], _T]":
    """Tell rows that make no sense as damage, which SQLite does not notice in texts."""

    @wraps(method)
    def read(self: "Database", /, *given: _P.args, **named: _P.kwargs) -> _T:
        try:
            return method(self, *given, **named)
        except (FormatError, TypeError) as error:  # TypeError: bytes where a text must be
            raise self._connection.damaged(str(error)) from error

    return read


class Database:
    """The valid paths of one store. Safe to use from several threads and processes."""

    def __init__(self, file: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._connection = Connection(file, busy_seconds=busy_seconds)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._connection.close()

    def reading(self) -> AbstractContextManager[sqlite3.Connection | None]:
        """Lend the connection for queries; None when there is no database yet."""
        return self._connection.reading()

    @_read_soundly
    def valid(self, paths: Iterable[StorePath]) -> set[StorePath]:
        """Return those of `paths` that are valid."""
        asked = {path.full(): path for path in paths}
        rows = self._read(f"select path {_AMONG}", json.dumps(list(asked)))
        return {asked[path] for (path,) in rows}

    @_read_soundly
    def infos(self, paths: Iterable[StorePath] | None = None) -> dict[StorePath, PathInfo]:
        """Return what is registered about those of `paths` that are valid; about all if None."""
        where = "" if paths is None else f" where v.path in {_GIVEN}"
        given = () if paths is None else (_given(paths),)
        with self._connection.reading() as connection:
            if connection is None:
                return {}
            rows = connection.execute(
                f"select {_COLUMNS} from ValidPaths v{where}",  # noqa: S608
                given,
            ).fetchall()
            edges = connection.execute(
                f"{_EDGES}{where}",
                given,
            ).fetchall()
        references = _grouped(edges)
        return {info.path: info for info in (_info(row, references) for row in rows)}

    @_read_soundly
    def sizes(self, paths: Iterable[StorePath] | None = None) -> dict[StorePath, int]:
        """Return those of `paths` that are valid with the bytes of their NARs; all if None."""
        if paths is None:
            rows = self._read("select path, coalesce(narSize, 0) from ValidPaths")
            return {StorePath.parse_full(path): int(size) for path, size in rows}
        asked = {path.full(): path for path in paths}
        rows = self._read(f"select path, coalesce(narSize, 0) {_AMONG}", json.dumps(list(asked)))
        return {asked[path]: int(size) for path, size in rows}

    @_read_soundly
    def requisites(self, paths: Iterable[StorePath]) -> dict[StorePath, frozenset[StorePath]]:
        """Return the closure of the valid ones of `paths`, with each path's references."""
        return _graph(self._read(_REQUISITES, _given(paths)))

    @_read_soundly
    def referrers(self, path: StorePath) -> set[StorePath]:
        """Return what refers to `path` directly."""
        rows = self._read(
            "select v.path from Refs join ValidPaths v on v.id = Refs.referrer "
            "where Refs.reference = (select id from ValidPaths where path = ?)",
            path.full(),
        )
        return {StorePath.parse_full(referrer) for (referrer,) in rows}

    @_read_soundly
    def outputs(
        self, derivations: Iterable[StorePath] | None = None
    ) -> dict[StorePath, dict[str, StorePath]]:
        """Return the outputs of the valid `.drv` paths among these; of all if None."""
        query = (
            "select v.path, o.id, o.path from DerivationOutputs o join ValidPaths v on v.id = o.drv"
        )
        if derivations is None:
            rows = self._read(query)
        else:
            rows = self._read(f"{query} where v.path in {_GIVEN}", _given(derivations))
        found: dict[StorePath, dict[str, StorePath]] = {}
        for drv, name, path in rows:
            found.setdefault(StorePath.parse_full(drv), {})[name] = StorePath.parse_full(path)
        return found

    def _read(self, query: str, *given: str) -> list[tuple[str, ...]]:
        with self._connection.reading() as connection:
            return [] if connection is None else connection.execute(query, given).fetchall()

    @_read_soundly
    def register(self, infos: Sequence[PathInfo], outputs: Outputs | None = None) -> list[PathInfo]:
        """Make the paths valid, all at once or none.

        `outputs` are those of the `.drv` paths among them. Of a path that is valid already the
        contents' facts stay as they are; a deriver and signatures are added if it had none.
        Returned are those that are registered with other contents (see `correct`).

        :raises StoreError: a reference is neither valid nor in the batch.
        """
        if not infos:
            return []
        with self._connection.writing() as connection:
            needed = {path for info in infos for path in (info.path, *info.references)}
            before = _hashes(connection, (info.path for info in infos))
            _insert(connection, infos)
            ids = _ids(connection, needed)
            for info in infos:
                if missing := info.references.difference(ids):
                    raise StoreError(
                        f"{info.path} cannot be registered: it refers to "
                        f"{', '.join(sorted(missing))}, which the store does not have"
                    )
            new = [info for info in infos if info.path not in before]
            connection.executemany(
                "insert or ignore into Refs (referrer, reference) values (?, ?)",
                [(ids[info.path], ids[path]) for info in new for path in info.references],
            )
            connection.executemany(
                "insert or replace into DerivationOutputs (drv, id, path) values (?, ?, ?)",
                [
                    (ids[drv], name, path.full())
                    for drv, named in (outputs or {}).items()
                    for name, path in named.items()
                ],
            )
        return [info for info in infos if before.get(info.path, info.nar_hash) != info.nar_hash]

    def correct(self, info: PathInfo) -> None:
        """Let a valid path be registered with the NAR hash and size that it has now.

        References are added; none is taken away.
        """
        with self._connection.writing() as connection:
            ids = _ids(connection, {info.path, *info.references})
            connection.executemany(
                "insert or ignore into Refs (referrer, reference) values (?, ?)",
                [(ids[info.path], ids[path]) for path in info.references if path in ids],
            )
            connection.execute(
                "update ValidPaths set hash = ?, narSize = ? where path = ?",
                (_hash_text(info.nar_hash), info.nar_size, info.path.full()),
            )

    def delete(self, paths: Iterable[StorePath]) -> None:
        """Make the paths invalid, all at once or none; on the disk when this returns.

        :raises StoreError: a valid path outside of them refers to one of them.
        """
        given = _given(paths)
        with self._connection.writing(durable=True) as connection:
            connection.execute(
                f"delete from Refs where referrer in (select id {_AMONG})",  # noqa: S608
                (given,),
            )
            try:
                connection.execute(
                    f"delete {_AMONG}",
                    (given,),
                )
            except sqlite3.IntegrityError as error:
                raise StoreError(
                    "a store path cannot be deleted: another valid one refers to it"
                ) from error


def _given(paths: Iterable[StorePath]) -> str:
    return json.dumps([path.full() for path in paths])


def _grouped(edges: Iterable[tuple[str, str]]) -> dict[str, set[StorePath]]:
    groups: dict[str, set[StorePath]] = {}
    for referrer, reference in edges:
        groups.setdefault(referrer, set()).add(StorePath.parse_full(reference))
    return groups


def _graph(rows: Iterable[tuple[str, ...]]) -> dict[StorePath, frozenset[StorePath]]:
    found: dict[StorePath, set[StorePath]] = {}
    for referrer, reference in rows:
        edges = found.setdefault(StorePath.parse_full(referrer), set())
        if reference is not None:
            edges.add(StorePath.parse_full(reference))
    return {path: frozenset(edges) for path, edges in found.items()}


def _info(
    row: tuple[str, str, int, str | None, int | None, int | None, str | None, str | None],
    references: Mapping[str, set[StorePath]],
) -> PathInfo:
    path, nar_hash, registered, deriver, size, ultimate, signatures, ca = row
    return PathInfo(
        path=StorePath.parse_full(path),
        nar_hash=Hash.parse(nar_hash),
        nar_size=size or 0,
        references=frozenset(references.get(path, ())),
        deriver=StorePath.parse_full(deriver) if deriver else None,
        ca=ca or None,
        ultimate=bool(ultimate),
        registration_time=registered,
        signatures=tuple((signatures or "").split()),
    )


def _ids(connection: sqlite3.Connection, paths: Iterable[StorePath]) -> dict[StorePath, int]:
    rows = connection.execute(
        f"select path, id {_AMONG}",
        (_given(paths),),
    )
    return {StorePath.parse_full(path): number for path, number in rows}


def _hashes(connection: sqlite3.Connection, paths: Iterable[StorePath]) -> dict[StorePath, Hash]:
    rows = connection.execute(
        f"select path, hash {_AMONG}",
        (_given(paths),),
    )
    return {StorePath.parse_full(path): Hash.parse(found) for path, found in rows}


def _hash_text(nar_hash: Hash) -> str:
    return f"{nar_hash.algorithm}:{nar_hash.base16}"


def _insert(connection: sqlite3.Connection, infos: Sequence[PathInfo]) -> None:
    now = int(time.time())
    connection.executemany(
        "insert into ValidPaths "
        "(path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca) "
        "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (path) do update set "
        "deriver = coalesce(deriver, excluded.deriver), sigs = coalesce(sigs, excluded.sigs)",
        [
            (
                info.path.full(),
                _hash_text(info.nar_hash),
                info.registration_time or now,
                info.deriver.full() if info.deriver else None,
                info.nar_size,
                1 if info.ultimate else None,
                " ".join(info.signatures) or None,
                info.ca,
            )
            for info in infos
        ],
    )
