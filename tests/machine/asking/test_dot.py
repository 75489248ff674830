"""The graph of references as DOT and SVG."""

import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from envtool.errors import StoreError
from envtool.formats.nix.storepath import StorePath
from envtool.machine.asking import dot

A = StorePath.parse("7y5y8kdps9kcllzmy0qjhxc3rp5nypbs-a")
B = StorePath.parse("8y5y8kdps9kcllzmy0qjhxc3rp5nypbs-b")


def test_an_arrow_leads_from_a_path_to_what_it_refers_to() -> None:
    text = dot.render({B: frozenset(), A: frozenset({A, B})}, {A: 'a "quoted" \\', B: "two\nlines"})
    assert text.splitlines()[3:] == [
        f'  "{A}" [label = "a \\"quoted\\" \\\\"];',
        f'  "{B}" [label = "two\\nlines"];',
        f'  "{A}" -> "{B}";',
        "}",
    ]


def program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "dot").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "dot").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin:/bin")


def test_the_picture_is_what_graphviz_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, 'echo "<svg>$*"; cat; echo "</svg>"', monkeypatch)
    assert dot.draw("digraph {}") == "<svg>-Tsvg\ndigraph {}</svg>\n"


@pytest.mark.programs("dot")
def test_real_graphviz_draws_each_path_and_each_reference() -> None:
    labels = {A: 'a <"quoted"> & é \\ \\n', B: "two\nlines"}
    picture = ET.fromstring(dot.draw(dot.render({A: frozenset({B}), B: frozenset()}, labels)))
    svg = "{http://www.w3.org/2000/svg}"
    assert picture.tag == f"{svg}svg"
    assert [each.text for each in picture.iter(f"{svg}title")] == ["closure", A, B, f"{A}->{B}"]
    assert [each.text for each in picture.iter(f"{svg}text")] == [labels[A], "two", "lines"]


def test_without_graphviz_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="graphviz' program dot") as caught:
        dot.draw("digraph {}")
    assert "install graphviz" in str(caught.value.hint)


def test_what_graphviz_complains_about_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "cat >/dev/null; echo 'syntax error' >&2; exit 3", monkeypatch)
    with pytest.raises(StoreError, match="code 3: syntax error"):
        dot.draw("digraph {}")
