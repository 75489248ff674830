"""Solve the closure of Debian packages: all that the packages asked for need, and nothing else.

Depends and Pre-Depends are followed, Recommends are not; Conflicts and Breaks are kept; Essential
packages come only if somebody needs them. Where there is a choice, what is already chosen is
preferred, then the first alternative that can be had, then the better provider of a virtual
package. What has only one answer is followed first, so that choices are made in view of it.

A choice that leads nowhere is taken back: not the last one, but the last one that has to do with
the failure (conflict-directed backjumping, Prosser 1993). The same packages and indices give the
same closure, whatever the order in which the indices were read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from envtool.errors import ResolutionError
from envtool.formats.debian.package import Package
from envtool.formats.debian.relations import Relation, parse
from envtool.formats.debian.version import satisfies
from envtool.plan.debian.failure import Against, DeadEnd, Want, explain
from envtool.plan.debian.universe import Universe, provision
from envtool.values import value

__all__ = ["Closure", "solve"]

MOST_STEPS = 100_000
"""Packages tried before giving up; real closures have hundreds."""


@value
class Closure:
    """Packages that together need nothing else."""

    packages: tuple[Package, ...]
    """By name."""
    requested: tuple[str, ...]
    """Names of those that the user asked for; sorted."""
    edges: Mapping[str, tuple[str, ...]]
    """Name to the names of what it needs, in the order of its Depends."""


def solve(
    requests: Sequence[str], universe: Universe, *, elsewhere: Mapping[str, Universe] | None = None
) -> Closure:
    """Return the closure of what is asked for, such as `graphviz` or `git (>= 1:2.39)`.

    `elsewhere` has other places by name, such as `the suite sid`; they only serve to explain a
    failure.

    :raises FormatError: a request is no relation.
    :raises UnsatisfiableError: there is none.
    """
    wants = [Want(group, None) for text in sorted(set(requests)) for group in parse(text)]
    search = _Search(universe)
    chosen = search.run(wants)
    if chosen is None:
        raise explain(search.dead_ends, universe, elsewhere or {})
    return Closure(
        packages=tuple(sorted(chosen, key=lambda each: each.name)),
        requested=tuple(sorted({name for want in wants for name in search.answers(want)[:1]})),
        edges={
            package.name: tuple(
                dict.fromkeys(
                    name
                    for group in package.depends
                    for name in search.answers(Want(group, package))[:1]
                    if name != package.name
                )
            )
            for package in sorted(chosen, key=lambda each: each.name)
        },
    )


_Pending = tuple[Want, tuple[Package, ...]]
"""What must still hold, and what could make it so."""


class _Step:
    """A package chosen for a want, and how to take it back."""

    __slots__ = ("package", "queued", "reached", "reasons", "remaining", "want")

    def __init__(self, want: Want, remaining: Iterable[Package], queued: int, reached: int) -> None:
        self.want = want
        self.remaining = list(remaining)
        self.queued = queued
        """How many choices were queued before."""
        self.reached = reached
        """How many of them had been made."""
        self.reasons = {want.by}
        """What would have to be different for another answer."""
        self.package: Package


class _Search:
    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._chosen: dict[str, Package] = {}
        self._steps: list[_Step] = []
        self._step_of: dict[str, _Step] = {}
        self._provided: dict[str, list[tuple[Package, Relation]]] = {}
        """Virtual name to who of the chosen provides it."""
        self._denied: dict[str, list[tuple[Package, Relation]]] = {}
        """Name to who of the chosen does not go with it."""
        self._forced: list[_Pending] = []
        """What has one answer at most; a stack."""
        self._queue: list[_Pending] = []
        """Choices, in the order in which they came up."""
        self._reached = 0
        self.dead_ends: list[DeadEnd] = []
        """What was met on the way."""

    def run(self, wants: Sequence[Want]) -> tuple[Package, ...] | None:
        """Return the packages that were chosen, in the order of choosing; None: there are none."""
        self._add(wants)
        for _ in range(MOST_STEPS):
            pending = self._next()
            if pending is None:
                return tuple(step.package for step in self._steps)
            want, candidates = pending
            if not self._is_satisfied(want) and not self._advance(
                _Step(want, candidates, len(self._queue), self._reached)
            ):
                return None
        raise ResolutionError(
            f"no closure was found in {MOST_STEPS} steps",
            hint="ask for fewer packages, or name the alternatives that you want",
        )

    def answers(self, want: Want) -> list[str]:
        """Return the names of the chosen packages that satisfy a want, the best first."""
        return [package.name for relation in want.group for package in self._answering(relation)]

    def _answering(self, relation: Relation) -> Iterator[Package]:
        if not self._universe.is_native(relation):
            return
        real = self._chosen.get(relation.name)
        if real is not None and relation.allows(real.version):
            yield real
        for package, _ in self._provided.get(relation.name, ()):
            if provision(package, relation):
                yield package

    def _is_satisfied(self, want: Want) -> bool:
        return any(True for relation in want.group for _ in self._answering(relation))

    def _next(self) -> _Pending | None:
        if self._forced:
            return self._forced.pop()
        if self._reached < len(self._queue):
            self._reached += 1
            return self._queue[self._reached - 1]
        return None

    def _add(self, wants: Iterable[Want]) -> None:
        forced: list[_Pending] = []
        for want in wants:
            candidates = self._universe.candidates(want.group)
            (forced if len(candidates) <= 1 else self._queue).append((want, candidates))
        self._forced.extend(reversed(forced))

    def _advance(self, step: _Step) -> bool:
        """Choose the first candidate that goes with what is chosen, or go back and choose there.

        Return whether anything was chosen.
        """
        current: _Step | None = step
        while current is not None:
            against: list[Against] = []
            if self._try(current, against):
                return True
            self._note(current, against)
            current = self._go_back(current.reasons)
        return False

    def _try(self, step: _Step, against: list[Against]) -> bool:
        while step.remaining:
            package = step.remaining.pop(0)
            obstacle = next(self._obstacles(package), None)
            if obstacle is None:
                step.package = package
                self._choose(step)
                return True
            against.append(obstacle)
            step.reasons.add(obstacle.chosen)
        return False

    def _choose(self, step: _Step) -> None:
        package = step.package
        self._steps.append(step)
        self._step_of[package.name] = step
        self._chosen[package.name] = package
        for each in package.provides:
            self._provided.setdefault(each.name, []).append((package, each))
        for each in filter(self._universe.is_native, package.conflicts):
            self._denied.setdefault(each.name, []).append((package, each))
        self._add(Want(group, package) for group in package.depends)

    def _go_back(self, reasons: set[Package | None]) -> _Step | None:
        """Take back steps up to the last one that is to blame and has candidates left.

        Return that one; None when all have been taken back.
        """
        while self._steps:
            step = self._steps.pop()
            self._take_back(step.package)
            if step.package in reasons:
                step.reasons |= reasons - {step.package}
                reasons = step.reasons
                if step.remaining:
                    self._forced.clear()
                    del self._queue[step.queued :]
                    self._reached = step.reached
                    return step
        return None

    def _take_back(self, package: Package) -> None:
        del self._chosen[package.name], self._step_of[package.name]
        for each in reversed(package.provides):
            self._provided[each.name].pop()
        for each in filter(self._universe.is_native, package.conflicts):
            self._denied[each.name].pop()

    def _obstacles(self, package: Package) -> Iterator[Against]:
        """Yield what of the chosen does not go with a package."""
        same = self._chosen.get(package.name)
        if same is not None:
            yield Against(package, None, same, by_candidate=False)
        for relation in filter(self._universe.is_native, package.conflicts):
            for other in self._hit(relation):
                yield Against(package, relation, other, by_candidate=True)
        for other, relation in self._denied.get(package.name, ()):
            if relation.allows(package.version):
                yield Against(package, relation, other, by_candidate=False)
        for each in package.provides:
            for other, relation in self._denied.get(each.name, ()):
                if other.name != package.name and _covers(relation, each):
                    yield Against(package, relation, other, by_candidate=False)

    def _hit(self, relation: Relation) -> Iterator[Package]:
        """Yield the chosen packages that a Conflicts or Breaks names."""
        real = self._chosen.get(relation.name)
        if real is not None and relation.allows(real.version):
            yield real
        for package, each in self._provided.get(relation.name, ()):
            if _covers(relation, each):
                yield package

    def _note(self, step: _Step, against: Sequence[Against]) -> None:
        want = step.want
        if any(each.want == want for each in self.dead_ends):
            return
        askers = self._chain(want.by)
        chains = {each.chosen.name: self._chain(each.chosen) for each in against}
        self.dead_ends.append(DeadEnd(want, tuple(against), askers, chains))

    def _chain(self, package: Package | None) -> tuple[Package, ...]:
        """Return a package, who asked for it, who asked for that one, and so on."""
        found: list[Package] = []
        while package is not None and package not in found:
            found.append(package)
            step = self._step_of.get(package.name)
            package = step.want.by if step is not None else None
        return tuple(found)


def _covers(relation: Relation, provided: Relation) -> bool:
    """Return whether a Conflicts or Breaks means what a package provides."""
    return relation.operator is None or (
        provided.operator is not None
        and satisfies(provided.version, relation.operator, relation.version)
    )
