"""Leaving what was entered gives every variable back, whatever the environment had changed."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.formats import visit
from envtool.formats.activation import change

NAMES = st.sampled_from(["PATH", "PYTHONPATH", "PYTHONHOME", "A", "B", "BASH_FUNC_ml%%"])
VALUES = st.text(st.sampled_from("ab:/ '\"\\\n$é\udcff"), max_size=8)
VARIABLES = st.dictionaries(NAMES, VALUES)
CHANGES = st.builds(
    lambda assign, prepend: change(assign=assign, unset=["PYTHON*"], prepend={"PATH": prepend}),
    st.dictionaries(st.sampled_from(["A", "B", "PYTHONPATH"]), VALUES),
    st.lists(st.text(st.sampled_from("ab/ "), min_size=1, max_size=3), max_size=3),
)


def entered(before: Mapping[str, str]) -> dict[str, str]:
    made = change(assign={"A": "inside"}, prepend={"PATH": ["/e/bin"]})
    return visit.enter("e", before, made.apply(before), ["PATH"])


@given(VARIABLES, CHANGES)
def test_leaving_gives_everything_back(before: dict[str, str], made: object) -> None:
    assert isinstance(made, type(change()))
    inside = visit.enter("it", before, made.apply(before), [name for name, _ in made.prepended])
    visited = visit.parse(inside)
    assert visited is not None
    assert visited.entered == "it"
    assert visited.leave(inside) == before


@given(VARIABLES, VARIABLES)
def test_a_transition_leads_from_one_to_the_other(
    before: dict[str, str], after: dict[str, str]
) -> None:
    odd = "BASH_FUNC_ml%%"
    reached = visit.transition(before, after).apply(before)
    assert {**reached, odd: ""} == {**after, odd: ""}
    assert reached.get(odd) == before.get(odd)


def test_an_unset_variable_is_unset_again_and_an_empty_one_is_empty() -> None:
    for before in ({"PATH": "/usr/bin"}, {"PATH": "/usr/bin", "A": ""}, {"A": "x", "PATH": ""}):
        inside = entered(before)
        visited = visit.parse(inside)
        assert visited is not None
        assert visited.leave(inside) == before


def test_a_list_that_was_changed_inside_loses_only_ours() -> None:
    inside = entered({"PATH": "/usr/bin"})
    inside["PATH"] = "/first:" + inside["PATH"] + ":/last"
    visited = visit.parse(inside)
    assert visited is not None
    assert visited.leave(inside) == {"PATH": "/first:/usr/bin:/last"}


def test_a_list_that_was_unset_inside_comes_back() -> None:
    inside = entered({"PATH": "/usr/bin"})
    del inside["PATH"]
    visited = visit.parse(inside)
    assert visited is not None
    assert visited.leave(inside) == {"PATH": "/usr/bin"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        json.dumps({"entered": "e"}),
        json.dumps({"entered": 1, "before": {}, "lists": {}}),
        json.dumps({"entered": "e", "before": {"A": 1}, "lists": {}}),
        json.dumps({"entered": "e", "before": {"A": "\0"}, "lists": {}}),
        json.dumps({"entered": "e", "before": {}, "lists": {"PATH": None}}),
        json.dumps({"entered": "e", "before": [], "lists": {}, "more": []}),
    ],
)
def test_what_is_no_visit_counts_as_none(text: str) -> None:
    found = visit.parse({visit.VARIABLE: text})
    assert found is None or (found.before, found.lists) == ({}, {})
