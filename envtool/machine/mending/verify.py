"""Checking the store against its database: what is missing, changed, or nobody's.

Objects are read by several threads, since hashing lets others run; what is small goes to them by
the batch. Nothing is changed here (`envtool.build.repair`, `envtool.machine.mending.recover`).
"""

import os
import stat
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from threading import Event, Lock

from envtool.errors import FormatError
from envtool.formats.nix import nar
from envtool.formats.nix.storepath import StorePath
from envtool.machine.collecting.roots import find_roots
from envtool.machine.collecting.strangers import strangers
from envtool.machine.database import PathInfo
from envtool.machine.mending.consistency import REBUILD, check_database, check_derivations
from envtool.machine.mending.problem import Problem
from envtool.machine.metadata import DIRECTORY_MODE, EXECUTABLE_MODE, FILE_MODE, MTIME
from envtool.machine.store import Store
from envtool.reporting import Reporter, SilentReporter, Step

__all__ = ["Problem", "check_object", "verify"]

_TASK_BYTES = 4 << 20
_TASK_COUNT = 32
"""A thread takes objects until they are this many, in bytes or by count."""
_READING = Lock()
"""Held by the thread that reads. Thousands of small files mean a lot of Python: two that read take
its lock from each other and are slower together than one."""
_MODES = {
    stat.S_IFREG | FILE_MODE,
    stat.S_IFREG | EXECUTABLE_MODE,
    stat.S_IFDIR | DIRECTORY_MODE,
}
_LASTING = {"permanent", "indirect", "profile"}


def verify(
    store: Store,
    *,
    contents: bool,
    paths: Iterable[StorePath] | None = None,
    reporter: Reporter | None = None,
) -> list[Problem]:
    """Return all problems, in order of names; with `contents` every object is read and hashed.

    With `paths` only these are looked at; those that are not valid are passed over.

    :raises DatabaseError: the database is damaged, so that nothing can be compared with it.
    """
    with store.shared():
        problems = [] if paths is not None else check_database(store, thorough=contents)
        known: Collection[StorePath]
        if contents:
            infos = known = store.database.infos(paths)
            problems += _contents(store, infos.values(), reporter or SilentReporter())
            bad = {StorePath(each.name) for each in problems if each.of_contents}
            problems += check_derivations(store, infos, bad)
        else:
            database = store.database
            known = database.sizes() if paths is None else database.valid(paths)
            problems += _missing(store, known)
        if paths is None:
            problems += _dangling(store, known)
            problems += _unknown(store, known)
    return sorted(problems, key=lambda each: each.name)


def _missing(store: Store, known: Iterable[StorePath]) -> Iterator[Problem]:
    for path in known:
        place = store.physical(path)
        if not os.path.lexists(place):
            yield _lost(place, path)


def _lost(place: str, path: StorePath) -> Problem:
    return Problem("missing", path, f"{place} is registered but not there", f"{REBUILD} {path}")


def _contents(store: Store, infos: Iterable[PathInfo], reporter: Reporter) -> list[Problem]:
    # The largest first, so that no thread is left alone with one of them at the end.
    tasks = _tasks(sorted(infos, key=lambda info: -info.nar_size))
    count = sum(map(len, tasks))
    reporter.expect("verify", count, sum(info.nar_size for task in tasks for info in task))
    stopped = Event()

    def work(task: Sequence[PathInfo]) -> list[Problem]:
        found: list[Problem] = []
        for info in task:
            if stopped.is_set():
                break
            found += check_object(store, info, reporter, stopped)
        return found

    if len(tasks) == 1:
        return work(tasks[0])
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(store.settings.jobs, "verify")
    try:
        return [problem for found in pool.map(work, tasks) for problem in found]
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _tasks(infos: Iterable[PathInfo]) -> list[list[PathInfo]]:
    tasks: list[list[PathInfo]] = []
    size = _TASK_BYTES
    for info in infos:
        if size >= _TASK_BYTES or len(tasks[-1]) >= _TASK_COUNT:
            tasks.append([])
            size = 0
        tasks[-1].append(info)
        size += info.nar_size
    return tasks


