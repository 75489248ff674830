"""What is read without `json` is what `json` reads, and what it refuses is refused."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.formats.plain_json import loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def plainly(text: bytes | str) -> Any:
    """Return what is read while nothing of `json` is loaded."""
    loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if name[:4] == "json"}
    try:
        return loads(text)
    finally:
        sys.modules.update(loaded)


@given(VALUES, st.booleans())
def test_what_json_writes_is_read(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=1)
    assert plainly(f" {text}\n") == value
    if escaped:
        assert plainly(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "[1,]", "{} x", "\ufeff{}", "tru", "'a'", '"a', "\u00a01", "1 2", "01", "-"],
)
def test_what_json_refuses_is_refused_in_its_words(text: str) -> None:
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    with pytest.raises(ValueError, match=r".") as found:
        plainly(text)
    assert str(found.value) == str(expected.value)


def test_constants_are_those_of_json() -> None:
    assert str(plainly("[NaN, Infinity, -Infinity]")) == "[nan, inf, -inf]"


def test_what_is_not_utf_8_is_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        plainly(b'"\xff"')


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(RecursionError):
        plainly("[" * 200_000)


def test_nothing_of_json_is_loaded() -> None:
    code = """
import sys
from envtool.formats.plain_json import loads
assert loads('{"a": [1, 2.5, "x", null, true]}') == {"a": [1, 2.5, "x", None, True]}
print(*{"json", "re", "enum", "typing", "collections"} & sys.modules.keys())
"""
    words = [sys.executable, "-IS", "-c", f"import sys; sys.path[:] = {sys.path}{code}"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "\n"
