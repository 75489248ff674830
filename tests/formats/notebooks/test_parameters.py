import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import KernelError
from envtool.formats.notebooks.parameters import (
    assignments,
    defaults,
    inject,
    read_file,
    read_value,
)

LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
)


def cell(source: str, *tags: str, kind: str = "code") -> dict[str, Any]:
    return {"cell_type": kind, "source": source, "metadata": {"tags": [*tags]} if tags else {}}


def sources(cells: list[Any]) -> list[str]:
    return [each["source"] for each in cells]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ("True", True),
        ("None", None),
        ("true", "true"),
        ("Lake Ladoga", "Lake Ladoga"),
        ("2026-01-01", "2026-01-01"),
        ("", ""),
    ],
)
def test_a_word_is_a_number_a_constant_or_text(word: str, value: object) -> None:
    assert read_value(word) == value
    assert type(read_value(word)) is type(value)


@given(st.dictionaries(st.from_regex(r"x[a-z0-9_]{0,8}", fullmatch=True), LITERALS))
def test_what_is_assigned_is_what_was_given(parameters: dict[str, Any]) -> None:
    found: dict[str, Any] = {}
    exec(assignments(parameters), {}, found)
    assert found == parameters


def test_numbers_that_have_no_literal_are_assigned_too() -> None:
    found: dict[str, Any] = {}
    exec(assignments({"a": math.inf, "b": [math.nan]}), {}, found)
    assert found["a"] == math.inf
    assert math.isnan(found["b"][0])


@pytest.mark.parametrize("name", ["class", "a b", "1a", "", "x=1\nimport os"])
def test_a_name_that_is_no_variable_is_refused(name: str) -> None:
    with pytest.raises(KernelError, match="cannot be the name of a parameter"):
        assignments({name: 1})


def test_values_stand_behind_the_defaults() -> None:
    cells = [cell("import x"), cell("a = 1", "parameters"), cell("print(a)")]
    once = inject(cells, cell("a = 2"))
    assert sources(once) == ["import x", "a = 1", "a = 2", "print(a)"]
    assert sources(inject(once, cell("a = 3"))) == ["import x", "a = 1", "a = 3", "print(a)"]
    assert once[2]["metadata"]["tags"] == ["injected-parameters"]


def test_without_defaults_they_come_first_but_behind_the_declaration() -> None:
    text, block = cell("# T", kind="markdown"), cell("# /// script\n# dependencies = []\n# ///")
    assert sources(inject([text, cell("b")], cell("a"))) == ["a", "# T", "b"]
    assert sources(inject([text, block, cell("b")], cell("a")))[2:] == ["a", "b"]


def test_the_names_of_the_defaults_are_known() -> None:
    source = "a = 1\nb: int = 2\nc = d = 3\nprint(a)"
    assert defaults([cell("x = 1"), cell(source, "parameters")]) == {"a", "b", "c", "d"}
    assert defaults([cell("x = 1")]) is None
    assert defaults([cell("%broken", "parameters")]) == set()


def test_a_file_of_parameters_is_toml_or_json() -> None:
    assert read_file("a = 1\nb = [2]", file="p.toml") == {"a": 1, "b": [2]}
    assert read_file('{"a": null}', file="p.json") == {"a": None}
    deep = "[" * 100_000, "p.json"
    for text, file in (("a: 1", "p.yaml"), ("{", "p.json"), ("[1]", "p.json"), deep):
        with pytest.raises(KernelError, match=f"{file}: no parameters"):
            read_file(text, file=file)


def test_a_date_of_toml_has_no_literal() -> None:
    with pytest.raises(KernelError, match="the parameter day is a date: write it as text"):
        assignments(read_file("day = 2026-01-01", file="p.toml"))
