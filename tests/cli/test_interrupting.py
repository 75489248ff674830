"""Signals that end a command while a build is under way: soon, and with nothing left running."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from envtool.errors import SandboxError
from envtool.machine.isolating import sandbox

if TYPE_CHECKING:
    from cli.conftest import Place, Run, Spawn

START = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "mine"
version = "1.0"
"""
BACKEND = """
import os, signal, subprocess, sys

def build_editable(folder, config_settings=None, metadata_directory=None):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    held = os.open("held", os.O_WRONLY)
    subprocess.Popen(["sleep", "1000"], pass_fds=[held], start_new_session=True)
    os.write(held, b"building")
    signal.pause()
"""
"""Whoever reads the pipe hears its end once the last of all these processes is gone."""


def modes() -> list[Any]:
    try:
        sandbox.require(os.environ.get("PATH", os.defpath))
    except SandboxError:
        return ["off"]
    return ["off", "require"]


@pytest.fixture
def mine(place: "Place") -> Path:
    """Make a project whose build takes for ever, and has a process that nothing but a kill ends."""
    folder = place.home / "mine"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    os.mkfifo(folder / "held")
    return folder


class Held:
    """The pipe that a build's processes hold."""

    def __init__(self, mine: Path) -> None:
        self._pipe = os.open(mine / "held", os.O_RDONLY | os.O_NONBLOCK)

    def read(self, child: Any) -> bytes:
        """Return what they say next; nothing when none of them is left."""
        if not select.select([self._pipe], [], [], 20)[0]:
            child.expect(pexpect.TIMEOUT, timeout=0)
            raise AssertionError(child.before)
        return os.read(self._pipe, 100)


@pytest.fixture(params=modes())
def sandboxing(request: pytest.FixtureRequest, place: "Place") -> None:
    """Build without a sandbox, or in one."""
    place.environ |= {"ENVTOOL_SANDBOX": request.param}


@pytest.mark.usefixtures("sandboxing")
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_a_build_ends_with_the_command_and_nothing_of_it_is_left(
    name: str, mine: Path, place: "Place", spawn: "Spawn", envtool: "Run"
) -> None:
    declared = (place.project / "envtool.toml").read_bytes()
    number = signal.Signals[name]
    held = Held(mine)
    child = spawn("add", "--editable", str(mine), environ={"TERM": "dumb"})
    assert held.read(child) == b"building"
    if name == "SIGINT":
        child.sendintr()
    else:
        child.kill(number)
    child.expect(pexpect.EOF)
    assert held.read(child) == b""
    assert child.before.count("interrupted; everything done is valid") == 1
    assert "Traceback" not in child.before
    child.close()
    assert (child.exitstatus, child.signalstatus) == (128 + number, None)
    assert (place.project / "envtool.toml").read_bytes() == declared
    assert not (place.project / "pylock.toml").exists()
    assert envtool("generations", "--json").stdout.count('"number"') == 0
    assert json.loads(envtool("store", "verify", "--json").stdout)["problems"] == []


@pytest.mark.parametrize("between", ["", "\x03"])
def test_more_interrupts_change_nothing(between: str, mine: Path, spawn: "Spawn") -> None:
    held = Held(mine)
    child = spawn("add", "--editable", str(mine), environ={"TERM": "dumb"})
    assert held.read(child) == b"building"
    child.send("\x03" + between)
    while child.isalive():
        child.kill(signal.SIGINT)
    child.expect(pexpect.EOF)
    assert held.read(child) == b""
    assert (child.exitstatus, child.signalstatus) == (130, None)
    assert child.before.count("interrupted; everything done is valid") == 1
    assert "Traceback" not in child.before


def test_nohup_has_a_build_go_on(mine: Path, place: "Place") -> None:
    held = Held(mine)
    with subprocess.Popen(
        ["nohup", *START, "add", "--editable", str(mine)],
        cwd=place.project,
        env=place.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert held.read(None) == b"building"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