def check_object(
    store: Store,
    info: PathInfo,
    reporter: Reporter | None = None,
    stopped: Event | None = None,
) -> list[Problem]:
    """Return what is wrong with one object, read whole unless `stopped` is set meanwhile."""
    reporter = reporter or SilentReporter()
    step = Step("verify", info.path, info.nar_size)
    reporter.start(step)
    checker = _Checker(store, step, reporter, stopped or Event())
    place = store.physical(info.path)
    try:
        checker.check(place)
    except _StoppedError:
        return []
    except FileNotFoundError:
        if not os.path.lexists(place):
            return [_lost(place, info.path)]
        return [_unreadable(place, info.path, "it changes while it is read")]
    except (OSError, FormatError) as error:
        return [_unreadable(place, info.path, str(error))]
    reporter.finish(step)
    return list(_differences(place, info, checker))


def _unreadable(place: str, path: StorePath, reason: str) -> Problem:
    message = f"{place} cannot be read: {reason}"
    return Problem("unreadable", path, message, f"{REBUILD} {path}")


def _differences(place: str, info: PathInfo, checker: "_Checker") -> Iterator[Problem]:
    path, found = info.path, checker.hashed.hash
    if found != info.nar_hash:
        message = f"{place} was modified: expected {info.nar_hash}, found {found}"
        yield Problem("changed", path, message, f"{REBUILD} {path}")
    elif info.nar_size not in {0, checker.hashed.size}:
        message = f"{path} is registered with {info.nar_size} bytes, but has {checker.hashed.size}"
        yield Problem("database", path, message, REBUILD)
    if checker.fault is not None:
        more = f"; {checker.faults - 1} more like it" if checker.faults > 1 else ""
        message = f"{checker.fault}{more}"
        yield Problem("metadata", path, message, f"{REBUILD} {path}")


class _StoppedError(Exception):
    """The user, or a failure elsewhere, ended the work."""


class _Checker(nar.Dumper):
    """Reads an object, hashes it and looks at modes, times and owners on the way."""

    def __init__(self, store: Store, step: Step, reporter: Reporter, stopped: Event) -> None:
        super().__init__(self._take)
        self.hashed = nar.HashingSink()
        self._feed: nar.Sink = self.hashed
        self.fault: str | None = None
        """The first thing that is not as in a store object."""
        self.faults = 0
        self._owner = os.stat(store.settings.store).st_uid
        self._step = step
        self._reporter = reporter
        self._stopped = stopped

    def check(self, place: str) -> None:
        """Read all of it."""
        with nar.aside(self.hashed) as self._feed, _READING:
            self.dump(place)

    def _take(self, data: bytes) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        _READING.release()
        try:
            self._feed(data)
        finally:
            _READING.acquire()
        self._reporter.advance(self._step, len(data))

    def met(self, path: bytes, status: os.stat_result) -> None:
        """Look at it; its contents follow."""
        fault = _fault(status, self._owner)
        if fault is not None:
            self.faults += 1
            self.fault = self.fault or f"{os.fsdecode(path)} {fault}"


def _fault(status: os.stat_result, owner: int) -> str | None:
    """Return what no store object has; `owner` is that of the store directory."""
    if status.st_mode not in _MODES and not stat.S_ISLNK(status.st_mode):
        wanted = "0555" if stat.S_ISDIR(status.st_mode) else "0444 or 0555"
        return f"has the mode {stat.S_IMODE(status.st_mode):04o} instead of {wanted}"
    if status.st_mtime_ns != MTIME * 1_000_000_000:
        return f"has the modification time {status.st_mtime:.0f} instead of {MTIME}"
    if status.st_uid != owner:
        return f"belongs to user {status.st_uid}, the store to user {owner}"
    return None


def _dangling(store: Store, known: Container[StorePath]) -> Iterator[Problem]:
    sources: dict[StorePath, list[str]] = {}
    for root in find_roots(store.settings):
        if root.kind in _LASTING and root.path not in known:
            sources.setdefault(root.path, []).append(root.source)
    for path, links in sources.items():
        more = f" and {len(links) - 1} more" if len(links) > 1 else ""
        message = f"{links[0]}{more} leads to {path}, which is not valid"
        yield Problem("dangling", path, message, REBUILD)


def _unknown(store: Store, known: Container[str]) -> Iterator[Problem]:
    names = strangers(store.settings, known)
    # What was registered since they were listed is no stranger.
    paths = [StorePath(name) for name in names]
    meanwhile = store.database.valid(paths)
    for name in paths:
        if name not in meanwhile:
            yield Problem("unknown", str(name), f"{name} is not registered", "envtool gc")
