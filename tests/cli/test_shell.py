"""`envtool shell` on a real terminal: bash, zsh and fish, behind the user's own start-up files."""

import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

START_UP = {
    "bash": (".bashrc", "export PATH=/first:$PATH PYTHONHOME=/home-python OWN=yes\n"),
    "zsh": (".zshrc", "export PATH=/first:$PATH PYTHONHOME=/home-python OWN=yes\n"),
    "fish": (
        ".config/fish/config.fish",
        "set -gx PATH /first $PATH; set -gx PYTHONHOME /home-python; set -gx OWN yes\n",
    ),
}


@pytest.fixture
def start_up(place: Any) -> Any:
    """Write a user's start-up files, which put other things first."""
    for name, text in START_UP.values():
        path = place.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


def test_the_environment_leads_behind_the_users_files(
    shell: str, start_up: Any, make_generation: Any, spawn: Any
) -> None:
    environment = make_generation()
    child = spawn("shell", "--shell", shell)
    child.expect_exact("(demo) ")
    path = child.answer("printenv PATH").split(":")
    assert path[:2] == [f"{environment}/bin", "/first"]
    assert path.count(f"{environment}/bin") == 1
    assert child.answer("printenv OWN GREETING ENVTOOL_SHELL").split() == ["yes", "hei", "demo"]
    assert child.answer("env | grep -o '^PYTHON.*'") == f"PYTHONPATH={environment}/lib/envtool"
    child.sendline("exit 7")
    assert child.ended() == 7


def test_nothing_stays_behind(
    shell: str, start_up: Any, make_generation: Any, spawn: Any, tmp_path: Path
) -> None:
    make_generation()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    child = spawn("shell", "--shell", shell, environ={"TMPDIR": str(temporary)})
    child.expect_exact("(demo) ")
    assert child.answer("hello") == "hello"
    assert [name for name in os.listdir(temporary) if "envtool" in name] == []
    assert "ZDOTDIR" not in child.answer("env")


def test_ctrl_c_in_the_shell_stops_the_command_only(
    shell: str, start_up: Any, make_generation: Any, spawn: Any
) -> None:
    make_generation({"wait": "#!/bin/sh\necho re''ady\nexec sleep 1000\n"})
    child = spawn("shell", "--shell", shell)
    child.expect_exact("(demo) ")
    child.sendline("wait" if shell == "fish" else "command wait; env wait")
    if shell == "fish":
        child.sendline("env wait")
    child.expect_exact("ready")
    child.sendintr()
    child.expect_exact("(demo) ")
    assert child.answer("hello") == "hello"


def test_without_start_up_files_the_shell_starts_too(
    shell: str, make_generation: Any, spawn: Any
) -> None:
    make_generation()
    child = spawn("shell", "--shell", shell)
    child.expect_exact("(demo) ")
    assert child.answer("hello") == "hello"


def test_the_shell_is_the_users_own(
    shell: str, start_up: Any, make_generation: Any, spawn: Any
) -> None:
    make_generation()
    child = spawn("shell", environ={"SHELL": str(shutil.which(shell))})
    child.expect_exact("(demo) ")
    own = "$fish_pid" if shell == "fish" else "$$"
    assert child.answer(f"readlink /proc/{own}/exe").endswith(shell)


def test_a_theme_that_writes_the_prompt_anew_keeps_the_name(
    place: Any, make_generation: Any, spawn: Any
) -> None:
    make_generation()
    (place.home / ".bashrc").write_text("PROMPT_COMMAND=\"PS1='theme> '\"\n")
    child = spawn("shell", "--shell", "bash")
    child.expect_exact("(demo) theme> ")
    child.sendline("true")
    child.expect_exact("(demo) theme> ")
    assert child.answer("echo $PROMPT_COMMAND").startswith("PS1=")


