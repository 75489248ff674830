"""From a lock to an environment in the store."""

from contextlib import nullcontext
from typing import TYPE_CHECKING

from envtool.machine.project import Project
from envtool.workspace.locking import Locking

if TYPE_CHECKING:
    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.fetching.fetch import Fetcher
    from envtool.plan.answer import Answer
    from envtool.plan.evaluate import Evaluation

__all__ = ["Realising"]


class Realising(Locking):
    """Environments and data put into the store."""

    def build(self, project: Project) -> "StorePath":
        """Realise the environment, write the lock, and return the environment's store path."""
        asked = self._completed(self._answer(project))
        with self.store.using(self.reporter.note):
            planned = self._evaluate(asked)
            self._realise(asked, planned)
        if asked.changed:
            self._write_lock(project, asked)
        return planned.output

    def fetch(
        self, url: str, sha256: str | None, *, project: Project | None = None
    ) -> "tuple[StorePath, str]":
        """Put a file of the network into the store; return its path and its hash (SRI).

        With its hash it is a fixed output, fetched only if it is not there yet. A project keeps it
        for as long as its declaration exists.

        :raises FetchError: it does not arrive, or is another one.
        """
        from envtool.build.data import fetch_data
        from envtool.machine.collecting.data import keep

        with self.store.using(self.reporter.note), self._fetcher() as fetcher:
            path, found = fetch_data(self.store, fetcher, self.reporter, url, sha256)
            if project is not None:
                with self.store.shared(self.reporter.note):
                    keep(self.settings, project.path, path)
        return path, found.sri

    def _evaluate(self, asked: "Answer") -> "Evaluation":
        from envtool.plan.evaluate import evaluate

        return evaluate(asked, self.store)

    def _realise(self, asked: "Answer", planned: "Evaluation") -> None:
        from envtool.build import bytecode
        from envtool.build.missing import missing
        from envtool.build.realise import realise

        store, made = self.store, planned.made
        todo = missing(store, made.derivations, [planned.environment])
        with self._fetcher() if todo.fetch else nullcontext() as fetcher:
            realise(
                store,
                fetcher,
                self.reporter,
                made.derivations,
                planned.environment,
                jobs=self.settings.jobs,
            )
        settings = self.settings
        if settings.optimise_all:
            from envtool.machine.sharing.optimise import optimise_added

            new = (*todo.fetch, *todo.build)
            optimise_added(store, [made.derivations[path].output_path() for path in new])
        bytecode.prepare(settings.cache, settings.store, planned.output, asked.interpreter.stdlib)
        if planned.new is not None:
            from envtool.plan.evaluate import keep_wheels

            keep_wheels(asked, planned, store)

    def _fetcher(self) -> "Fetcher":
        from envtool.machine.fetching.fetch import Fetcher

        return Fetcher(offline=self.settings.offline)
