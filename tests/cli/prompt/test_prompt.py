"""The prompt of bash, zsh and fish on a terminal: it enters, follows, and leaves no trace."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.conftest import OpenTerminal, Terminal

PROGRAM = f"{sys.executable} -I -c 'import sys; from envtool.cli import main; sys.exit(main())'"
FILES = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}
WORDS = {"bash": ["bash", "-i"], "zsh": ["zsh", "-i"], "fish": ["fish", "-i"]}
ASIDE = r"^(_|SHLVL|OLDPWD|PWD|LINES|COLUMNS)="

Start = Callable[..., "Terminal"]


def variables(prompted: "Terminal") -> list[str]:
    """Return what the shell exports, a prompt after whatever was done before."""
    found = prompted.answer("env | sort").splitlines()
    return [line for line in found if not re.match(ASIDE, line)]


@pytest.fixture
def start(place: Any, open_terminal: "OpenTerminal") -> Start:
    """Start a shell at home, with the hook in its start-up file."""

    def begin(shell: str, *, folder: Path | None = None, **environ: str) -> "Terminal":
        file = place.home / FILES[shell]
        file.parent.mkdir(parents=True, exist_ok=True)
        hook = f"{PROGRAM} hook {shell}"
        file.write_text(f"{hook} | source\n" if shell == "fish" else f'eval "$({hook})"\n')
        return open_terminal(*WORDS[shell], cwd=folder or place.home, environ=environ)

    return begin


@pytest.fixture
def inside(shell: str, place: Any, make_generation: Any, start: Start) -> "Terminal":
    """Start a shell and enter the project, which has a folder `below`."""
    make_generation()
    (place.project / "below").mkdir()
    prompted = start(shell)
    prompted.answer(f"cd {place.project}")
    assert prompted.answer("echo $GREETING") == "hei"
    return prompted


def test_it_enters_and_leaves_every_variable_as_it_was(
    shell: str, place: Any, make_generation: Any, start: Start
) -> None:
    environment = make_generation(hook="export HOOKED=$GREETING")
    prompted = start(shell, PYTHONHOME="/home-python", VIRTUAL_ENV="", GREETING="")
    before = variables(prompted)
    assert "GREETING=" in before
    prompted.answer(f"cd {place.project}")
    inside = variables(prompted)
    assert {"GREETING=hei", "HOOKED=hei", f"ENVTOOL_ENVIRONMENT={environment}"} < set(inside)
    assert not [line for line in inside if line.startswith(("PYTHONHOME", "VIRTUAL_ENV"))]
    assert prompted.answer("hello") == "hello"
    prompted.answer("cd /")
    assert variables(prompted) == before


def test_a_variable_that_is_not_exported_comes_back(
    shell: str, place: Any, make_generation: Any, start: Start
) -> None:
    make_generation()
    prompted = start(shell)
    prompted.answer("set -g GREETING own" if shell == "fish" else "GREETING=own")
    prompted.answer(f"cd {place.project}")
    assert prompted.answer("printenv GREETING") == "hei"
    prompted.answer("cd /")
    assert prompted.answer("echo $GREETING; printenv GREETING") == "own"


def test_what_the_user_puts_on_the_path_inside_stays(
    shell: str, place: Any, make_generation: Any, start: Start
) -> None:
    environment = make_generation()
    prompted = start(shell)
    before = prompted.answer("printenv PATH")
    prompted.answer(f"cd {place.project}")
    add = "set -gx PATH $PATH /mine" if shell == "fish" else "export PATH=$PATH:/mine"
    prompted.answer(add)
    assert prompted.answer("printenv PATH") == f"{environment}/bin:{before}:/mine"
    prompted.answer("cd /")
    assert prompted.answer("printenv PATH") == f"{before}:/mine"


def test_it_asks_for_consent_in_one_line_and_once(
    shell: str, place: Any, make_generation: Any, envtool: Any, start: Start
) -> None:
    make_generation(allowed=False)
    prompted = start(shell)
    prompted.answer(f"cd {place.project}")
    assert prompted.answer("echo $GREETING") == ""
    assert prompted.said.count("envtool: envtool.toml of demo is not allowed") == 1
    prompted.answer("true")
    assert "envtool:" not in prompted.said
    envtool("allow")
    prompted.answer("true")
    assert prompted.answer("echo $GREETING") == "hei"
    envtool("deny")
    prompted.answer("true")
    assert prompted.answer("echo $GREETING") == ""
    assert "envtool:" not in prompted.said


def test_it_follows_the_current_generation(
    shell: str, place: Any, make_generation: Any, envtool: Any, start: Start
) -> None:
    first = make_generation()
    prompted = start(shell)
    prompted.answer(f"cd {place.project}")
    assert prompted.answer("printenv ENVTOOL_ENVIRONMENT") == first
    second = make_generation({"other": "#!/bin/sh\necho other\n"})
    prompted.answer("true")
    assert prompted.answer("printenv ENVTOOL_ENVIRONMENT") == second
    assert prompted.answer("printenv PATH").split(":").count(f"{second}/bin") == 1
    assert f"{first}/bin" not in prompted.answer("printenv PATH")
    envtool("rollback")
    prompted.answer("true")
    assert prompted.answer("printenv ENVTOOL_ENVIRONMENT") == first


def test_a_changed_declaration_is_told_in_one_line(place: Any, inside: "Terminal") -> None:
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text().replace("hei", "hallo"))
    heard = []
    for _ in range(3):
        assert inside.answer("echo $GREETING") == "hei"
        heard.append(inside.said)
    assert "".join(heard).count("envtool.toml has changed since generation 1") == 1


def test_where_nothing_changed_no_program_is_started(shell: str, inside: "Terminal") -> None:
    ask = (
        "function __envtool_ask; echo as''ked; end"
        if shell == "fish"
        else "__envtool_ask() { echo as''ked; }"
    )
    inside.answer(ask)
    inside.answer("cd below")
    inside.answer("hello")
    assert "asked" not in inside.said
    inside.answer("cd /")
    inside.answer("true")
    assert "asked" in inside.said


def test_where_nothing_is_no_program_is_started(shell: str, inside: "Terminal") -> None:
    inside.answer("cd /")
    assert inside.answer("echo $GREETING") == ""
    start_function, end_function = ("; ", "; end") if shell == "fish" else ("() { ", "; }")
    word = "function " if shell == "fish" else ""
    inside.answer(f"{word}__envtool_ask{start_function}echo echo as''ked{end_function}")
    for _ in range(2):
        inside.answer("true")
        assert "asked" not in inside.said
        assert "__envtool" not in inside.said.replace("__envtool_ask", "")


def test_the_status_of_the_last_command_is_kept(
    shell: str, place: Any, make_generation: Any, start: Start
) -> None:
    make_generation()
    prompted = start(shell, folder=place.project)
    status = "$status" if shell == "fish" else "$?"
    prompted.sendline("sh -c 'exit 7'")
    prompted.sendline(f"echo th''is {status}")
    assert prompted.line("this") == "this 7"


def test_a_shell_in_a_shell_leaves_by_itself(
    shell: str, place: Any, make_generation: Any, start: Start
) -> None:
    make_generation()
    prompted = start(shell)
    before = variables(prompted)
    prompted.answer(f"cd {place.project}")
    assert prompted.answer("echo $GREETING") == "hei"
    prompted.sendline(" ".join(WORDS[shell]))
    assert prompted.answer("echo $GREETING") == "hei"
    prompted.answer("cd /")
    assert variables(prompted) == before
    prompted.sendline("exit")
    assert prompted.answer("echo $GREETING") == "hei"


def test_inside_envtool_shell_it_rests(
    shell: str, place: Any, make_generation: Any, start: Start
) -> None:
    environment = make_generation()
    prompted = start(shell)
    prompted.answer(f"cd {place.project}")
    prompted.sendline(f"{PROGRAM} shell --shell {shell}")
    prompted.expect_exact("(demo) ")
    prompted.answer("cd /")
    assert prompted.answer("printenv ENVTOOL_ENVIRONMENT") == environment
    prompted.sendline("exit")
    prompted.answer("true")
    assert prompted.answer("printenv ENVTOOL_ENVIRONMENT") == environment
    prompted.answer("cd /")
    assert prompted.answer("printenv ENVTOOL_ENVIRONMENT") == ""


def test_a_hook_takes_nothing_of_what_is_typed(
    shell: str, place: Any, make_generation: Any, start: Start
) -> None:
    make_generation(hook="read -r line; export HOOKED=read:$line")
    prompted = start(shell)
    prompted.answer(f"cd {place.project}")
    assert prompted.answer("printenv HOOKED") == "read:"


def test_a_hook_that_does_not_end_is_interrupted(
    shell: str, place: Any, make_generation: Any, start: Start
) -> None:
    make_generation(hook="test -e quick || { echo be''gun >&2; sleep 1000; }; export HOOKED=yes")
    prompted = start(shell)
    prompted.answer("true")
    prompted.sendline(f"cd {place.project}")
    prompted.expect_exact("begun")
    (place.project / "quick").touch()
    prompted.sendintr()
    prompted.expect_exact("interrupted")
    prompted.answer("true")
    assert "Traceback" not in prompted.said
    assert prompted.answer("printenv HOOKED") == "yes"


def test_a_project_behind_a_link_and_with_an_odd_name(
    shell: str, place: Any, make_generation: Any, envtool: Any, start: Start
) -> None:
    make_generation()
    link = place.home / "it's a $link"
    link.symlink_to(place.project)
    prompted = start(shell, folder=link)
    assert prompted.answer("echo $GREETING") == "hei"


def test_direnv_uses_it(place: Any, make_generation: Any, envtool: Any) -> None:
    environment = make_generation()
    text = envtool("hook", "direnv").stdout
    script = (
        f'watch_file() {{ printf "watch %s\\n" "$@"; }}\n{text}use_envtool\nprintenv PATH GREETING'
    )
    ended = envtool("run", "bash", "-c", script, environ={"PATH": os.environ["PATH"]})
    lines = ended.stdout.splitlines()
    assert lines[0] == f"watch {place.project}/envtool.toml"
    assert lines[-2].startswith(f"{environment}/bin:")
    assert lines[-1] == "hei"
