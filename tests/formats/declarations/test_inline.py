import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import DeclarationError
from envtool.formats.declarations.declaration import Declaration, KernelChoice
from envtool.formats.declarations.inline import find_block, with_content
from envtool.formats.declarations.reading import parse

# The example of PEP 723, with a table of ours.
SCRIPT = """\
#!/usr/bin/env python3
import sys
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "requests<3",
#   "rich",
# ]
#
# [tool.envtool]
# exclude-newer = "2026-01-31"
# [tool.other]
# x = 1
# ///
import requests
"""


def read(text: str) -> Declaration:
    return parse(text, path="/home/me/My Plot.py", kind="script")


# The PEP's own reference expression.
PEP = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
LINES = st.sampled_from(
    ["# /// script", "# /// other-1", "# ///", "#", "# x = 1", "#x", "", "x", "# /// ", "# /// a b"]
)


@given(st.lists(LINES, max_size=12).map("\n".join))
def test_blocks_are_those_of_the_reference_expression(script: str) -> None:
    expected = [match for match in PEP.finditer(script) if match["type"] == "script"]
    if len(expected) > 1:
        with pytest.raises(DeclarationError, match="a second"):
            find_block(script, file="script")
        return
    found = find_block(script, file="script")
    if not expected:
        assert found is None
        return
    assert found is not None
    assert (found.start, found.end) == expected[0].span("content")
    assert found.line == script.count("\n", 0, found.start) + 1
    plain = [line[2:] if line.startswith("# ") else line[1:] for line in expected[0][2].split("\n")]
    assert found.content == "\n".join(plain)


def test_a_script_is_read_as_the_pep_says() -> None:
    found = read(SCRIPT)
    assert found.requirements == ("requests<3", "rich")
    assert (found.python, found.exclude_newer) == (">=3.11", "2026-01-31")
    assert (found.name, found.kernel) == ("my-plot", None)


def test_a_script_with_other_line_ends_is_the_same() -> None:
    assert read(SCRIPT.replace("\n", "\r\n")) == read(SCRIPT)


def test_a_notebook_kernel_is_not_given_to_scripts_but_can_be_asked_for() -> None:
    asked = SCRIPT.replace("# ///\nimport", "# [tool.envtool.kernel]\n# ///\nimport")
    assert read(asked).kernel == KernelChoice(None, None)


def test_faults_carry_the_lines_of_the_script() -> None:
    text = SCRIPT.replace('"rich"', '"rich =>"').replace("exclude-newer", "python")
    with pytest.raises(DeclarationError) as caught:
        read(text)
    assert [(fault.line, fault.key) for fault in caught.value.faults] == [
        (7, "dependencies"),
        (11, "tool.envtool.python"),
    ]
    assert "requires-python" in caught.value.faults[1].message


def test_a_syntax_error_carries_the_line_of_the_script() -> None:
    with pytest.raises(DeclarationError) as caught:
        read(SCRIPT.replace("# x = 1", "# x ="))
    assert caught.value.faults[0].line == 13


def test_two_blocks_are_a_fault_at_the_second() -> None:
    with pytest.raises(DeclarationError) as caught:
        read(SCRIPT + "# /// script\n# dependencies = []\n# ///\n")
    assert caught.value.faults[0].line == 16
    assert "line 3" in caught.value.faults[0].message


def test_a_block_of_another_type_is_not_ours() -> None:
    other = "# /// other\n# x = 1\n# ///\n\n"
    assert find_block(other, file="x") is None
    assert read(other + SCRIPT).requirements == ("requests<3", "rich")


def test_a_script_without_a_block_is_an_error_with_a_way_on() -> None:
    with pytest.raises(DeclarationError) as caught:
        read("print(1)\n")
    assert "no `# /// script` block" in caught.value.message
    assert "envtool add" in (caught.value.hint or "")


def test_a_block_that_is_not_closed_is_named_by_its_line() -> None:
    with pytest.raises(DeclarationError) as caught:
        read("\n# /// script\n# dependencies = []\n")
    assert caught.value.faults[0].line == 2
    assert "not closed" in caught.value.message


def test_an_unknown_key_at_the_top_of_the_block_is_a_fault() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'dependencies'"):
        read("# /// script\n# dependancies = []\n# ///\n")


def test_replacing_the_content_by_itself_changes_nothing() -> None:
    block = find_block(SCRIPT, file="x")
    assert block is not None
    assert with_content(SCRIPT, block.content, file="x") == SCRIPT


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", "# /// script\n# a = 1\n# ///\n"),
        ("import x\n", "# /// script\n# a = 1\n# ///\n\nimport x\n"),
        ("#!/bin/x\nimport x\n", "#!/bin/x\n# /// script\n# a = 1\n# ///\n\nimport x\n"),
        (
            "#!/bin/x\n# -*- coding: utf-8 -*-\nx = 1\n",
            "#!/bin/x\n# -*- coding: utf-8 -*-\n# /// script\n# a = 1\n# ///\n\nx = 1\n",
        ),
        ("#!/bin/x", "#!/bin/x\n# /// script\n# a = 1\n# ///\n"),
        ("# A comment.\nx = 1\n", "# /// script\n# a = 1\n# ///\n\n# A comment.\nx = 1\n"),
    ],
)
def test_a_new_block_stands_below_interpreter_and_encoding(script: str, expected: str) -> None:
    assert with_content(script, "a = 1\n", file="x") == expected
    assert find_block(expected, file="x") is not None
