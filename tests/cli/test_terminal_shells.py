"""What a terminal does to a shell that envtool started: signals, sizes, jobs, ends."""

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

PROGRAM = f"{sys.executable} -I -c 'import sys; from envtool.cli import main; sys.exit(main())'"
WATCH = f"""#!{sys.executable}
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print("rea" + "dy", flush=True)
signal.sigwait([signal.SIGWINCH])
print("now", *os.get_terminal_size(), flush=True)
"""
WAIT = "#!/bin/sh\necho re''ady\nread line < fifo\necho go''t $line\n"


@pytest.fixture
def enter(make_generation: Any, spawn: Any, place: Any) -> Any:
    """Enter the environment in a shell on a terminal."""
    make_generation({"watch": WATCH, "wait": WAIT})
    os.mkfifo(place.project / "fifo")

    def enter(shell: str) -> Any:
        child = spawn("shell", "--shell", shell)
        child.expect_exact("(demo) ")
        return child

    return enter


def test_a_resize_reaches_the_command_and_the_shell(shell: str, enter: Any) -> None:
    child = enter(shell)
    child.sendline("env watch")
    child.expect_exact("ready")
    child.setwinsize(31, 71)
    child.expect_exact("now 71 31")
    assert child.answer("env true; echo $COLUMNS; stty size").split() == ["71", "31", "71"]


def test_ctrl_c_takes_the_line_and_not_the_shell(shell: str, enter: Any) -> None:
    child = enter(shell)
    child.send("exit 9")
    child.expect("exit .*9")
    child.sendintr()
    # Any fish may miss it while it draws a line, and says nothing where there is none.
    while shell == "fish" and child.expect_exact(["^C", pexpect.TIMEOUT], timeout=2):
        child.sendintr()
    child.expect_exact("(demo) ")
    assert child.answer("hello") == "hello"
    child.sendline("exit 4")
    assert child.ended() == 4


def test_a_stopped_job_goes_on_behind(shell: str, enter: Any, place: Any) -> None:
    child = enter(shell)
    child.sendline("env wait")
    child.expect_exact("ready")
    child.sendcontrol("z")
    child.expect_exact("(demo) ")
    assert re.search("(?i)stopped|suspended", child.answer("jobs"))
    assert child.answer("bg > /dev/null 2>&1; hello").endswith("hello")
    (place.project / "fifo").write_text("a line\n")
    child.expect_exact("got a line")
    assert child.answer("hello").startswith("hello")
    child.sendline("exit 6")
    assert child.ended() == 6


def test_the_end_of_input_leaves_with_the_last_status(shell: str, enter: Any) -> None:
    child = enter(shell)
    child.sendline("sh -c 'echo mar\"\"ker; exit 3'")
    child.expect_exact("marker\r\n")
    child.expect_exact("(demo) ")
    child.sendeof()
    # fish has 0 for it, whatever came before.
    assert child.ended() == (0 if shell == "fish" else 3)


def test_a_terminal_that_is_gone_ends_the_shell(shell: str, enter: Any, tmp_path: Path) -> None:
    child = enter(shell)
    os.kill(child.pid, signal.SIGHUP)
    child.expect(pexpect.EOF)
    child.close()
    assert not child.isalive()


@pytest.mark.programs("bash", "zsh", "fish")
def test_shells_of_three_kinds_unwind_with_their_codes(enter: Any, make_generation: Any) -> None:
    make_generation({"inner": "#!/bin/sh\n"}, environment="ci")
    child = enter("bash")
    variables = "env | sort | grep -v -e ^_= -e ^SHLVL="
    first = child.answer(variables)
    child.sendline(f"{PROGRAM} -e ci shell --shell zsh")
    child.expect_exact("(demo.ci) ")
    second = child.answer(variables)
    child.sendline(f"{PROGRAM} shell --shell fish")
    child.expect_exact("(demo) ")
    assert child.answer("printenv ENVTOOL_SHELL") == "demo"
    child.sendline("exit 11")
    child.expect_exact("(demo.ci) ")
    assert child.answer("echo $?") == "0", "of the echo before it"
    assert child.answer(variables) == second
    child.sendline("exit 12")
    child.expect_exact("(demo) ")
    child.sendline('echo "co""de $?"')
    assert child.line("code") == "code 12"
    assert child.answer(variables) == first
    child.sendline("exit 13")
    assert child.ended() == 13
