"""From an answer to the derivation of its environment, remembering what a lock evaluates to.

The same lock, interpreter and builders always lead to the same derivations, so the result is kept
in the cache by a hash of them; it is believed only while everything it names is valid in the store.
A lock with local projects or commits is evaluated each time, since their sources may have changed.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from envtool.formats.lock_blocks import is_plain, pieces, versions
from envtool.formats.locked import builds_inside
from envtool.formats.nix.storepath import StorePath
from envtool.machine.store import Store
from envtool.plan import wheels
from envtool.plan.answer import Answer
from envtool.plan.derivations import Instantiation, Known
from envtool.plan.evaluations import Planned, memory, recall, remember
from envtool.plan.instantiate import Selected, add_environment, add_packages
from envtool.values import replace, value

if TYPE_CHECKING:
    from envtool.formats.lock import Lock


@value
class Evaluation:
    """An answer as derivations."""

    packages: tuple[Planned, ...]
    made: Instantiation
    environment: StorePath
    """The environment's `.drv`."""
    system: StorePath | None = None
    """The system root; None: the host's."""
    new: frozenset[str] | None = None
    """Names of packages that were not known; None: it was known what the lock evaluates to."""

    @property
    def output(self) -> StorePath:
        """The environment's store path."""
        return self.made.output(self.environment)


def environment_name(answer: Answer) -> str:
    """Return the project's name, followed by the environment's unless it is the default."""
    declaration = answer.declaration
    if declaration.environment == "default":
        return declaration.name
    return f"{declaration.name}.{declaration.environment}"


def evaluate(answer: Answer, store: Store) -> Evaluation:
    """Return the derivations of the answer's environment.

    :raises LockError: the lock has nothing for this interpreter, or a path is gone.
    :raises FetchError: a commit cannot be had.
    """
    place = memory(store.settings.cache, answer.interpreter, answer.lock_text)
    made = Instantiation()
    python = answer.python.add(made)
    system = None
    if answer.system is not None:
        from envtool.plan.system import add_system

        system = add_system(made, answer.system)
    packages = recall(place, store)
    new: frozenset[str] | None = None
    if packages is None:
        unchanged = _unchanged(answer, store)
        packages, is_fixed = _packages(answer, store, made, python, unchanged, system=system)
        new = frozenset(package.name for package in packages) - unchanged.keys()
        if is_fixed:
            remember(place, packages)
    for package in packages:
        made.know(package.known)
        made.packages[package.name] = package.known.derivation
    entered = answer.python.add_entered(made)
    answer.python.add_programs(made, entered)
    environment = add_environment(
        made,
        environment_name(answer),
        entered,
        answer.interpreter,
        collisions=answer.declaration.collisions,
        system=system,
    )
    output = None if system is None else made.output(system)
    return Evaluation(packages, made, environment, output, new)


def keep_wheels(answer: Answer, evaluation: Evaluation, store: Store) -> None:
    """Remember the wheels of an environment that was just realised."""
    place = _known_wheels(answer, store)
    new = evaluation.new or frozenset()
    wheels.keep(place, evaluation.packages, new, answer.lock_text, store)


def _known_wheels(answer: Answer, store: Store) -> str:
    cache = store.settings.cache
    return wheels.folder(cache, answer.declaration, answer.interpreter, os.environ)


def _unchanged(answer: Answer, store: Store) -> Mapping[str, Known | None]:
    """Return what is known of packages that the lock has as the one before had them.

    None stands for those that its markers leave out.
    """
    written, text = answer.written, answer.lock_text
    if written is None or answer.python.is_pure or not (is_plain(written) and is_plain(text)):
        return {}
    if versions(written) is None or versions(text) is None:
        return {}
    former = recall(memory(store.settings.cache, answer.interpreter, written), store)
    if former is None:
        return {}
    known, before = {package.name: package.known for package in former}, pieces(written)
    now = pieces(text)
    found = {name: known.get(name) for name, piece in now.items() if before.get(name) == piece}
    rest = {name: piece for name, piece in now.items() if name not in found}
    return {**found, **_joined_before(answer, store, rest)}


def _joined_before(
    answer: Answer, store: Store, pieces: Mapping[str, str]
) -> Mapping[str, Known | None]:
    """Return what is known of packages that some environment had in the very same version."""
    place = _known_wheels(answer, store)
    locked = versions("\n" + "\n\n".join(pieces.values())) or {}
    found = {name: wheels.read(place, name, version) for name, version in locked.items()}
    known = {
        name: wheel.known for name, wheel in found.items() if wheel and wheel.block == pieces[name]
    }
    outputs = {each.output for each in known.values()} | {
        each.derivation for each in known.values()
    }
    return known if store.valid(outputs) == outputs else {}


def _gather(answer: Answer, store: Store, lock: "Lock") -> tuple[Selected, ...]:
    from envtool.plan.gather import Gatherer

    gatherer = Gatherer(
        store=store,
        folder=os.path.dirname(answer.declaration.path),
        interpreter=answer.interpreter,
        offline=store.settings.offline,
    )
    return gatherer.gather(lock)


def _packages(
    answer: Answer,
    store: Store,
    made: Instantiation,
    python: StorePath,
    unchanged: Mapping[str, Known | None],
    *,
    system: StorePath | None,
) -> tuple[tuple[Planned, ...], bool]:
    """Return what the lock evaluates to, and whether the lock alone decides about it."""
    lock = answer.lock()
    changed = tuple(package for package in lock.packages if package.name not in unchanged)
    selection = _gather(answer, store, replace(lock, packages=changed)) if changed else ()
    tools = system if builds_inside(answer.system, answer.python.pins) else None
    add_packages(made, selection, python, answer.interpreter, system=tools)
    known = dict(unchanged) | {name: made.known(path) for name, path in made.packages.items()}
    # Of two entries of one name the one whose marker holds.
    chosen = {each.package.name: each.package for each in selection}
    return tuple(
        Planned(
            name=package.name,
            version=package.version,
            direct=package.direct,
            requires=tuple(name for name in package.dependencies if known.get(name)),
            known=found,
        )
        for package in lock.packages
        if (found := known.get(package.name)) and chosen.get(package.name, package) is package
    ), all(selected.is_fixed for selected in selection)
