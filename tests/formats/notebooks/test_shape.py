import json
from typing import Any

import pytest

from envtool.errors import DeclarationError
from envtool.formats.notebooks.shape import check_shape


def code(**more: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], **more}


def notebook(*cells: Any, **more: Any) -> str:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells, **more})


def faults(text: str) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        check_shape(text, file="n.ipynb")
    return [f"{fault.file}: {fault.message}" for fault in caught.value.faults]


def test_what_jupyter_opens_can_be_executed() -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]},
        {"output_type": "display_data", "data": {"text/plain": "a"}, "metadata": {}},
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": []},
    ]
    text = {"cell_type": "markdown", "source": ["a"], "metadata": {}, "attachments": {"a": {}}}
    cells = [text, code(outputs=outputs), code(metadata={"tags": ["varies"]})]
    assert check_shape(notebook(*cells), file="n.ipynb") is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ({"source": "", "metadata": {}}, "'cell_type' is not text"),
        (code(source=[1]), "'source' is not text"),
        (code(source="'\ud800'"), "'source' has half a surrogate pair, which no kernel can be told"),
        (code(metadata=None), "'metadata' is not an object"),
        (code(metadata={"tags": 5}), "'tags' is not a list"),
        (code(attachments={"a": 5}), "'attachments' is not an object of objects"),
        (code(outputs=None), "'outputs' is not a list"),
        (code(outputs=["a"]), "output 1: not an object"),
        (code(outputs=[{}]), "output 1: 'output_type' is not text"),
        (code(outputs=[{"output_type": "stream", "text": 5}]), "output 1: 'text' is not text"),
        (
            code(outputs=[{"output_type": "display_data", "data": []}]),
            "output 1: 'data' is not an object",
        ),
    ],
)
def test_what_would_stop_a_run_is_told_with_its_cell(cell: dict[str, Any], told: str) -> None:
    assert faults(notebook(code(), cell)) == [f"n.ipynb, cell 2: {told}"]


def test_all_faults_are_told_at_once() -> None:
    found = faults(notebook(code(source=5, outputs={}), code(metadata=[]), nbformat_minor="5"))
    assert found == [
        "n.ipynb: 'nbformat_minor' is not a number",
        "n.ipynb, cell 1: 'source' is not text",
        "n.ipynb, cell 1: 'outputs' is not a list",
        "n.ipynb, cell 2: 'metadata' is not an object",
    ]


def test_a_format_that_nobody_knows_yet_is_refused() -> None:
    (told,) = faults(notebook(nbformat=5))
    assert told == "n.ipynb: nbformat 5 is newer than 4, which is the newest we know"
