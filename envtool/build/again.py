"""Making a store object again: every way there is, each giving a tree that is not placed yet.

Whether the tree is the right one, the caller finds out by its hash.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from hashlib import sha256

from envtool.build.builders.context import Context
from envtool.build.builders.table import build
from envtool.build.generation import object_path, write
from envtool.build.origins import (
    TEXTS,
    Origin,
    derivations,
    local_sources,
    origins,
    project_texts,
)
from envtool.build.realise import realise
from envtool.errors import BuildError, EnvtoolError, FormatError, StoreError
from envtool.formats import generation
from envtool.formats.nix.derivation import Derivation, render
from envtool.formats.nix.storepath import StorePath
from envtool.machine.disk import disk_errors
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.metadata import canonicalise
from envtool.machine.store import Store, output_paths
from envtool.machine.tree import Exclude, copy_tree
from envtool.plan.derivations import BUILD, ENVIRONMENT, FETCH, INTERPRETER, UNPACK
from envtool.plan.gather import is_left_out
from envtool.reporting import Reporter

__all__ = ["GENERATION", "Maker", "Way"]

_DRV = ".drv"
GENERATION = "-generation"
"""How the names of generations end."""
_DONE = {
    FETCH: "fetched again",
    UNPACK: "unpacked again",
    BUILD: "built again",
    INTERPRETER: "made again",
    ENVIRONMENT: "composed again",
}

Way = Callable[[str], str]
"""Makes the tree at a path where nothing is, and says how it was done in the past tense.

