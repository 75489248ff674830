"""Questions about the graph: closures, chains, what keeps a path, and their agreement with gc."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.formats.nix import nar
from envtool.formats.nix.storepath import StorePath
from envtool.machine.asking import queries
from envtool.machine.collecting.gc import plan
from envtool.machine.collecting.roots import Root
from envtool.machine.database import PathInfo
from envtool.machine.settings import Settings
from envtool.machine.store import Store

if TYPE_CHECKING:
    from machine.conftest import Realised


def random_graph(store: Store, count: int, seed: int) -> list[StorePath]:
    """Add objects that refer to up to three of those before them."""
    choose = random.Random(seed)
    paths: list[StorePath] = []
    for number in range(count):
        below = choose.sample(paths, min(len(paths), choose.randrange(4)))
        data = b" ".join(each.full().encode() for each in below) + b"." * choose.randrange(99)
        paths.append(store.add_text(f"t{number}", data, below))
    return paths


def reachable(graph: Mapping[StorePath, frozenset[StorePath]], path: StorePath) -> set[StorePath]:
    found, todo = set(), [path]
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += graph[each]
    return found


@pytest.fixture
def graph(store: Store) -> dict[StorePath, frozenset[StorePath]]:
    """Return the references of 40 random objects."""
    random_graph(store, 40, 1)
    return {path: info.references for path, info in store.database.infos().items()}


def test_closures_both_ways_are_what_a_plain_walk_finds(
    store: Store, graph: dict[StorePath, frozenset[StorePath]]
) -> None:
    below = {path: reachable(graph, path) for path in graph}
    for path in graph:
        assert set(queries.closure(store.database, [path])) == below[path]
        above = {each for each in graph if path in below[each]}
        assert queries.referrers_closure(store.database, [path]) == sorted(above)


def test_closure_sizes_count_what_is_shared_once(
    store: Store, graph: dict[StorePath, frozenset[StorePath]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = queries.closure(store.database, graph)
    wanted = {path: sum(sizes[each] for each in reachable(graph, path)) for path in graph}
    assert queries.closure_sizes(graph, sizes) == wanted
    # Small blocks: sums are put together from several passes.
    monkeypatch.setattr(queries, "_BLOCK", 7)
    assert queries.closure_sizes(graph, sizes) == wanted
    assert {path: queries.closure_size(store.database, path) for path in graph} == wanted


def test_between_holds_every_way_and_nothing_else(
    store: Store, graph: dict[StorePath, frozenset[StorePath]]
) -> None:
    below = {path: reachable(graph, path) for path in graph}
    for top in graph:
        for bottom in graph:
            found = queries.between(store.database, top, bottom)
            on_the_way = {each for each in below[top] if bottom in below[each]}
            assert found == {
                each: graph[each] & on_the_way for each in on_the_way if graph[each] & on_the_way
            }


def test_shortest_is_a_chain_and_the_shortest(store: Store) -> None:
    a = store.add_text("a", b"")
    b = store.add_text("b", b"", [a])
    c = store.add_text("c", b"", [b])
    d = store.add_text("d", b"", [c, b])
    graph = queries.between(store.database, d, a)
    assert queries.shortest(graph, d, a) == [d, b, a]
    assert queries.shortest(graph, a, d) == []
    assert queries.shortest({}, a, a) == [a]


def test_chains_enter_each_path_once(store: Store) -> None:
    a = store.add_text("a", b"")
    b = store.add_text("b", b"", [a])
    c = store.add_text("c", b"", [a, b])
    graph = queries.between(store.database, c, a)
    walked = list(queries.chains(graph, c))
    assert walked == [(c, 0, False), (a, 1, False), (b, 1, False), (a, 2, True)]


def test_references_hold_the_path_itself(store: Store) -> None:
    info = PathInfo(
        StorePath.parse("7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-itself"),
        nar.hash_path(__file__)[0],
        1,
        frozenset({StorePath.parse("7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-itself")}),
    )
    store.database.register([info], {})
    alone = store.add_text("alone", b"")
    found = queries.references(store.database, [info.path, alone])
    assert found == {info.path: [info.path], alone: []}
    assert queries.between(store.database, info.path, info.path) == {}


def test_keepers_are_whose_root_the_collector_obeys(store: Store, realised: "Realised") -> None:
    source = store.add_text("source", b"")
    drv, output = realised("made", source)
    user = store.add_text("user", b"", [output])
    for path in (source, drv, output, user):
        kept_by = queries.keepers(store.database, path)
        for keeper in (source, drv, output, user):
            dead = {each for each, _ in plan(store, [Root("permanent", "a test", keeper)]).dead}
            assert (keeper in kept_by) == (path not in dead), (path, keeper)
    assert queries.keepers(store.database, source) == {source, drv, output, user}


def test_beginnings_and_names_are_found_in_order(store: Store) -> None:
    paths = random_graph(store, 30, 2)
    first = min(paths)
    assert queries.starting_with(store.database, first[:9], most=3) == [first]
    assert queries.starting_with(store.database, "", most=5) == sorted(paths)[:5]
    wanted = sorted(
        (path for path in paths if "T1" in path.name.upper()), key=lambda path: path.name
    )
    assert queries.called(store.database, "T1", most=99) == wanted
    assert queries.called(store.database, "%", most=99) == []


def test_without_a_database_every_answer_is_empty_and_nothing_is_made(
    store: Store, settings: Settings
) -> None:
    path = StorePath.parse("7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-app-1.0")
    database = store.database
    assert queries.closure(database, [path]) == {}
    assert queries.references(database, [path]) == {}
    assert queries.keepers(database, path) == set()
    assert queries.between(database, path, path) == {}
    assert queries.closure_size(database, path) == 0
    assert not Path(settings.root).exists()
