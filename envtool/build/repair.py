"""Repairing a store: what verifying found wrong is made again and swapped in.

An object is made beside the damaged one, by any way that is known (`envtool.build.again`), and
takes its place only if it has the NAR hash that is registered; otherwise the damaged one stays and
is told of. Inputs come before what is made from them. One that is gone altogether, and that comes
out different each time it is built, is registered anew.
"""

import os
from collections.abc import Iterable, Sequence

from envtool.build.again import GENERATION, Maker, Way
from envtool.build.builders.context import scratch
from envtool.errors import EnvtoolError, FormatError, StoreError
from envtool.formats.nix import nar
from envtool.formats.nix.references import by_digest
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.disk import disk_errors
from envtool.machine.mending.problem import Problem
from envtool.machine.mending.proof import prove, read
from envtool.machine.mending.recover import adopt
from envtool.machine.mending.swapping import Swapper
from envtool.machine.mending.verify import check_object
from envtool.machine.metadata import canonicalise
from envtool.machine.store import Store
from envtool.reporting import Reporter, SilentReporter
from envtool.values import replace, value

__all__ = ["Outcome", "repair"]


@value
class Outcome:
    """What became of one problem."""

    problem: Problem
    done: str | None
    """What was done, such as `unpacked again`; None: it is as it was."""
    reason: str = ""
    """Why nothing could be done."""
    hint: str | None = None
    """What the user can do."""


def repair(
    store: Store,
    problems: Iterable[Problem],
    reporter: Reporter,
    *,
    originals: Sequence[str] = (),
) -> list[Outcome]:
    """Repair what can be repaired; return what became of each problem that harms, in order.

    `originals` are files and folders that lost sources may be copied from. Damage that other
    objects share is repaired in all of them; those are told of as well. Problems of the database
    itself are not repaired here (`envtool.machine.mending.recover`).
    """
    harmful = [problem for problem in problems if problem.harms]
    run = _Run(store, reporter, originals)
    if any(problem.kind == "dangling" for problem in harmful):
        adopt(store, SilentReporter())
    with store.using(reporter.note):
        run.contents([problem for problem in harmful if problem.of_contents])
        for problem in harmful:
            if problem.kind == "metadata":
                run.outcomes[problem.kind, problem.name] = run.metadata(problem)
            elif problem.kind == "dangling":
                run.outcomes[problem.kind, problem.name] = run.dangling(problem)
    return list(run.outcomes.values())


