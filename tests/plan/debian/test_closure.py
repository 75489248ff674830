"""Closures of made-up packages: what is chosen, and why there is none."""

import random
from itertools import combinations, product
from typing import TYPE_CHECKING

import pytest

from envtool.errors import FormatError
from envtool.formats.debian.package import Package
from envtool.plan.debian.closure import solve
from envtool.plan.debian.failure import UnsatisfiableError
from envtool.plan.debian.universe import Universe, provision

if TYPE_CHECKING:
    from plan.debian.conftest import MakeUniverse


def chosen(universe: Universe, *requests: str) -> list[str]:
    return [str(each) for each in solve(requests, universe).packages]


def failure(universe: Universe, *requests: str, **elsewhere: Universe) -> UnsatisfiableError:
    named = {f"the suite {name}": each for name, each in elsewhere.items()}
    with pytest.raises(UnsatisfiableError) as caught:
        solve(requests, universe, elsewhere=named)
    return caught.value


def test_all_that_is_needed_is_chosen_and_nothing_else(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: b, c (>= 2); Recommends: unneeded; Suggests: unneeded
        b 1; Pre-Depends: d
        c 2.1
        d 1; Depends: a
        unneeded 1; Essential: yes
    """)
    assert chosen(made, "a") == ["a 1", "b 1", "c 2.1", "d 1"]


def test_edges_say_what_needs_what(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: mailer, b
        b 1
        exim 4; Provides: mailer
    """)
    closure = solve(["a"], made)
    assert closure.requested == ("a",)
    assert closure.edges == {"a": ("exim", "b"), "b": (), "exim": ()}


def test_of_several_versions_the_newest_is_chosen(universe: "MakeUniverse") -> None:
    made = universe("a 1\na 1.10\na 1.9\nb 1; Depends: a")
    assert chosen(made, "b") == ["a 1.10", "b 1"]


def test_an_older_version_is_chosen_where_only_that_will_do(universe: "MakeUniverse") -> None:
    made = universe("a 1\na 2\nb 1; Depends: a (<< 2)")
    assert chosen(made, "b") == ["a 1", "b 1"]
    assert chosen(made, "a", "b") == ["a 1", "b 1"]


def test_the_first_alternative_that_can_be_had_is_chosen(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: absent | old (>= 5) | second | third
        old 1
        second 1
        third 1
    """)
    assert chosen(made, "a") == ["a 1", "second 1"]


def test_an_alternative_that_is_chosen_anyway_is_preferred(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: first | second
        b 1; Depends: second
        first 1
        second 1
    """)
    assert chosen(made, "a", "b") == ["a 1", "b 1", "second 1"]


def test_a_virtual_package_is_what_provides_it(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: mailer
        postfix 1; Provides: mailer; Priority: optional
        exim 1; Provides: mailer; Priority: standard
        needy 1; Provides: mailer; Priority: standard; Depends: postfix
    """)
    assert chosen(made, "a") == ["a 1", "exim 1"]


def test_a_real_package_is_preferred_to_who_provides_it(universe: "MakeUniverse") -> None:
    made = universe("a 1; Depends: x\nx 1\ny 1; Provides: x; Priority: required")
    assert chosen(made, "a") == ["a 1", "x 1"]


def test_only_a_version_that_is_provided_counts(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: abi (= 12)
        none 1; Provides: abi
        other 1; Provides: abi (= 11)
        right 1; Provides: abi (= 11), abi (= 12)
    """)
    assert chosen(made, "a") == ["a 1", "right 1"]


@pytest.mark.parametrize(
    ("qualifier", "holds"), [("any", True), ("native", True), ("amd64", True), ("arm64", False)]
)
def test_qualifiers_name_the_architecture(
    universe: "MakeUniverse", qualifier: str, *, holds: bool
) -> None:
    made = universe(f"a 1; Depends: b:{qualifier} | c\nb 1\nc 1")
    assert chosen(made, "a") == ["a 1", "b 1" if holds else "c 1"]


def test_what_is_of_another_architecture_is_another_package(universe: "MakeUniverse") -> None:
    made = universe("a 1; Depends: b:arm64 | c; Conflicts: b:arm64\nb 1; Breaks: a:arm64\nc 1")
    assert chosen(made, "b", "a") == ["a 1", "b 1", "c 1"]


def test_a_choice_that_leads_nowhere_is_taken_back(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: first | second, other | elsewhere
        first 1; Depends: deep
        deep 1; Depends: absent
        second 1
        other 1
    """)
    assert chosen(made, "a") == ["a 1", "other 1", "second 1"]


def test_a_choice_that_conflicts_is_taken_back(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: x | y
        b 1; Depends: z | w
        x 1
        y 1
        z 1; Conflicts: x; Depends: never | w
        w 1; Breaks: x (<= 1)
    """)
    assert chosen(made, "a", "b") == ["a 1", "b 1", "w 1", "y 1", "z 1"]


def test_a_package_does_not_conflict_with_itself(universe: "MakeUniverse") -> None:
    made = universe("a 1; Provides: mailer; Conflicts: mailer; Replaces: mailer")
    assert chosen(made, "a") == ["a 1"]


def test_two_that_provide_and_conflict_exclude_each_other(universe: "MakeUniverse") -> None:
    made = universe("""
        exim 1; Provides: mailer; Conflicts: mailer
        postfix 3; Provides: mailer; Conflicts: mailer
        a 1; Depends: postfix | exim
    """)
    assert chosen(made, "a", "exim") == ["a 1", "exim 1"]
    told = failure(made, "exim", "postfix")
    assert told.message == (
        "postfix is asked for, but postfix 3 conflicts with mailer, as is exim, which is asked for"
    )
    assert told.hint == "ask for one of them only: exim, postfix"


