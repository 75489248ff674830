"""A lock whose declaration changed in one pin only, changed likewise without asking uv.

uv keeps the versions of the former lock where they still satisfy. So if the new version is known
(`envtool.plan.wheels`), requires what the former one did and nobody forbids it, uv's answer is the
former lock with one package exchanged: that is written down at once. Whatever is not plainly so is
left to uv, and `None` says that.

That nothing else changed is proved by the digest in the lock: that of the declaration with the
former version in place of the new one.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from envtool.formats import lock_blocks as blocks
from envtool.formats.declarations.declaration import Declaration
from envtool.formats.declarations.requirement import NAME, name_of, normalised
from envtool.formats.releases import RELEASE, admits
from envtool.machine.local import answered_digest
from envtool.plan import wheels
from envtool.plan.evaluations import memory, remember_changed
from envtool.plan.wheels import KnownWheel
from envtool.sources.interpreter import Interpreter
from envtool.values import replace, value

__all__ = ["repin"]

_PIN = re.compile(rf"({NAME.pattern}) ?== ?({RELEASE})")
_REQUIREMENT = re.compile(
    rf"({NAME.pattern})\s*(\[[^\]]*\])?\s*\(?([^;()@]*)\)?\s*(?:;\s*(.*))?", re.DOTALL
)


@value
class _Change:
    """A pin that names another version than the lock."""

    requirement: str
    name: str
    former: str
    version: str


@value
class _Requirement:
    """One line of a wheel's metadata."""

    name: str
    extras: str
    specifiers: str
    marker: str


def repin(
    cache: str,
    declaration: Declaration,
    interpreter: Interpreter,
    written: str,
    *,
    answered: str,
    digest: str,
) -> str | None:
    """Return the text of the lock that answers the declaration, whose digest is `digest`.

    `written` is the former lock, and `answered` the digest that stands in it. With an interpreter
    of the host's, it is kept what the new one evaluates to, if that of the former one was.
    """
    locked = blocks.versions(written) if blocks.is_plain(written) else None
    change = locked and _only_change(declaration, locked, answered)
    if not locked or not change:
        return None
    place = wheels.folder(cache, declaration, interpreter, os.environ)
    old = wheels.read(place, change.name, change.former)
    new = wheels.read(place, change.name, change.version)
    if old is None or new is None or old.block != blocks.find_block(written, change.name):
        return None
    users = [
        wheels.read(place, name, locked[name]) for name in blocks.dependants(written, change.name)
    ]
    known = [user for user in users if user is not None]
    if len(known) < len(users):
        return None
    if not _may_follow(old, new, change, locked, users=known, interpreter=interpreter):
        return None
    lock_text = blocks.replace_block(written, old.block, new.block)
    lock_text = lock_text.replace(f'"{answered}"', f'"{digest}"', 1)
    if not declaration.closed:
        before, after = (memory(cache, interpreter, text) for text in (written, lock_text))
        remember_changed(before, after, change.name, change.version, new.known)
    return lock_text


def _only_change(
    declaration: Declaration, locked: Mapping[str, str], answered: str
) -> _Change | None:
    changes = list(_changes(declaration, locked))
    if len(changes) != 1:
        return None
    (change,) = changes
    own = {name for name, _ in declaration.sources} | set(declaration.sdists)
    if change.name in own or list(map(name_of, declaration.requirements)).count(change.name) > 1:
        return None
    for former in (f"{change.name}=={change.former}", change.name):
        requirements = tuple(
            former if each == change.requirement else each for each in declaration.requirements
        )
        if answered_digest(replace(declaration, requirements=requirements)) == answered:
            return change
    return None


def _changes(declaration: Declaration, locked: Mapping[str, str]) -> Iterator[_Change]:
    for requirement in declaration.requirements:
        pin = _PIN.fullmatch(requirement)
        name = normalised(pin[1]) if pin else ""
        if pin and name in locked and locked[name] != pin[2]:
            yield _Change(requirement, name, locked[name], pin[2])


def _may_follow(
    old: KnownWheel,
    new: KnownWheel,
    change: _Change,
    locked: Mapping[str, str],
    *,
    users: Sequence[KnownWheel],
    interpreter: Interpreter,
) -> bool:
    """Say whether the lock stays one when the new version takes the place of the old one."""
    if blocks.has_marker(old.block) or blocks.has_marker(new.block):
        return False
    if new.python != old.python and not admits(new.python, interpreter.feature):
        return False
    if blocks.required(new.block) != blocks.required(old.block):
        return False
    lines = [each for user in users for each in _parsed(user.requires)]
    asked = [each for each in lines if each is None or each.name == change.name]
    if not all(each and admits(each.specifiers, change.version) for each in asked):
        return False
    return _require_alike(old, new, locked, extras=any(each and each.extras for each in asked))


def _require_alike(
    old: KnownWheel, new: KnownWheel, locked: Mapping[str, str], *, extras: bool
) -> bool:
    """Say whether two versions require the same packages, in versions that the lock has."""
    if new.requires == old.requires:
        return True
    if extras:
        return False
    before, after = (list(_parsed(wheel.requires)) for wheel in (old, new))
    shapes = [sorted(map(_shape, filter(_is_due, side))) for side in (before, after)]
    return (
        None not in (*before, *after)
        and shapes[0] == shapes[1]
        and all(
            admits(each.specifiers, locked[each.name])
            for each in after
            if each and _is_due(each) and each.name in locked
        )
    )


def _is_due(requirement: _Requirement | None) -> bool:
    """Say whether a requirement may hold though nobody asks for an extra."""
    return requirement is not None and "extra" not in requirement.marker


def _shape(requirement: _Requirement | None) -> tuple[str, ...]:
    assert requirement is not None, "filtered"
    return (requirement.name, requirement.extras, requirement.marker)


def _parsed(lines: Sequence[str]) -> Iterator[_Requirement | None]:
    """Yield the requirements; None for one that is not plainly one."""
    for line in lines:
        match = _REQUIREMENT.fullmatch(line)
        yield match and _Requirement(normalised(match[1]), match[2] or "", match[3], match[4] or "")
