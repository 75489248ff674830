"""`envtool print-env`: evaluated by a real shell it enters, and its undoing leads back."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from envtool.formats.activation import change

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-c"],
    "zsh": ["zsh", "-f", "-c"],
    "fish": ["fish", "--no-config", "-c"],
}
HOST = {"PYTHONSTARTUP": "/odd 'home'", "VIRTUAL_ENV": "", "GREETING": "", "OWN": "a\n$b\\"}


def variables(shell: str, text: str, environ: dict[str, str]) -> dict[str, str]:
    """Return the variables of a real shell of this kind that has evaluated the text."""
    argv = [str(shutil.which(shell)), *SHELLS[shell][1:], f"{text}\n/usr/bin/env -0"]
    output = subprocess.run(argv, env=environ, capture_output=True, check=True).stdout
    pairs = (os.fsdecode(line).split("=", 1) for line in output.split(b"\0") if line)
    return {name: value for name, value in pairs if name not in {"_", "SHLVL", "PWD", "OLDPWD"}}


def test_a_shell_that_evaluates_it_has_entered(
    shell: str, make_generation: Any, envtool: Any, place: Any
) -> None:
    environment = make_generation()
    text = envtool("print-env", "--shell", shell, environ=HOST).stdout
    found = variables(shell, text, {**place.environ, **HOST})
    assert found["PATH"] == f"{environment}/bin:/usr/local/bin:/usr/bin:/bin"
    assert found["GREETING"] == "hei"
    assert "PYTHONSTARTUP" not in found
    assert "VIRTUAL_ENV" not in found


@pytest.mark.parametrize("host", [HOST, {}], ids=["with variables", "without"])
def test_undoing_leads_back_to_the_letter(
    shell: str, host: dict[str, str], make_generation: Any, envtool: Any, place: Any
) -> None:
    make_generation()
    before = variables(shell, "", {**place.environ, **host})
    words = ("print-env", "--shell", shell)
    enter, leave = (envtool(*words, *more, environ=host).stdout for more in ([], ["--undo"]))
    assert variables(shell, enter + leave, {**place.environ, **host}) == before


def test_json_is_the_change_and_its_undoing(make_generation: Any, envtool: Any, place: Any) -> None:
    environment = make_generation()
    host = {"PYTHONSTARTUP": "/home-python"}
    found = json.loads(envtool("print-env", "--shell", "json", environ=host).stdout)
    assert found["prepend"] == {"PATH": [f"{environment}/bin"]}
    assert found["set"]["GREETING"] == "hei"
    assert "PYTHON*" in found["unset"]
    undo = found.pop("undo")
    before = {**place.environ, **host}
    there, back = (
        change(assign=each["set"], unset=each["unset"], prepend=each["prepend"])
        for each in (found, undo)
    )
    assert back.apply(there.apply(before)) == before
    assert json.loads(envtool("print-env", "--json", "--undo", environ=host).stdout) == undo


def test_the_language_is_that_of_the_users_shell(make_generation: Any, envtool: Any) -> None:
    make_generation()
    for shell, word in (("/bin/bash", "export GREETING="), ("/usr/bin/fish", "set --global")):
        assert word in envtool("print-env", environ={"SHELL": shell}).stdout


def test_a_value_that_is_no_text_comes_back(place: Any, make_generation: Any) -> None:
    make_generation()
    start = "import sys; from envtool.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", start, "print-env", "--shell", "bash", "--undo"]
    environ = {**os.environ, **place.environ, "GREETING": os.fsdecode(b"\xff")}
    leave = subprocess.run(words, cwd=place.project, env=environ, capture_output=True, check=True)
    assert b"export GREETING='\xff'\n" in leave.stdout
