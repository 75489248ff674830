import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import DeclarationError
from envtool.formats.notebooks.cleaning import cleaned

LOCKED = {"envtool": {"lock": ["a\n"], "run": {"environment": "x"}}}


def cell(outputs: list[Any], count: int | None, **metadata: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": count,
        "id": "a",
        "metadata": metadata,
        "outputs": outputs,
        "source": ["print('outputs')\n", "π = 1"],
    }


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"cells": [*cells], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


OUTPUT = {"name": "stdout", "output_type": "stream", "text": ["outputs\n"]}
LAYOUTS: list[dict[str, Any]] = [
    {"indent": 1, "ensure_ascii": False},
    {"indent": 4},
    {"separators": (",", ":")},
    {},
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_counts_times_and_record_go_and_nothing_else(layout: dict[str, Any]) -> None:
    text = {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "# outputs: [1]"}
    ran = cell([OUTPUT], 3, tags=["parameters"], execution={"x": 1}, envtool={"seconds": 1})
    before = json.dumps(notebook(text, ran, **LOCKED), **layout) + "\n"
    clean = notebook(text, cell([], None, tags=["parameters"]), envtool={"lock": ["a\n"]})
    assert cleaned(before) == json.dumps(clean, **layout) + "\n"


def test_the_lock_goes_only_when_asked() -> None:
    before = json.dumps(notebook(cell([], None), **LOCKED, kernelspec={}), indent=1)
    assert json.loads(cleaned(before))["metadata"]["envtool"] == {"lock": ["a\n"]}
    assert json.loads(cleaned(before, lock=True))["metadata"] == {"kernelspec": {}}


def test_an_odd_layout_of_what_is_clean_stays() -> None:
    text = '{"nbformat":4, "cells":[ {"cell_type":"code","outputs":[ ],"source":""} ]\r\n}'
    assert cleaned(text) == text


def test_what_is_no_notebook_is_refused() -> None:
    with pytest.raises(DeclarationError, match="nbformat 3 is older"):
        cleaned('{"nbformat": 3, "worksheets": []}')


@given(
    st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(1, 9)), max_size=5),
    st.sampled_from(LAYOUTS),
)
def test_cleaning_twice_is_cleaning_once(
    cells: list[tuple[int, int | None]], layout: dict[str, Any]
) -> None:
    made = notebook(*(cell([OUTPUT] * count, number) for count, number in cells))
    once = cleaned(json.dumps(made, **layout))
    assert cleaned(once) == once
    assert json.loads(once) == notebook(*(cell([], None) for _ in cells))
