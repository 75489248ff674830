"""Relations between packages: Depends, Conflicts, Provides and their like (Policy, chapter 7).

    libc6 (>= 2.34), default-mta | mail-transport-agent, python3:any, gcc [amd64] <!nocheck>

A field is groups that must all hold; a group is alternatives of which one must.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from envtool.errors import FormatError
from envtool.formats.debian.version import key, satisfies
from envtool.values import value

__all__ = ["Group", "Relation", "parse", "parse_flat", "render"]

_FORM = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*)(?::(?P<qualifier>[a-z0-9-]+))?\s*"
    r"(?:\(\s*(?P<operator><<|<=|>=|>>|=|<|>)\s*(?P<version>[^\s()]+)\s*\))?\s*"
    r"(?:\[(?P<architectures>[^\]]*)\])?\s*(?P<profiles>(?:<[^>]*>\s*)*)"
)
_OLD = {"<": "<=", ">": ">="}
"""What these two, long obsolete, mean."""


@value
class Relation:
    """A package that is named, and what is asked of it."""

    name: str
    qualifier: str | None = None
    """`any`, `native` or an architecture; None: the architecture of who asks."""
    operator: str | None = None
    """One of `<<`, `<=`, `=`, `>=`, `>>`; None: any version will do."""
    version: str = ""
    """Empty without an operator."""
    architectures: tuple[str, ...] = ()
    """Where the relation counts, such as `amd64`, `linux-any` or `!i386`; empty: everywhere."""
    profiles: tuple[tuple[str, ...], ...] = ()
    """Build profiles under which it counts: one of the groups must hold as a whole."""

    def __str__(self) -> str:
        """Return the relation as a field spells it."""
        parts = [f"{self.name}:{self.qualifier}" if self.qualifier else self.name]
        parts += [f"({self.operator} {self.version})"] if self.operator else []
        parts += [f"[{' '.join(self.architectures)}]"] if self.architectures else []
        parts += [f"<{' '.join(group)}>" for group in self.profiles]
        return " ".join(parts)

    def allows(self, version: str) -> bool:
        """Return whether a package of the name and of this version is what is asked for."""
        return self.operator is None or satisfies(version, self.operator, self.version)


Group = tuple[Relation, ...]
"""Alternatives, the best first."""


def parse(text: str) -> tuple[Group, ...]:
    """Return the groups of a field; an empty field has none.

    :raises FormatError: an alternative that is none; the message holds it.
    """
    if not text.strip():
        return ()
    groups = text.rstrip().removesuffix(",").split(",")
    return tuple(tuple(_relation(part) for part in group.split("|")) for group in groups)


def parse_flat(text: str) -> tuple[Relation, ...]:
    """Return the relations of a field that knows no alternatives, such as Provides.

    :raises FormatError: as `parse` does, or there are alternatives.
    """
    groups = parse(text)
    if any(len(group) != 1 for group in groups):
        raise FormatError(f"{text[:80]!r} has alternatives, where there can be none")
    return tuple(group[0] for group in groups)


def render(groups: Iterable[Group]) -> str:
    """Return the field; `parse` gives the groups back."""
    return ", ".join(" | ".join(map(str, group)) for group in groups)


@lru_cache(4096)  # half of what a closure's packages ask for, others of them ask for, too
def _relation(text: str) -> Relation:
    text = text.strip()
    found = _FORM.fullmatch(text)
    if found is None:
        raise FormatError(f"{text[:80]!r} is not a relation, such as 'libc6 (>= 2.34)'")
    name, qualifier, operator, version, architectures, profiles = found.groups()
    if operator is None and architectures is None and not profiles:
        return Relation(name, qualifier)
    if operator:
        key(version)
    return Relation(
        name,
        qualifier,
        _OLD.get(operator, operator),
        version or "",
        tuple((architectures or "").split()),
        tuple(tuple(group.split()) for group in re.findall(r"<([^>]*)>", profiles)),
    )
