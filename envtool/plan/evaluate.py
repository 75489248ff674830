"""From an answer to the derivation of its environment, remembering what a lock evaluates to.

The same lock, interpreter and builders always lead to the same derivations, so the result is kept
in the cache by a hash of them; it is believed only while everything it names is valid in the store.
A lock with local projects or commits is evaluated each time, since their sources may have changed.
"""

import os

from envtool.formats.locked import builds_inside
from envtool.formats.nix.storepath import StorePath
from envtool.machine.store import Store
from envtool.plan.answer import Answer
from envtool.plan.evaluations import Planned, memory, recall, remember
from envtool.plan.instantiate import Instantiation, add_environment, add_packages
from envtool.values import value


@value
class Evaluation:
    """An answer as derivations."""

    packages: tuple[Planned, ...]
    made: Instantiation
    environment: StorePath
    """The environment's `.drv`."""
    system: StorePath | None = None
    """The system root; None: the host's."""
    recalled: bool = False
    """All packages were known, and valid."""

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
    recalled = packages is not None
    if packages is None:
        packages = _packages(answer, store, made, python, system=system, place=place)
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
    return Evaluation(packages, made, environment, output, recalled=recalled)


def _packages(
    answer: Answer,
    store: Store,
    made: Instantiation,
    python: StorePath,
    *,
    system: StorePath | None,
    place: str,
) -> tuple[Planned, ...]:
    from envtool.plan.gather import Gatherer

    gatherer = Gatherer(
        store=store,
        folder=os.path.dirname(answer.declaration.path),
        interpreter=answer.interpreter,
        offline=store.settings.offline,
    )
    selection = gatherer.gather(answer.lock())
    tools = system if builds_inside(answer.system, answer.python.pins) else None
    add_packages(made, selection, python, answer.interpreter, system=tools)
    packages = tuple(
        Planned(
            name=selected.package.name,
            version=selected.package.version,
            direct=selected.package.direct,
            requires=tuple(n for n in selected.package.dependencies if n in made.packages),
            known=made.known(made.packages[selected.package.name]),
        )
        for selected in selection
    )
    if all(selected.is_fixed for selected in selection):
        remember(place, packages)
    return packages
