"""Whether the database agrees with itself, and its `.drv` rows with their files."""

import os
from collections.abc import Iterable, Iterator, Mapping

from envtool.errors import DatabaseError, EnvtoolError
from envtool.formats.nix.storepath import StorePath
from envtool.formats.nix.validity import InputHashes, check_derivation
from envtool.machine.database import PathInfo
from envtool.machine.graph import references_first
from envtool.machine.mending.problem import Problem
from envtool.machine.store import Store, output_paths

__all__ = ["REBUILD", "check_database", "check_derivations"]

REBUILD = "envtool store verify --repair"


def check_database(store: Store, *, thorough: bool) -> list[Problem]:
    """Return where rows contradict each other; `thorough` compares the indices with them, too.

    :raises DatabaseError: it cannot be relied on at all.
    """
    file = store.settings.database
    with store.database.reading() as connection:
        if connection is None:
            return []
        pragma = "integrity_check" if thorough else "quick_check"
        (found,) = connection.execute(f"pragma {pragma}(1)").fetchone()
        if found != "ok":
            raise DatabaseError(
                f"the store's database {file} is damaged: {' '.join(found.split())}",
                hint=f"make it again from the store: {REBUILD}",
            )
        tables = [table for table, *_ in connection.execute("pragma foreign_key_check")]
    problems = [
        Problem(
            "database",
            file,
            f"{file}: {tables.count(table)} rows of {table} speak of store paths that are "
            "not registered",
            REBUILD,
        )
        for table in sorted(set(tables))
    ]
    schema = f"{os.path.dirname(file)}/schema"
    if not os.path.exists(schema):
        problems.append(Problem("database", schema, f"{schema} is not there", REBUILD))
    return problems


def check_derivations(
    store: Store, infos: Mapping[StorePath, PathInfo], bad: Iterable[StorePath]
) -> Iterator[Problem]:
    """Yield the `.drv` objects that must not be realised, or that have other outputs registered.

    What is `bad` is known to be; of what needs a bad one nothing is said.
    """
    graph = {path: info.references for path, info in infos.items() if path.endswith(".drv")}
    recorded = store.database.outputs(graph)
    inputs = InputHashes(store.read_derivation)
    passed_over = set(bad)
    for path in references_first(graph):
        if path in passed_over or graph[path] & passed_over:
            passed_over.add(path)
            continue
        try:
            derivation = inputs.derivation(path)
            check_derivation(path, derivation, inputs)
        except EnvtoolError as error:
            passed_over.add(path)
            yield Problem("derivation", path, error.message, f"{REBUILD} {path}")
            continue
        if recorded.get(path, {}) != output_paths(derivation):
            message = f"{path} is registered with other outputs than it has"
            yield Problem("database", path, message, REBUILD)
