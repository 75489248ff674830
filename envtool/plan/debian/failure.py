"""Why there is no closure: who asks for what, what stands against it, and where it can be had."""

from collections.abc import Iterator, Mapping, Sequence

from envtool.errors import ResolutionError
from envtool.formats.debian.package import Package
from envtool.formats.debian.relations import Group, Relation
from envtool.plan.debian.universe import Universe
from envtool.values import value

__all__ = ["Against", "DeadEnd", "UnsatisfiableError", "Want", "explain"]

_SHOWN = 3
"""Dead ends, and what stands against one, that a message has."""


@value
class Want:
    """A group that must hold, and who says so."""

    group: Group
    by: Package | None
    """None: the user."""

    def __str__(self) -> str:
        """Return the group as a field spells it."""
        return " | ".join(map(str, self.group))


@value
class Against:
    """A candidate, and the chosen package that stands against it."""

    candidate: Package
    relation: Relation | None
    """The Conflicts or Breaks of one of the two; None: both have one name."""
    chosen: Package
    by_candidate: bool
    """Whether the relation is the candidate's."""


@value
class DeadEnd:
    """A want that nothing can satisfy."""

    want: Want
    against: tuple[Against, ...]
    """Why each candidate cannot be had; empty: there is no candidate."""
    askers: tuple[Package, ...]
    """The want's own asker, who asked for that one, and so on up to what the user asked for."""
    chains: Mapping[str, tuple[Package, ...]]
    """For each package that stands against a candidate, by name: itself, then its askers."""


class UnsatisfiableError(ResolutionError):
    """No set of packages has all that is asked for."""

    def __init__(
        self, message: str, dead_ends: Sequence[DeadEnd], *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.dead_ends = tuple(dead_ends)
        """What was met, in this order; at least one."""


def explain(
    dead_ends: Sequence[DeadEnd], universe: Universe, elsewhere: Mapping[str, Universe]
) -> UnsatisfiableError:
    """Return the error that says of each dead end who asks, what for, and why it cannot be."""
    told = [_told(each, universe) for each in dead_ends[:_SHOWN]]
    if len(dead_ends) > len(told):
        told.append(f"and {len(dead_ends) - len(told)} more such")
    if len(told) > 1:
        told = ["every choice leads nowhere:", *(f"  {line}" for line in told)]
    hint = _hint(dead_ends[0], universe, elsewhere)
    return UnsatisfiableError("\n".join(told), dead_ends, hint=hint)


def _told(end: DeadEnd, universe: Universe) -> str:
    asks = f"{_path(end.askers)} needs {end.want}" if end.askers else f"{end.want} is asked for"
    if not end.against:
        return f"{asks}, but {_absence(end.want.group, universe)}"
    shown = "; ".join(_opposed(each, end) for each in end.against[:_SHOWN])
    rest = len(end.against) - _SHOWN
    return f"{asks}, but {shown}" + (f"; and {rest} more" if rest > 0 else "")


def _opposed(against: Against, end: DeadEnd) -> str:
    """Return a clause that says what a candidate does not go with, and why that is there."""
    candidate, chosen = against.candidate, against.chosen
    chain = end.chains[chosen.name]
    asked = f"{_path(chain[1:])} needs" if chain[1:] else "is asked for"
    if against.relation is None:
        return f"{chosen}, which {asked}, is another version of {candidate.name}"
    if not against.by_candidate:
        return f"{chosen}, which {asked}, conflicts with {against.relation}"
    if against.relation.name == chosen.name:
        return f"{candidate} conflicts with {against.relation}, which {asked}"
    return f"{candidate} conflicts with {against.relation}, as is {chosen.name}, which {asked}"


def _path(askers: Sequence[Package]) -> str:
    """Return who asks, and on whose behalf, the nearest first."""
    nearest, *others = [str(each) for each in askers]
    return nearest + (f" (for {', for '.join(others)})" if others else "")


def _absence(group: Group, universe: Universe) -> str:
    """Return a clause that says what there is instead of what a group names."""
    clauses = list(dict.fromkeys(_versions(relation, universe) for relation in group))
    return " and ".join(clauses)


def _versions(relation: Relation, universe: Universe) -> str:
    found = [each.version for each in universe.named(relation.name)]
    if found:
        return f"{universe.title} has {relation.name} {', '.join(found)}"
    providers = [each.name for each in universe.providing(relation.name)]
    if providers:
        shown = ", ".join(providers[:_SHOWN]) + (" and others" if providers[_SHOWN:] else "")
        return f"{relation.name} is what {shown} provide, in no such version"
    return f"{universe.title} has no package {relation.name}"


def _hint(end: DeadEnd, universe: Universe, elsewhere: Mapping[str, Universe]) -> str | None:
    if end.against:
        names = sorted({_asked(end.askers, end.want)} | {_root(each, end) for each in end.against})
        return f"ask for one of them only: {', '.join(names)}"
    having = list(_having(end.want.group, elsewhere))
    if having:
        return "; ".join(having)
    wanted = end.want.group[0].name
    if end.askers or universe.named(wanted) or universe.providing(wanted):
        return None
    near = universe.near(wanted)
    return f"did you mean {' or '.join(near)}?" if near else None


def _having(group: Group, elsewhere: Mapping[str, Universe]) -> Iterator[str]:
    """Yield where else there is what a group asks for."""
    for name in sorted(elsewhere):
        found = elsewhere[name].candidates(group)
        if found:
            yield f"{name} has {found[0]}"


def _asked(askers: Sequence[Package], want: Want) -> str:
    return askers[-1].name if askers else str(want)


def _root(against: Against, end: DeadEnd) -> str:
    return end.chains[against.chosen.name][-1].name