def test_a_conflict_with_a_version_leaves_the_others(universe: "MakeUniverse") -> None:
    made = universe("a 1; Breaks: b (<< 2)\nb 1\nb 2\nc 1; Depends: b (<< 2)")
    assert chosen(made, "a", "b") == ["a 1", "b 2"]
    assert failure(made, "a", "c").message == (
        "c 1 needs b (<< 2), but a 1, which is asked for, conflicts with b (<< 2)"
    )


def test_requests_may_have_versions_and_alternatives(universe: "MakeUniverse") -> None:
    made = universe("a 1\na 2\nb 1")
    assert chosen(made, "a (<< 2)", "absent | b") == ["a 1", "b 1"]
    with pytest.raises(FormatError, match="'a b' is not a relation"):
        solve(["a b"], made)


def test_nothing_asked_for_is_an_empty_closure(universe: "MakeUniverse") -> None:
    assert chosen(universe("a 1")) == []


def test_who_asks_for_what_is_missing_is_told(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: b
        b 2; Depends: c (>= 3) | absent
        c 1
    """)
    assert failure(made, "a").message == (
        "b 2 (for a 1) needs c (>= 3) | absent, but tested has c 1 and tested has no package absent"
    )


def test_a_suite_that_has_it_is_told(universe: "MakeUniverse") -> None:
    made, newer = universe("a 1; Depends: c (>= 3)\nc 1"), universe("c 3.5", suite="newer")
    assert failure(made, "a", newer=newer).hint == "the suite newer has c 3.5"
    assert failure(made, "a", other=made).hint is None


def test_a_name_that_is_nearly_one_is_told(universe: "MakeUniverse") -> None:
    made = universe("graphviz 1\ngrep 1\n" + "\n".join(f"gra{n} 1" for n in range(2000)))
    told = failure(made, "grahpviz")
    assert told.message == "grahpviz is asked for, but tested has no package grahpviz"
    assert told.hint == "did you mean graphviz?"


def test_every_way_that_leads_nowhere_is_told(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: x | y
        x 1; Depends: absent
        y 1; Depends: missing
    """)
    told = failure(made, "a")
    assert told.message.splitlines() == [
        "every choice leads nowhere:",
        "  x 1 (for a 1) needs absent, but tested has no package absent",
        "  y 1 (for a 1) needs missing, but tested has no package missing",
    ]
    assert [str(end.want) for end in told.dead_ends] == ["absent", "missing"]


def holds(packages: tuple[Package, ...]) -> bool:
    """Return whether a set of packages has all that they need, and no two that conflict."""

    def is_there(relation: object, but: Package | None = None) -> bool:
        return any(
            (each.name == relation.name and relation.allows(each.version))  # type: ignore[attr-defined]
            or provision(each, relation)  # type: ignore[arg-type]
            for each in packages
            if but is None or each.name != but.name
        )

    return all(
        all(any(map(is_there, group)) for group in package.depends)
        and not any(is_there(relation, package) for relation in package.conflicts)
        for package in packages
    )


def possible(universe: Universe, names: list[str], requests: list[str]) -> bool:
    """Return whether any set of packages is a closure, by trying all of them."""
    choices = [[None, *universe.named(name)] for name in names]
    for picked in product(*choices):
        packages = tuple(each for each in picked if each is not None)
        if {each.name for each in packages} >= set(requests) and holds(packages):
            return True
    return False


@pytest.mark.parametrize("seed", range(60))
def test_a_closure_is_found_exactly_where_there_is_one(universe: "MakeUniverse", seed: int) -> None:
    draw = random.Random(seed)
    names = list("pqrstuv")
    lines = []
    for name in names:
        for version in range(1, draw.randint(1, 2) + 1):
            depends = [
                " | ".join(_relation(draw, names) for _ in range(draw.randint(1, 3)))
                for _ in range(draw.choice([0, 1, 1, 2]))
            ]
            conflicts = [_relation(draw, names) for _ in range(draw.choice([0, 0, 1, 2]))]
            provides = [draw.choice("xy") for _ in range(draw.choice([0, 0, 1]))]
            fields = {"Depends": depends, "Conflicts": conflicts, "Provides": provides}
            lines.append(
                f"{name}{name} {version}"
                + "".join(f"; {key}: {', '.join(each)}" for key, each in fields.items() if each)
            )
    made = universe("\n".join(lines))
    for requests in combinations([name * 2 for name in names], 2):
        try:
            closure = solve(requests, made)
        except UnsatisfiableError:
            assert not possible(made, [name * 2 for name in names], list(requests)), requests
        else:
            assert holds(closure.packages)
            assert {each.name for each in closure.packages} >= set(requests)


def _relation(draw: random.Random, names: list[str]) -> str:
    name = draw.choice([*(each * 2 for each in names), "xx", "yy", "zz"])
    version = draw.choice(["", "", "", " (>= 2)", " (<< 2)"])
    return name[:1] + version if name in {"xx", "yy"} else name + version


def test_the_order_of_requests_does_not_matter(universe: "MakeUniverse") -> None:
    made = universe("""
        a 1; Depends: x | y
        b 1; Depends: y | x
        x 1
        y 1
    """)
    assert chosen(made, "a", "b") == chosen(made, "b", "a")
