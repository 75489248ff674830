"""From an answer to the derivation of its environment, remembering what a lock evaluates to.

The same lock, interpreter and builders always lead to the same derivations, so the result is kept
in the cache by a hash of them; it is believed only while everything it names is valid in the store.
A lock with local projects or commits is evaluated each time, since their sources may have changed.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

from envtool.errors import FormatError
from envtool.formats.digest import sha256
from envtool.formats.nix.storepath import StorePath
from envtool.machine.store import Store
from envtool.plan.answer import Answer
from envtool.plan.instantiate import (
    VERSIONS,
    Instantiation,
    Known,
    add_environment,
    add_packages,
)
from envtool.values import asdict, value

_FORMAT = 1


@value
class Planned:
    """One package of an environment to be."""

    name: str
    version: str | None
    direct: bool
    """The declaration itself asks for it."""
    requires: tuple[str, ...]
    """Names of packages of the same environment."""
    known: Known
    """The derivation that realises it."""


@value
class Evaluation:
    """An answer as derivations."""

    packages: tuple[Planned, ...]
    made: Instantiation
    environment: StorePath
    """The environment's `.drv`."""
    system: StorePath | None = None
    """The system root; None: the host's."""

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
    memory = f"{store.settings.cache}/evaluations/{_key(answer)}.json"
    made = Instantiation()
    python = answer.python.add(made)
    packages = _recall(memory, store)
    if packages is None:
        packages = _packages(answer, store, made, python, memory)
    for package in packages:
        made.know(package.known)
        made.packages[package.name] = package.known.derivation
    system = None
    if answer.system is not None:
        from envtool.plan.system import add_system

        system = add_system(made, answer.system)
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
    return Evaluation(packages, made, environment, output)


def _key(answer: Answer) -> str:
    parts = [_FORMAT, VERSIONS, asdict(answer.interpreter), answer.lock_text]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _packages(
    answer: Answer, store: Store, made: Instantiation, python: StorePath, memory: str
) -> tuple[Planned, ...]:
    from envtool.plan.gather import Gatherer

    gatherer = Gatherer(
        store=store,
        folder=os.path.dirname(answer.declaration.path),
        interpreter=answer.interpreter,
        offline=store.settings.offline,
    )
    selection = gatherer.gather(answer.lock())
    add_packages(made, selection, python, answer.interpreter)
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
        _remember(memory, packages)
    return packages


def _remember(memory: str, packages: Sequence[Planned]) -> None:
    temporary = f"{memory}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(memory), exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump([asdict(package) for package in packages], file)
        os.replace(temporary, memory)
    except OSError:
        return  # a cache that cannot be written costs time, nothing else


def _recall(memory: str, store: Store) -> tuple[Planned, ...] | None:
    """Return what was kept, if all of it is valid; None otherwise."""
    try:
        with open(memory, "rb") as file:
            packages = tuple(_planned(each) for each in json.load(file))
    except (OSError, ValueError, KeyError, TypeError, FormatError):
        return None  # never kept, or damaged: it is made again
    wanted = {package.known.output for package in packages}
    wanted |= {package.known.derivation for package in packages}
    return packages if store.valid(wanted) == wanted else None


def _planned(fields: dict[str, Any]) -> Planned:
    known = fields["known"]
    return Planned(
        name=str(fields["name"]),
        version=fields["version"],
        direct=bool(fields["direct"]),
        requires=tuple(fields["requires"]),
        known=Known(
            StorePath.parse(known["derivation"]), StorePath.parse(known["output"]), known["modulo"]
        ),
    )