@pytest.mark.programs("zsh")
def test_zsh_files_in_a_folder_of_the_users_choice(
    place: Any, make_generation: Any, spawn: Any
) -> None:
    make_generation()
    (place.home / "zsh").mkdir()
    (place.home / ".zshenv").write_text("export ZDOTDIR=$HOME/zsh\n")
    (place.home / "zsh/.zshrc").write_text("OWN=$ZDOTDIR\n")
    child = spawn("shell", "--shell", "zsh")
    child.expect_exact("(demo) ")
    assert child.answer("echo $OWN $ZDOTDIR") == f"{place.home}/zsh {place.home}/zsh"


def test_one_line_of_shell_is_led_by_the_environment(
    shell: str, start_up: Any, make_generation: Any, envtool: Any
) -> None:
    environment = make_generation()
    (start_up.home / ".zshenv").write_text("export PATH=/first:$PATH\n")
    line = 'hello | tr h j; echo "$PATH" "$PYTHONHOME"; exit 3'
    ended = envtool("shell", "--shell", shell, "--run", line)
    jello, path = ended.stdout.splitlines()
    assert (jello, ended.returncode) == ("jello", 3)
    assert re.split("[: ]", path)[0] == f"{environment}/bin"
    assert not path.endswith("/home-python")


def test_one_line_of_shell_may_die_of_a_signal(make_generation: Any, envtool: Any) -> None:
    make_generation()
    ended = envtool("shell", "--shell", "bash", "--run", "kill -TERM $$")
    assert ended.returncode == -signal.SIGTERM


def test_a_shell_we_do_not_speak_becomes_bash(make_generation: Any, envtool: Any) -> None:
    make_generation()
    ended = envtool("shell", "--run", "echo $BASH_VERSION", environ={"SHELL": "/bin/dash"})
    assert re.match(r"\d+\.\d+", ended.stdout)


def test_a_missing_shell_is_an_error(make_generation: Any, envtool: Any, tmp_path: Path) -> None:
    make_generation()
    ended = envtool("shell", "--shell", "fish", environ={"PATH": str(tmp_path), "SHELL": ""})
    assert ended.returncode == 1
    assert "there is no shell fish on PATH" in ended.stderr


def test_the_hook_and_the_variables_wait_for_consent(
    shell: str, make_generation: Any, envtool: Any
) -> None:
    make_generation(hook="export HOOKED=yes", allowed=False)
    words = ("shell", "--shell", shell, "--run", 'echo ":$GREETING-$HOOKED"; hello')
    ended = envtool(*words)
    assert ended.stdout == ":-\nhello\n"
    assert ended.stderr.startswith("note: envtool.toml is not allowed")
    assert "`envtool allow`" in ended.stderr
    allowed = envtool("allow")
    assert "GREETING=hei" in allowed.stdout
    ended = envtool(*words)
    assert (ended.stdout, ended.stderr) == (":hei-yes\nhello\n", "")
    envtool("deny")
    ended = envtool(*words)
    assert (ended.stdout, ended.stderr) == (":-\nhello\n", "")


def test_without_variables_and_hook_there_is_nothing_to_allow(
    place: Any, make_generation: Any, envtool: Any
) -> None:
    make_generation(allowed=False, variables={})
    assert envtool("shell", "--shell", "bash", "--run", "hello").stderr == ""


def test_the_hook_runs_in_the_shell_that_is_entered(
    shell: str, start_up: Any, make_generation: Any, spawn: Any
) -> None:
    make_generation(hook='export HOOKED="$GREETING you"\nPATH=$PATH:/hooked')
    child = spawn("shell", "--shell", shell)
    child.expect_exact("(demo) ")
    assert child.answer("printenv HOOKED") == "hei you"
    path = child.answer("printenv PATH").split(":")
    assert "/hooked" in path
    assert "/first" in path