It raises an `EnvtoolError` when it cannot."""


class Maker:
    """Knows of each object of a store what it can be made from."""

    def __init__(self, store: Store, reporter: Reporter, originals: Sequence[str] = ()) -> None:
        self._store = store
        self._reporter = reporter
        self._originals = originals
        self._known: dict[StorePath, Derivation] | None = None
        self._makers: dict[StorePath, StorePath] | None = None
        self._origins: list[Origin] | None = None

    # -- what is known

    def maker(self, output: StorePath, deriver: StorePath | None = None) -> StorePath | None:
        """Return a derivation that can be read and has this output; None if there is none."""
        if output.endswith((_DRV, GENERATION)):
            return None
        for drv in (deriver, self._registered().get(output)):
            if drv is not None and output in self._outputs_of(drv):
                return drv
        known = self._from_generations().items()
        return next((drv for drv, each in known if output in output_paths(each).values()), None)

    def _outputs_of(self, drv: StorePath) -> Iterable[StorePath]:
        with suppress(EnvtoolError):
            return output_paths(self.derivation(drv)).values()
        return ()

    def _registered(self) -> dict[StorePath, StorePath]:
        if self._makers is None:
            found = self._store.database.outputs()
            self._makers = {path: drv for drv, named in found.items() for path in named.values()}
        return self._makers

    def derivation(self, drv: StorePath) -> Derivation:
        """Return a derivation, be its file damaged or lost.

        :raises EnvtoolError: no generation knows it either.
        """
        try:
            return self._store.read_derivation(drv)
        except EnvtoolError:
            known = self._from_generations().get(drv)
            if known is None:
                raise
            return known

    def closure(self, drv: StorePath) -> dict[StorePath, Derivation]:
        """Return the derivation and all that it needs; those that are lost are left out."""
        found: dict[StorePath, Derivation] = {}
        todo = [drv]
        while todo:
            path = todo.pop()
            if path not in found:
                with suppress(EnvtoolError):
                    found[path] = self.derivation(path)
                    todo += found[path].input_derivations
        return found

    def _from_generations(self) -> dict[StorePath, Derivation]:
        if self._known is None:
            self._known = {}
            for origin in self._all_origins():
                with suppress(EnvtoolError):
                    self._known |= derivations(self._store, origin)
        return self._known

    def _all_origins(self) -> list[Origin]:
        if self._origins is None:
            self._origins = origins(self._store)
        return self._origins

    def forget(self) -> None:
        """Look again at what there is, after something was repaired."""
        self._known = self._makers = self._origins = None

    # -- making

    def ways(self, path: StorePath, deriver: StorePath | None) -> Iterator[Way]:
        """Yield the ways to make the object, the likeliest first."""
        if path.endswith(_DRV):
            yield partial(self._text, path)
        elif (drv := self.maker(path, deriver)) is not None:
            yield partial(self._build, drv)
        if path.endswith(GENERATION):
            yield partial(self.generation, path)
        for original, exclude in self._sources():
            if os.path.lexists(original):
                yield partial(self._copy, original, exclude)

    def _text(self, path: StorePath, target: str) -> str:
        derivation = self._from_generations().get(path)
        if derivation is None:
            raise StoreError(f"no generation leads to {path}")
        with disk_errors(f"write {path}"):
            with open(target, "wb") as file:
                file.write(render(derivation).encode("utf-8", "surrogateescape"))
            canonicalise(target)
        return "written again"

    def prepare(self, path: StorePath, deriver: StorePath | None) -> None:
        """Realise what making the object needs. :raises EnvtoolError: it cannot be had."""
        drv = self.maker(path, deriver)
        if drv is not None:
            for below in self.derivation(drv).input_derivations:
                self.realise(below)

    def inputs(self, path: StorePath, deriver: StorePath | None) -> set[StorePath]:
        """Return the store paths that the object is made from."""
        drv = self.maker(path, deriver)
        if drv is None:
            return set()
        found = self.closure(drv)
        derivation = found.pop(drv)
        below = [found[each] for each in derivation.input_derivations if each in found]
        outputs = {output for each in below for output in output_paths(each).values()}
        return outputs | derivation.input_sources

    def realise(self, drv: StorePath) -> None:
        """Make the output of a derivation valid, with all that it needs.

        :raises EnvtoolError: it cannot be realised, such as offline.
        """
        found = self._usable(drv)
        with self._fetcher() as fetcher:
            jobs = self._store.settings.jobs
            realise(self._store, fetcher, self._reporter, found, drv, jobs=jobs)

    def _usable(self, drv: StorePath) -> dict[StorePath, Derivation]:
        """Return the derivation and all that it needs, if that is enough to realise it."""
        found = self.closure(drv)
        lost = {below for each in found.values() for below in each.input_derivations} - found.keys()
        if drv not in found or (lost and any(each.builder == BUILD for each in found.values())):
            raise BuildError(
                f"derivation {min(lost, default=drv)} is lost, and no generation knows it"
            )
        return found

    def _fetcher(self) -> Fetcher:
        return Fetcher(offline=self._store.settings.offline)

    def _build(self, drv: StorePath, target: str) -> str:
        """Let the builder work as ever, but take its output before it is placed."""
        found = self._usable(drv)
        builder = found[drv].builder
        with self._fetcher() if builder == FETCH else nullcontext() as fetcher:
            context = Context(
                self._store,
                fetcher,
                self._reporter,
                found,
                place=lambda tree, _: os.rename(tree, target),
            )
            build(context, drv)
        return _DONE.get(builder, "made again")

    def generation(self, path: StorePath, target: str) -> str:
        """Put a generation together from texts that are its own, or another's, or the project's.

        :raises EnvtoolError: its texts are lost.
        """
        found = self.guess(path)
        if found is None:
            raise StoreError(f"the texts of {path} are found nowhere")
        with disk_errors(f"write {path}"):
            write(target, *found)
            canonicalise(target)
        return "put together again"

    def guess(self, path: StorePath) -> tuple[dict[str, bytes], StorePath] | None:
        """Return texts and environment of a generation, whose path proves that they are its."""
        candidates: dict[str, dict[bytes, None]] = {name: {} for name in TEXTS}
        for origin in sorted(self._all_origins(), key=lambda each: each.path != path):
            for name, text in (*origin.texts.items(), *project_texts(origin)):
                candidates[name][text] = None
        for record_text in candidates[generation.RECORD]:
            with suppress(FormatError):
                record = generation.parse(record_text, path)
                for declaration in candidates[generation.DECLARATION]:
                    if sha256(declaration).hexdigest() != record.declaration_sha256:
                        continue
                    for lock in candidates[generation.LOCK]:
                        texts = dict(zip(TEXTS, (record_text, declaration, lock), strict=True))
                        if object_path(path.name, texts, record.environment) == path:
                            return texts, record.environment
        return None

    def _sources(self) -> Iterator[tuple[str, Exclude | None]]:
        for original in self._originals:
            yield original, None
        for folder in {each for origin in self._all_origins() for each in local_sources(origin)}:
            yield folder, is_left_out

    def _copy(self, original: str, exclude: Exclude | None, target: str) -> str:
        with disk_errors(f"copy {original}"):
            copy_tree(original, target, len, exclude=exclude)
        return f"copied again from {original}"