class _Run:
    """One repair."""

    def __init__(self, store: Store, reporter: Reporter, originals: Sequence[str]) -> None:
        self._store = store
        self._reporter = reporter
        self._maker = Maker(store, reporter, originals)
        self._swapper = Swapper(store)
        self._whole: set[StorePath] = set()
        """What was read and found to be whole, or was made so."""
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        """By kind and name of the problem."""

    # -- contents

    def contents(self, problems: Iterable[Problem]) -> None:
        """Make damaged objects again, and what shares their damage.

        Generations come first, since their locks tell what `.drv` files have to say.
        """
        waiting = {StorePath(each.name): each for each in problems}
        while waiting:
            before = self._swapper.spoilt
            for path in sorted(waiting, key=lambda path: (_rank(path), path)):
                self._object(waiting[path])
            waiting = {}
            if self._swapper.spoilt > before:
                self._swapper.mend_links()
                waiting = {path: self._shared(path) for path in self._sharing()}

    def _sharing(self) -> list[StorePath]:
        others = self._store.database.sizes().keys() - self._whole
        return self._swapper.affected(sorted(others))

    def _shared(self, path: StorePath) -> Problem:
        for (_, name), outcome in self.outcomes.items():
            if name == path and outcome.problem.of_contents:
                return outcome.problem
        message = f"{self._store.physical(path)} has a file in common with a damaged object"
        return Problem("changed", path, message)

    def _object(self, problem: Problem) -> None:
        path = StorePath(problem.name)
        if path in self._whole:
            return
        info = self._store.database.infos([path]).get(path)
        if info is None:
            outcome = Outcome(problem, "no longer registered")
        else:
            outcome = self._made_again(problem, info)
        if outcome.done is not None:
            self._whole.add(path)
            if path.endswith(GENERATION):
                self._maker.forget()
        self.outcomes[problem.kind, problem.name] = outcome

    def _made_again(self, problem: Problem, info: PathInfo) -> Outcome:
        try:
            self._inputs(info)
            self._maker.prepare(info.path, info.deriver)
        except EnvtoolError as error:
            reason, hint = error.message, error.hint
        else:
            reason, hint = "", None
        with self._store.lock_path(info.path, on_wait=self._reporter.note):
            if self._is_whole(info, problem):
                return Outcome(problem, "repaired by somebody else")
            if self._proven(info):
                return Outcome(problem, "registered as what it is, since it proves itself")
            if problem.kind == "unreadable" and self._opened_up(info):
                return Outcome(problem, "made readable")
            reasons = [reason] if reason else []
            for way in [*self._maker.ways(info.path, info.deriver), self._patch(info)]:
                try:
                    return Outcome(problem, self._try(way, info))
                except EnvtoolError as error:
                    reasons.append(error.message)
                    hint = hint or error.hint
        return self._given_up(problem, info, reasons, hint)

    def _inputs(self, info: PathInfo) -> None:
        """Repair what the object is made from, if that is damaged, too."""
        for path in sorted(self._maker.inputs(info.path, info.deriver) - self._whole):
            for below in self._store.database.infos([path]).values():
                damage = [each for each in check_object(self._store, below) if each.of_contents]
                if damage:
                    self._object(damage[0])
                else:
                    self._whole.add(path)

    def _is_whole(self, info: PathInfo, problem: Problem) -> bool:
        if problem.kind == "derivation":
            return False
        return not any(each.of_contents for each in check_object(self._store, info))

    def _proven(self, info: PathInfo) -> bool:
        """Let an object that proves itself overrule its row."""
        place = self._store.physical(info.path)
        if not os.path.lexists(place) or not self._proves(place, info):
            return False
        with disk_errors(f"read {place}"):
            found, size = nar.hash_path(place)
        self._store.database.correct(replace(info, nar_hash=found, nar_size=size))
        return True

    def _proves(self, place: str, info: PathInfo) -> bool:
        """Return whether the contents at `place` lead to the path, whatever the row says."""
        try:
            found = read(place, info.path, by_digest(info.references))
            return prove(place, found) is not None
        except (OSError, FormatError):
            return False

    def _opened_up(self, info: PathInfo) -> bool:
        """Give an object that cannot be read the modes of one that can."""
        place = self._store.physical(info.path)
        try:
            canonicalise(place)
        except (OSError, StoreError):
            return False
        return not any(each.of_contents for each in check_object(self._store, info))

    def _patch(self, info: PathInfo) -> Way:
        def way(target: str) -> str:
            if not self._swapper.patched(info.path, target):
                raise StoreError("")
            return "mended from an object that shared the damaged file"

        return way

    def _try(self, way: Way, info: PathInfo) -> str:
        """Make it one way; swap it in if it is what was registered.

        :raises EnvtoolError: it cannot be made so, or is something else.
        """
        with scratch(self._store, info.path.name) as target:
            done = way(target)
            place = self._store.physical(info.path)
            with disk_errors(f"read {target}"):
                found, size = nar.hash_path(target)
            if found != info.nar_hash:
                proven = self._proves(target, info)
                if not proven and (info.ca is not None or os.path.lexists(place)):
                    raise StoreError(f"{done}, it is not what was registered")
                self._store.database.correct(replace(info, nar_hash=found, nar_size=size))
                done += "" if proven else ", with other contents than before"
            self._swapper.swap(target, info.path)
        return done

    def _given_up(
        self, problem: Problem, info: PathInfo, reasons: Sequence[str], hint: str | None
    ) -> Outcome:
        told = "; ".join(dict.fromkeys(filter(None, reasons)))
        if not told:
            told = "nothing is known that it could be made from"
            hint = (
                f"if you have the original: envtool store verify --repair --from FILE {info.path}"
            )
        elif hint is None and info.ca is None and problem.kind != "missing":
            place = self._store.physical(info.path)
            hint = f"to have another one in its place: mv {place} {place}.damaged, and again"
        return Outcome(problem, None, told, hint)

    # -- the rest

    def metadata(self, problem: Problem) -> Outcome:
        """Give an object the modes, times and owners of one."""
        path = StorePath(problem.name)
        place = self._store.physical(path)
        with self._store.lock_path(path, on_wait=self._reporter.note):
            info = self._store.database.infos([path]).get(path)
            if info is None or not os.path.lexists(place):
                return Outcome(problem, "no longer there")
            try:
                with disk_errors(f"repair {path}"):
                    _take_over(place, self._store.settings.store)
                    canonicalise(place)
            except StoreError as error:
                owner = os.stat(self._store.settings.store).st_uid
                return Outcome(
                    problem, None, error.message, f"as root: chown -hR {owner} {place}, and again"
                )
            left = [each for each in check_object(self._store, info) if each.kind == "metadata"]
        return Outcome(problem, None if left else "put right", left[0].message if left else "")

    def dangling(self, problem: Problem) -> Outcome:
        """Make what a root leads to valid again."""
        path = StorePath(problem.name)
        if self._store.is_valid(path):
            return Outcome(problem, "registered again, since it proves itself")
        try:
            done = self._realised(path)
        except EnvtoolError as error:
            return Outcome(problem, None, error.message, error.hint)
        if done is None:
            hint = "delete the link; for a generation make a new one: envtool switch"
            return Outcome(problem, None, "nothing is known that it could be made from", hint)
        self._maker.forget()
        return Outcome(problem, done)

    def _realised(self, path: StorePath) -> str | None:
        if path.endswith(GENERATION) and (found := self._maker.guess(path)) is not None:
            self._realise(found[1])
            return self._registered(path, found[1])
        return "realised again" if self._realise(path) else None

    def _realise(self, output: StorePath) -> bool:
        if self._store.is_valid(output):
            return True
        drv = self._maker.maker(output)
        if drv is not None:
            self._maker.realise(drv)
        return drv is not None

    def _registered(self, path: StorePath, environment: StorePath) -> str:
        """Place a generation whose environment is valid, and register it."""
        with scratch(self._store, path.name) as target:
            done = self._maker.generation(path, target)
            with disk_errors(f"read {target}"):
                nar_hash, size = nar.hash_path(target)
            self._swapper.swap(target, path)
        ca = f"fixed:r:{nar_hash}"
        self._store.register([PathInfo(path, nar_hash, size, frozenset({environment}), ca=ca)])
        return done


def _rank(path: StorePath) -> int:
    return 0 if path.endswith(GENERATION) else 1 if path.endswith(".drv") else 2


def _take_over(place: str, store: str) -> None:
    """Give all of the tree to the owner of the store; only root can do more than see it."""
    owner = os.stat(store).st_uid
    todo = [place]
    while todo:
        path = todo.pop()
        if os.lstat(path).st_uid != owner:
            os.chown(path, owner, -1, follow_symlinks=False)
        if os.path.isdir(path) and not os.path.islink(path):
            todo += [f"{path}/{name}" for name in os.listdir(path)]
