"""What realising a derivation would take: the plan as a value, before anything is done."""

from collections.abc import Iterable, Mapping

from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.storepath import StorePath
from envtool.machine.store import Store
from envtool.plan.derivations import ENVIRONMENT, FETCH, LOCAL_INTERPRETER, LOCAL_PROGRAMS
from envtool.values import value

Derivations = Mapping[StorePath, Derivation]

_HOLLOW = frozenset({ENVIRONMENT, LOCAL_INTERPRETER, LOCAL_PROGRAMS})
"""Builders of what does nothing by itself: it leads to other objects."""


@value
class Missing:
    """What realising a derivation would take, each before what needs it."""

    fetch: tuple[StorePath, ...]
    build: tuple[StorePath, ...]


def missing(store: Store, derivations: Derivations, wanted: Iterable[StorePath]) -> Missing:
    """Return which derivations must be realised for the wanted ones' outputs to be valid.

    An input whose user is valid already is not needed, valid or not; but an environment is
    nothing without what its links lead to, nor is the program of an interpreter of our own.
    """
    outputs = {path: drv.output_path() for path, drv in derivations.items()}
    valid = store.valid(outputs.values())
    needed: dict[StorePath, None] = {}

    def visit(path: StorePath) -> None:
        # What is no derivation of ours is known to be realised (`envtool.plan.evaluate`).
        if path not in outputs or path in needed:
            return
        is_valid = outputs[path] in valid
        if is_valid and derivations[path].builder not in _HOLLOW:
            return
        for below in derivations[path].input_derivations:
            visit(below)
        if not is_valid:
            needed[path] = None

    for path in wanted:
        visit(path)
    fetch = tuple(path for path in needed if derivations[path].builder == FETCH)
    build = tuple(path for path in needed if derivations[path].builder != FETCH)
    return Missing(fetch, build)
