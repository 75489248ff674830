"""The schedule of a realisation: fetch and build in parallel, register in batches.

Fetching and building overlap: a wheel is unpacked while others are on their way. Each output is
locked while it is worked on, so that several processes share the work; a lock that another process
holds is waited for only when nothing else is left and none is held here, so that two processes can
never wait for each other. Finished outputs are flushed to disk and registered in batches; a kill
leaves unregistered junk at worst, and an interrupt registers what is finished.
"""

import queue
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field

from envtool.build.builders.context import Context
from envtool.build.builders.table import build, kind
from envtool.build.missing import Missing
from envtool.build.worker import Workers
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.sharing.older import older_versions
from envtool.plan.derivations import BUILD, FETCH, UNPACK
from envtool.values import replace

FETCHERS = 8
"""Connections at once."""
WORTH_A_WORKER = 8 << 20
"""Bytes of wheels, packed, that take longer to unpack than a process to start."""
BATCH_BYTES = 256 << 20
BATCH_COUNT = 64
"""Finished outputs are flushed and registered when they are this many, in bytes or by count."""


@dataclass(slots=True)
class _Pool:
    """Workers of one sort, and what waits for them."""

    workers: ThreadPoolExecutor
    window: int
    """How many may be under way; few, since each holds a lock."""
    ready: list[StorePath] = field(default_factory=list)
    running: int = 0


