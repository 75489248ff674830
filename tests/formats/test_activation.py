"""An environment change does the same as a value, in bash, in zsh and in fish."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import FormatError
from envtool.formats.activation import Dialect, EnvironmentChange, change, compose

NAMES = st.sampled_from(["PATH", "PYTHONPATH", "PYTHONHOME", "A", "B"])
VALUES = st.text(st.sampled_from("ab:/ '\"\\\n$é"), max_size=8)
ENTRIES = st.lists(st.text(st.sampled_from("ab/ 'é"), min_size=1, max_size=3), max_size=3)
VARIABLES = st.dictionaries(NAMES, VALUES)
CHANGES = st.builds(
    lambda assign, unset, prepend: change(assign=assign, unset=unset, prepend=prepend),
    st.dictionaries(NAMES, VALUES),
    st.lists(st.one_of(NAMES, st.sampled_from(["PYTHON*", "P*"]))),
    st.dictionaries(NAMES, ENTRIES),
)
SHELLS: dict[Dialect, list[str]] = {
    "bash": ["bash", "--norc", "--noprofile", "-c"],
    "zsh": ["zsh", "-f", "-c"],
    "fish": ["fish", "--no-config", "-c"],
}

EVERY_SHELL, BASH_AND_ZSH = (
    [
        pytest.param(
            name,
            marks=pytest.mark.programs(name),
        )
        for name in names
    ]
    for names in (("bash", "zsh", "fish"), ("bash", "zsh"))
)


def sourced(dialect: Dialect, made: EnvironmentChange, before: Mapping[str, str]) -> dict[str, str]:
    """Return the exported variables after a real shell has run the rendered change."""
    program = made.render(dialect) + "/usr/bin/env -0"
    argv = [str(shutil.which(dialect)), *SHELLS[dialect][1:], program]
    environ = {os.fsencode(name): os.fsencode(text) for name, text in before.items()}
    output = subprocess.run(
        [os.fsencode(word) for word in argv], env=environ, capture_output=True, check=True
    )
    assert output.stderr == b""
    pairs = (os.fsdecode(line).split("=", 1) for line in output.stdout.split(b"\0") if line)
    return {name: text for name, text in pairs if name in before or name in made.apply(before)}


def test_apply_removes_then_sets_then_leads() -> None:
    made = change(
        assign={"PYTHONPATH": "/site"}, unset=["PYTHON*", "VIRTUAL_ENV"], prepend={"PATH": ["/e"]}
    )
    before = {"PATH": "/bin:/e", "PYTHONHOME": "/x", "VIRTUAL_ENV": "/v", "HOME": "/h"}
    assert made.apply(before) == {"PATH": "/e:/bin", "PYTHONPATH": "/site", "HOME": "/h"}
    assert before["PATH"] == "/bin:/e"


def test_leading_an_empty_list_adds_no_working_directory() -> None:
    assert change(prepend={"PATH": ["/a", "/b"]}).apply({"PATH": ""}) == {"PATH": "/a:/b"}
    assert change(prepend={"PATH": ["/a"]}).apply({}) == {"PATH": "/a"}


@given(CHANGES, VARIABLES)
def test_applying_twice_is_applying_once(made: EnvironmentChange, before: dict[str, str]) -> None:
    after = made.apply(before)
    assert made.apply(after) == after


@given(CHANGES, VARIABLES)
def test_reverse_leads_back(made: EnvironmentChange, before: dict[str, str]) -> None:
    assert made.reverse(before).apply(made.apply(before)) == before


@given(CHANGES, CHANGES, VARIABLES)
def test_compose_does_one_after_the_other(
    first: EnvironmentChange, second: EnvironmentChange, before: dict[str, str]
) -> None:
    assert compose(first, second).apply(before) == second.apply(first.apply(before))


def test_one_change_has_one_form() -> None:
    one = change(
        assign={"B": "2", "A": "1"}, unset=["A", "X"], prepend={"P": ["/a", "/a"], "Q": []}
    )
    other = change(assign={"A": "1", "B": "2"}, unset=["X", "X"], prepend={"P": ["/a"]})
    assert one == other
    assert hash(one) == hash(other)


DIFFICULT = {
    "SPACES": " a  b ",
    "QUOTES": 'it\'s "quoted" `x` $(y) ${z}',
    "NEWLINES": "one\ntwo\n\n",
    "BACKSLASH": "a\\nb\\\\'\\''",
    "UNICODE": "Größe 数 \N{SNOWMAN}",
    "BANG": "a!b #c ~ * ? [d] {e,f}",
    "EMPTY": "",
    "BYTES": "latin-\udce9",
}


@pytest.mark.parametrize("dialect", EVERY_SHELL)
def test_a_shell_gets_every_value_as_it_is(dialect: Dialect) -> None:
    values = dict(DIFFICULT)
    if dialect == "fish":
        del values["BYTES"]  # fish replaces what its locale cannot decode
    assert sourced(dialect, change(assign=values), {"LC_ALL": "C.UTF-8"}) == {
        "LC_ALL": "C.UTF-8",
        **values,
    }


@pytest.mark.parametrize("dialect", EVERY_SHELL)
@pytest.mark.parametrize(
    "path",
    [
        "/usr/bin:/bin",
        "/e/bin:/usr/bin",
        "/bin:/e/bin:/e/bin:/x y:/e/bin",
        "/e/bin",
        "/bin:/it's:/[ab]*",
    ],
)
def test_a_shell_leads_a_list_as_apply_does(dialect: Dialect, path: str) -> None:
    made = change(prepend={"PATH": ["/e/bin", "/it's", "/[ab]*"], "MANPATH": ["/e/man"]})
    before = {"PATH": path, "LC_ALL": "C.UTF-8"}
    assert sourced(dialect, made, before) == made.apply(before)


@pytest.mark.parametrize("dialect", BASH_AND_ZSH)
@pytest.mark.parametrize("path", [":", "a:", ":a", "::b::", "e:", ":e:e:"])
def test_an_empty_entry_of_a_list_stays(dialect: Dialect, path: str) -> None:
    made = change(prepend={"LISTED": ["e"]})
    assert sourced(dialect, made, {"LISTED": path}) == made.apply({"LISTED": path})


@pytest.mark.parametrize("dialect", EVERY_SHELL)
def test_a_shell_drops_every_variable_of_a_beginning(dialect: Dialect) -> None:
    made = change(assign={"PYTHONPATH": "/p"}, unset=["PYTHON*", "VIRTUAL_ENV", "NEVER_SET"])
    before = {"PYTHONHOME": "/h", "PYTHONX": "1", "PYTHONPATH": "/q", "VIRTUAL_ENV": "/v", "K": "1"}
    assert sourced(dialect, made, before) == {"PYTHONPATH": "/p", "K": "1"}


def test_json_names_the_three_steps() -> None:
    made = change(assign={"A": "é\n"}, unset=["PYTHON*"], prepend={"PATH": ["/e"]})
    assert json.loads(made.render("json")) == {
        "prepend": {"PATH": ["/e"]},
        "set": {"A": "é\n"},
        "unset": ["PYTHON*"],
    }


@pytest.mark.parametrize("name", ["", "A-B", "1A", "A;reboot", "A B", "É", "*"])
def test_a_name_no_shell_can_hold_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="cannot name a variable"):
        change(assign={name: "x"})


def test_a_nul_and_a_colon_in_an_entry_are_refused() -> None:
    with pytest.raises(FormatError, match="NUL"):
        change(assign={"A": "\0"})
    with pytest.raises(FormatError, match="colon"):
        change(prepend={"PATH": ["/a:b"]})


def test_a_foreign_name_cannot_be_rendered_for_a_shell() -> None:
    back = change(unset=["PYTHON*"]).reverse({"PYTHON-X": "1"})
    with pytest.raises(FormatError, match="PYTHON-X"):
        back.render("bash")