def test_a_shell_in_a_shell_unwinds(
    shell: str, start_up: Any, make_generation: Any, spawn: Any
) -> None:
    outer = make_generation(environment="default")
    inner = make_generation({"other": "#!/bin/sh\n"}, environment="ci")
    child = spawn("shell", "--shell", shell)
    child.expect_exact("(demo) ")
    before = child.answer("env | sort | grep -v ^_=")
    program = f"{sys.executable} -I -c 'import sys; from envtool.cli import main; sys.exit(main())'"
    child.sendline(f"{program} -e ci shell --shell {shell}")
    child.expect_exact("(demo.ci) ")
    path = child.answer("printenv PATH").split(":")
    assert path[0] == f"{inner}/bin"
    assert f"{outer}/bin" in path
    assert child.answer("printenv ENVTOOL_SHELL") == "demo.ci"
    child.sendline("exit")
    child.expect_exact("(demo) ")
    assert child.answer("env | sort | grep -v ^_=") == before


def test_a_resized_terminal_is_noticed(
    shell: str, start_up: Any, make_generation: Any, spawn: Any
) -> None:
    make_generation()
    child = spawn("shell", "--shell", shell)
    child.expect_exact("(demo) ")
    child.setwinsize(33, 77)
    assert child.answer("stty size") == "33 77"


def test_jobs_are_stopped_and_brought_back(
    shell: str, start_up: Any, make_generation: Any, spawn: Any
) -> None:
    make_generation({"wait": "#!/bin/sh\necho re''ady\nread line\necho go''t $line\n"})
    child = spawn("shell", "--shell", shell)
    child.expect_exact("(demo) ")
    child.sendline("env wait")
    child.expect_exact("ready")
    child.sendcontrol("z")
    assert child.answer("hello") == "hello"
    child.sendline("fg")
    child.sendline("a line")
    assert child.line("got") == "got a line"


def test_another_generation_is_entered_and_nothing_switched(
    place: Any, make_generation: Any, envtool: Any
) -> None:
    first = make_generation()
    second = make_generation({"other": "#!/bin/sh\n"})
    words = ("shell", "--shell", "bash")
    line = ("--run", "echo $ENVTOOL_GENERATION $ENVTOOL_ENVIRONMENT")
    assert envtool(*words, "--generation", "1", *line).stdout == f"1 {first}\n"
    assert envtool(*words, *line).stdout == f"2 {second}\n"
    ended = envtool(*words, "--generation", "3")
    assert ended.returncode == 1
    assert "no generation 3; there are: 1, 2" in ended.stderr


def test_any_program_may_stand_in_the_place_of_a_shell(make_generation: Any, envtool: Any) -> None:
    environment = make_generation(hook='export HOOKED="$GREETING you"')
    line = 'printf "%s\\n" "$ENVTOOL_SHELL" "$ENVTOOL_ENVIRONMENT" "$HOOKED" "$@"; exit 5'
    ended = envtool("shell", "--command", "sh", "-c", line, "sh", "--run", "a b")
    assert ended.stdout.splitlines() == ["demo", environment, "hei you", "--run", "a b"]
    assert ended.returncode == 5
    assert envtool("shell", "--pure", "--command", "hello").stdout == "hello\n"
    assert envtool("shell", "--command", "nowhere").returncode == 127


def test_a_program_in_the_place_of_a_shell_has_the_terminal(
    make_generation: Any, spawn: Any
) -> None:
    make_generation({"ask": "#!/bin/sh\ntest -t 0 && read line && echo go''t $line\n"})
    child = spawn("shell", "--command", "ask")
    child.sendline("an answer")
    assert child.line("got") == "got an answer"
    assert child.ended() == 0


@pytest.mark.parametrize(
    "words",
    [["--command"], ["--run", "true", "--command", "sh"], ["--shell", "zsh", "--command", "x"]],
)
def test_a_program_is_named_and_named_alone(words: list[str], envtool: Any) -> None:
    ended = envtool("shell", *words)
    assert ended.returncode == 2
    assert "--command" in ended.stderr