@dataclass(slots=True)
class Schedule:
    """One run: the main thread schedules and registers, workers fetch and build."""

    context: Context
    todo: Missing
    jobs: int
    meanwhile: Callable[[], object]
    """Called once, by a thread, when the first fetches are under way."""
    finished: "queue.SimpleQueue[tuple[StorePath, PathInfo | BaseException]]" = field(
        default_factory=queue.SimpleQueue
    )
    unregistered: list[PathInfo] = field(default_factory=list)
    locks: dict[StorePath, ExitStack] = field(default_factory=dict)
    """By output: what is being made here, or is made and not yet registered."""
    active: set[StorePath] = field(default_factory=set)
    """What threads work on at this moment."""
    contended: list[StorePath] = field(default_factory=list)
    sizes: dict[StorePath, int] = field(default_factory=dict)
    """Of each derivation, the bytes to be fetched or of the wheel to be unpacked; 0: unknown."""

    def run(self) -> None:
        """Realise everything that is to be done."""
        self.sizes = {path: self._size(path) for path in (*self.todo.fetch, *self.todo.build)}
        self._announce()
        with self._workers() as workers:
            self.context = replace(self.context, workers=workers, older=self._older())
            self._run(workers)

    def _run(self, workers: Workers | None) -> None:
        fetchers = _Pool(ThreadPoolExecutor(FETCHERS, "fetch"), 2 * FETCHERS)
        # No more than can run: what is handed over can no longer be overtaken by something larger.
        builds = _Pool(ThreadPoolExecutor(self.jobs, "build"), self.jobs)
        try:
            self._schedule(fetchers, builds)
        except BaseException:
            if self.context.fetcher is not None:
                self.context.fetcher.cancel()
            if workers is not None:
                workers.close()
            # An interrupted process may not have the time to wait for what is under way.
            self._keep_finished()
            raise
        finally:
            for pool in (fetchers, builds):
                pool.workers.shutdown(wait=True, cancel_futures=True)
            # A thread whose start was interrupted is one that the pool does not wait for.
            while self.active or not self.finished.empty():
                self._keep(self.finished.get()[1])
            self._register()
            self._unlock(list(self.locks))

    def _workers(self) -> AbstractContextManager[Workers | None]:
        """Return worker processes if there is enough to unpack to be worth their start."""
        count = min(self.jobs, self._to_unpack() // WORTH_A_WORKER)
        return Workers(count) if count > 1 else nullcontext()

    def _older(self) -> Mapping[str, str]:
        """Return what the packages to be made may share files with."""
        kinds = {UNPACK, BUILD}
        made = [path for path in self.todo.build if self.context.derivations[path].builder in kinds]
        store = self.context.store
        names = [self._output(path).name for path in made]
        return older_versions(store.settings, store.database, names)

    def _to_unpack(self) -> int:
        """Return the bytes of the wheels to be unpacked; one whose size is unknown counts 1 MB."""
        derivations = self.context.derivations
        wheels = [path for path in self.todo.build if derivations[path].builder == UNPACK]
        return sum(self.sizes[path] or 1 << 20 for path in wheels)

    def _announce(self) -> None:
        sizes = [self.sizes[path] for path in self.todo.fetch]
        if sizes:
            self.context.reporter.expect("fetch", len(sizes), sum(sizes) if all(sizes) else None)
        kinds = [kind(self.context.derivations[path]) for path in self.todo.build]
        for work in dict.fromkeys(work for work in kinds if work):
            self.context.reporter.expect(work, kinds.count(work), None)

    def _schedule(self, fetchers: _Pool, builds: _Pool) -> None:
        waiting = self._waiting()
        users = self._users(waiting)
        for path in [path for path, count in waiting.items() if not count]:
            self._pool(path, fetchers, builds).ready.append(path)
        self._lead(fetchers)
        for pool in (fetchers, builds):
            self._start(pool)
        meanwhile = fetchers.workers.submit(self.meanwhile)
        self._perform(fetchers, builds, waiting, users)
        meanwhile.result()

    def _perform(
        self,
        fetchers: _Pool,
        builds: _Pool,
        waiting: dict[StorePath, int],
        users: Mapping[StorePath, list[StorePath]],
    ) -> None:
        while True:
            for pool in (fetchers, builds):
                self._start(pool)
            if fetchers.running or builds.running:
                path, outcome = self.finished.get()
                self._pool(path, fetchers, builds).running -= 1
                self._take(outcome)
            elif self.contended:
                path = self.contended.pop()
                if not self._made_elsewhere(path):
                    self._pool(path, fetchers, builds).ready.append(path)
                    continue
            else:
                return
            for user in users.get(path, ()):
                waiting[user] -= 1
                if not waiting[user]:
                    self._pool(user, fetchers, builds).ready.append(user)

    def _pool(self, path: StorePath, fetchers: _Pool, builds: _Pool) -> _Pool:
        return fetchers if self.context.derivations[path].builder == FETCH else builds

    def _waiting(self) -> dict[StorePath, int]:
        """Return how many inputs each derivation to be realised waits for."""
        needed = {*self.todo.fetch, *self.todo.build}
        inputs = {path: self.context.derivations[path].input_derivations for path in needed}
        return {path: len(needed.intersection(inputs[path])) for path in needed}

    def _users(self, waiting: Iterable[StorePath]) -> dict[StorePath, list[StorePath]]:
        found: dict[StorePath, list[StorePath]] = {}
        for path in waiting:
            for below in self.context.derivations[path].input_derivations:
                found.setdefault(below, []).append(path)
        return found

    def _size(self, path: StorePath) -> int:
        derivations = self.context.derivations
        inputs = derivations[path].input_derivations if derivations[path].builder == UNPACK else ()
        found = [path, *(below for below in inputs if below in derivations)]
        return max(int(derivations[each].environment.get("size", 0)) for each in found)

    def _output(self, path: StorePath) -> StorePath:
        return self.context.derivations[path].output_path()

    def _lead(self, pool: _Pool) -> None:
        """Let some of middling size go first, so that nobody waits idly for the largest."""
        pool.ready.sort(key=self.sizes.__getitem__)
        middle = len(pool.ready) // 2
        rest = pool.ready[:middle] + pool.ready[middle + 2 * self.jobs :]
        pool.ready = pool.ready[middle : middle + 2 * self.jobs]
        self._start(pool)
        pool.ready += rest

    def _start(self, pool: _Pool) -> None:
        """Hand ready work to the pool, the largest first, so that none is left at the end."""
        pool.ready.sort(key=self.sizes.__getitem__)
        while pool.ready and pool.running < pool.window:
            path = pool.ready.pop()
            if not self._lock(path):
                self.contended.append(path)
                continue
            pool.workers.submit(self._work, path)
            pool.running += 1

    def _lock(self, path: StorePath) -> bool:
        output = self._output(path)
        stack = ExitStack()
        if not stack.enter_context(self.context.store.lock_path(output, wait=False)):
            return False
        self.locks[output] = stack
        return True

    def _unlock(self, outputs: Iterable[StorePath]) -> None:
        for output in outputs:
            lock = self.locks.pop(output, None)
            if lock is not None:
                lock.close()

    def _made_elsewhere(self, path: StorePath) -> bool:
        """Wait until another process is done with the output; say whether it is valid now."""
        self._register()
        store, output = self.context.store, self._output(path)
        with store.lock_path(output, on_wait=self.context.reporter.note):
            return store.is_valid(output)

    def _work(self, path: StorePath) -> None:
        self.active.add(path)
        outcome: PathInfo | BaseException
        try:
            output = self._output(path)
            # Another process may have made it between our look and our lock.
            if self.context.store.is_valid(output):
                outcome = self.context.store.info(output)
            else:
                outcome = build(self.context, path)
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            outcome = error
        self.active.discard(path)
        self.finished.put((path, outcome))

    def _take(self, outcome: PathInfo | BaseException) -> None:
        if isinstance(outcome, BaseException):
            raise outcome
        self.unregistered.append(outcome)
        size = sum(info.nar_size for info in self.unregistered)
        if size >= BATCH_BYTES or len(self.unregistered) >= BATCH_COUNT:
            self._register()

    def _keep_finished(self) -> None:
        """Register what workers finished, so that no work is lost."""
        while not self.finished.empty():
            self._keep(self.finished.get()[1])
        self._register()

    def _keep(self, outcome: PathInfo | BaseException) -> None:
        if isinstance(outcome, PathInfo):
            self.unregistered.append(outcome)

    def _register(self) -> None:
        """Flush and register what is finished, and let go of its locks."""
        if self.unregistered:
            self.context.store.sync()
            self.context.store.register(self.unregistered)
            self._unlock([info.path for info in self.unregistered])
            self.unregistered.clear()
