"""Realise a derivation: make its output valid, doing only what is missing."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from envtool.build.builders.context import Context
from envtool.build.builders.table import build
from envtool.build.missing import Derivations, missing
from envtool.formats.nix.storepath import StorePath
from envtool.machine.store import Store
from envtool.plan.derivations import ENVIRONMENT, INTERPRETER
from envtool.reporting import Reporter

if TYPE_CHECKING:
    from envtool.machine.fetching.fetch import Fetcher

_QUICK = frozenset({ENVIRONMENT, INTERPRETER})
"""Builders that take milliseconds: starting threads for them would take longer."""


def realise(
    store: Store,
    fetcher: "Fetcher | None",
    reporter: Reporter,
    derivations: Derivations,
    wanted: StorePath,
    *,
    jobs: int,
) -> StorePath:
    """Make the output of the derivation `wanted` valid and return its path.

    `fetcher` may be None when nothing has to be fetched (`envtool.build.missing`).

    :raises FetchError: an artifact did not arrive as the lock promised.
    :raises WheelError: a wheel must not be unpacked.
    :raises CollisionError: packages of the environment claim the same files.
    :raises BuildError: a build failed.
    """
    realise_all(store, fetcher, reporter, derivations, [wanted], jobs=jobs)
    return derivations[wanted].output_path()


def realise_all(
    store: Store,
    fetcher: "Fetcher | None",
    reporter: Reporter,
    derivations: Derivations,
    wanted: Sequence[StorePath],
    *,
    jobs: int,
) -> None:
    """Make the outputs of several derivations valid, as `realise` does of one."""
    with store.using():
        todo = missing(store, derivations, wanted)
        if not (todo.fetch or todo.build):
            return
        context = Context(store, fetcher, reporter, derivations)
        if not todo.fetch and all(derivations[path].builder in _QUICK for path in todo.build):
            _keep_derivations(store, derivations)
            _one_by_one(context, todo.build)
        else:
            from envtool.build.schedule import Schedule

            # Writing hundreds of small files is what the first milliseconds of fetching are for.
            Schedule(context, todo, jobs, partial(_keep_derivations, store, derivations)).run()


def _keep_derivations(store: Store, derivations: Derivations) -> None:
    """Add the `.drv` objects that are not in the store, whatever is left to be realised."""
    valid = store.valid(derivations)
    store.add_derivations(each for path, each in derivations.items() if path not in valid)


def _one_by_one(context: Context, todo: tuple[StorePath, ...]) -> None:
    store = context.store
    context.reporter.expect("compose", 1, None)
    for path in todo:
        output = context.derivations[path].output_path()
        with store.lock_path(output, on_wait=context.reporter.note):
            if not store.is_valid(output):
                info = build(context, path)
                store.sync()
                store.register([info])
