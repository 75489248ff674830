"""Making a database again from the store, after the old one was damaged or lost rows.

What may be believed:

* A row that can still be read, wherever it lies in the damaged file (`mending.salvage`), if
  the object has the very NAR hash that the row says.
* An object without a row that proves itself (`mending.proof`).
* Of either only what refers to nothing but such objects; a `.drv` only if it agrees with its
  inputs' (`envtool.formats.nix.validity`).

References are not taken from rows alone, since those on a lost page would be missing and the
collector would delete what is needed: each object is scanned for them again. What cannot be
believed, such as the outputs of ordinary derivations without a row, is not registered: it is
realised again when somebody wants it, over the files that are there.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from envtool.errors import EnvtoolError, FormatError
from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.references import by_digest
from envtool.formats.nix.storepath import StorePath
from envtool.formats.nix.validity import InputHashes, check_derivation
from envtool.machine.database import Database, Outputs, PathInfo
from envtool.machine.disk import disk_errors
from envtool.machine.locks import OnWait
from envtool.machine.mending.proof import Read, prove, read
from envtool.machine.mending.salvage import kept_aside, salvage
from envtool.machine.metadata import delete_tree
from envtool.machine.schema import SCHEMA_VERSION
from envtool.machine.store import Store, output_paths
from envtool.reporting import Reporter, Step
from envtool.values import replace, value

__all__ = ["Recovered", "adopt", "rebuild"]

_DRV = ".drv"


@value
class Recovered:
    """What came of making the database again."""

    kept: str | None
    """Where the damaged one is; None if there was none at all."""
    believed: int
    """Store paths whose rows could be read and are true."""
    proven: int
    """Store paths without a row that prove themselves."""
    left: tuple[StorePath, ...]
    """Objects that are there, but are not valid any more."""


def rebuild(store: Store, reporter: Reporter, *, on_wait: OnWait | None = None) -> Recovered:
    """Make the database again, whatever state it is in; the old one is kept beside it.

    Nobody may take or make roots meanwhile. A kill leaves the old database, or the new one.

    :raises StoreError: the root cannot be written to, or something there cannot be read.
    """
    with store.exclusive(on_wait):
        claimed = salvage(store.settings.database)
        names = _objects(store)
        found = _read_all(store, names, {*names, *claimed}, reporter)
        believed = {
            path: info
            for path, each in found.items()
            if (info := _believed(each, claimed.get(path, ()))) is not None
        }
        proven = _proven(store, [each for path, each in found.items() if path not in believed])
        checked = _Checked(store, found)
        infos, outputs = checked.admit({**proven, **believed}, frozenset())
        kept = _replace(store, infos, outputs)
    valid = {info.path for info in infos}
    return Recovered(
        kept=kept,
        believed=len(valid & believed.keys()),
        proven=len(valid & proven.keys()),
        left=tuple(path for path in names if path not in valid),
    )


def adopt(store: Store, reporter: Reporter) -> list[StorePath]:
    """Register what lies in the store without a row and proves itself; return its paths.

    :raises DatabaseError: the database is damaged.
    """
    with store.shared():
        valid = store.database.sizes().keys()
        names = [path for path in _objects(store) if path not in valid]
        found = _read_all(store, names, {*names, *valid}, reporter)
        proven = _proven(store, found.values())
        infos, outputs = _Checked(store, found).admit(proven, valid)
        store.sync()
        store.database.register(infos, outputs)
    return [info.path for info in infos]


def _parsed(name: str) -> StorePath | None:
    try:
        return StorePath.parse(name)
    except FormatError:
        return None


def _objects(store: Store) -> list[StorePath]:
    """Return what may be an object, by its name."""
    folder = store.settings.store
    with disk_errors("list the store directory"):
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    locks = {f"{name}.lock" for name in names}
    return [path for name in names if name not in locks and (path := _parsed(name))]


def _read_all(
    store: Store, paths: Iterable[StorePath], known: Iterable[StorePath], reporter: Reporter
) -> dict[StorePath, Read]:
    """Read the objects by several threads; those that cannot be read are left out."""
    wanted = list(paths)
    candidates = by_digest(known)
    reporter.expect("verify", len(wanted), None)

    def work(path: StorePath) -> Read | None:
        step = Step("verify", path)
        reporter.start(step)
        found = None
        with suppress(OSError, FormatError):
            found = read(store.physical(path), path, candidates)
        reporter.advance(step, found.nar_size if found else 0)
        reporter.finish(step)
        return found

    pool = ThreadPoolExecutor(store.settings.jobs, "verify")
    try:
        return {found.path: found for found in pool.map(work, wanted) if found is not None}
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _believed(found: Read, claimed: Iterable[PathInfo]) -> PathInfo | None:
    for info in claimed:
        if info.nar_hash == found.nar_hash:
            return replace(info, nar_size=found.nar_size)
    return None


def _proven(store: Store, found: Iterable[Read]) -> dict[StorePath, PathInfo]:
    proven = {}
    with disk_errors("read the store"):
        for each in found:
            info = prove(store.physical(each.path), each)
            if info is not None:
                proven[each.path] = info
    return proven


class _Checked:
    """Admits infos whose references hold, `.drv` objects after their inputs'."""

    def __init__(self, store: Store, found: Mapping[StorePath, Read]) -> None:
        self._store = store
        self._found = found
        self._inputs = InputHashes(store.read_derivation)
        self._closures: dict[StorePath, frozenset[StorePath]] = {}

    def admit(
        self, infos: Mapping[StorePath, PathInfo], valid: Iterable[StorePath]
    ) -> tuple[list[PathInfo], Outputs]:
        """Return those that can be registered, each after what it refers to, and the outputs."""
        known = set(valid)
        waiting = {path: self._scanned(info) for path, info in infos.items()}
        admitted: list[PathInfo] = []
        outputs: dict[StorePath, Mapping[str, StorePath]] = {}
        for info in _ready(waiting, known):
            if info.path.endswith(_DRV):
                derivation = self._sound(info.path)
                if derivation is None:
                    continue
                outputs[info.path] = output_paths(derivation)
            known.add(info.path)
            admitted.append(info)
        makers = {path: drv for drv, named in outputs.items() for path in named.values()}
        return [_with_deriver(info, makers) for info in admitted], outputs

    def _sound(self, path: StorePath) -> Derivation | None:
        try:
            derivation = self._inputs.derivation(path)
            check_derivation(path, derivation, self._inputs)
        except EnvtoolError:
            return None
        return derivation

    def _scanned(self, info: PathInfo) -> PathInfo:
        """Return it with all references, whatever the row says."""
        found = self._found[info.path]
        if info.references >= found.mentioned and info.ca is None:
            return info
        if info.ca is not None:
            with disk_errors("read the store"):
                proven = prove(self._store.physical(info.path), found)
            return replace(info, references=proven.references) if proven is not None else info
        possible = self._possible(info.deriver)
        more = found.mentioned if possible is None else found.mentioned & {*possible, info.path}
        return replace(info, references=info.references | more)

    def _possible(self, deriver: StorePath | None) -> frozenset[StorePath] | None:
        """Return what outputs of the derivation may refer to; None when it cannot be told."""
        if deriver is None or self._sound(deriver) is None:
            return None
        try:
            return self._closure(deriver)
        except EnvtoolError:
            return None

    def _closure(self, path: StorePath) -> frozenset[StorePath]:
        found: set[StorePath] = set()
        todo, seen = [path], {path}
        while todo:
            derivation = self._inputs.derivation(todo.pop())
            found |= {*output_paths(derivation).values(), *derivation.input_sources}
            new = derivation.input_derivations.keys() - seen
            seen |= new
            todo += new
        return frozenset(found)


def _ready(waiting: Mapping[StorePath, PathInfo], known: set[StorePath]) -> Iterator[PathInfo]:
    """Yield what refers to known paths only; whatever the caller adds to them counts at once."""
    users: dict[StorePath, list[StorePath]] = {}
    lacking: dict[StorePath, int] = {}
    ready: list[StorePath] = []
    for path, info in sorted(waiting.items()):
        needed = info.references - known - {path}
        lacking[path] = len(needed)
        for each in needed:
            users.setdefault(each, []).append(path)
        if not needed:
            ready.append(path)
    while ready:
        path = ready.pop()
        yield waiting[path]
        for user in users.get(path, ()) if path in known else ():
            lacking[user] -= 1
            if not lacking[user]:
                ready.append(user)


def _with_deriver(info: PathInfo, makers: Mapping[StorePath, StorePath]) -> PathInfo:
    maker = makers.get(info.path)
    return info if info.deriver is not None or maker is None else replace(info, deriver=maker)


def _replace(store: Store, infos: list[PathInfo], outputs: Outputs) -> str | None:
    """Put a database with these rows in the place of the old one; return where that one is now."""
    file = store.settings.database
    folder = os.path.dirname(file)
    work = f"{folder}/recovering"
    store.database.close()
    with disk_errors("make the store's database again"):
        delete_tree(work)  # one that was killed left it
        try:
            os.makedirs(work)
            made = Database(f"{work}/db.sqlite")
            made.register(infos, outputs)
            made.close()
            kept = _put_aside(file)
            if infos:
                _flush(f"{work}/db.sqlite")
                os.rename(f"{work}/db.sqlite", file)
            else:
                delete_tree(file)
            _flush(folder)
            _write_schema(folder)
        finally:
            delete_tree(work)
    return kept


def _put_aside(file: str) -> str | None:
    """Give the old database a second name, and remove its log.

    SQLite would take the log for that of the new database.
    """
    kept = None
    if os.path.lexists(file):
        kept = kept_aside(file, time.strftime("%Y%m%d-%H%M%S"))
        if os.path.isdir(file):
            os.rename(file, kept)
        else:
            os.link(file, kept)
        with suppress(FileNotFoundError):
            os.link(f"{file}-wal", f"{kept}-wal")
        _flush(os.path.dirname(file))
    for tail in ("-wal", "-shm"):
        delete_tree(f"{file}{tail}")
    return kept


def _write_schema(folder: str) -> None:
    temporary = f"{folder}/schema.tmp-{os.getpid()}"
    with open(temporary, "w", encoding="ascii") as schema:
        schema.write(str(SCHEMA_VERSION))
        schema.flush()
        os.fsync(schema.fileno())
    os.rename(temporary, f"{folder}/schema")


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
