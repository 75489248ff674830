"""`%envtool` in an IPython that runs on a terminal, in a shell of the environment."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from envtool.machine.project import Project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import Declare  # noqa: TID251 - tests/kernel, not kernel/

PROGRAM = "import sys; from envtool.cli import main; sys.exit(main())"


@pytest.fixture
def project(workspace: Workspace, declare: "Declare") -> Project:
    found = declare("terminal", 'dependencies = ["ipython"]\n')
    workspace.switch(found)
    return found


@pytest.fixture
def ipython(project: Project, tmp_path: Path) -> Iterator["pexpect.spawn[str]"]:
    """Start IPython in a shell of the environment."""
    words = ["-c", PROGRAM, "-f", project.path, "shell", "--run", "ipython --simple-prompt"]
    child = pexpect.spawn(
        sys.executable,
        words,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "TERM": "dumb"},
        encoding="utf-8",
        timeout=60,
        dimensions=(40, 200),
    )
    child.expect_exact("In [1]: ")
    yield child
    child.close(force=True)


def said(ipython: "pexpect.spawn[str]", line: str, number: int) -> str:
    """Return what a line shows before the next prompt."""
    ipython.sendline(line)
    ipython.expect_exact(f"In [{number}]: ")
    return ipython.before or ""


def test_tables_are_text_and_what_is_added_can_be_imported(
    ipython: "pexpect.spawn[str]", project: Project
) -> None:
    assert "Error" not in said(ipython, "%load_ext envtool", 2)
    status = said(ipython, "%envtool status", 3)
    assert "runs in generation 1" in status
    assert project.path in status
    assert "<table>" not in status
    assert "declared" in said(ipython, "%envtool tree", 4)
    assert "generation 2: +1" in said(ipython, "%envtool add iniconfig", 5)
    assert "iniconfig" in said(ipython, "import iniconfig; print(iniconfig.__name__)", 6)
    assert 'dependencies = ["ipython", "iniconfig"]' in Path(project.path).read_text()


def test_a_shell_without_ipython_has_nothing_of_envtools(
    workspace: Workspace, without_kernel: Project
) -> None:
    assert workspace
    found = "python -c 'import importlib.util as u; print(u.find_spec(\"envtool\"))'"
    words = [sys.executable, "-c", PROGRAM, "-f", without_kernel.path, "shell", "--run", found]
    done = subprocess.run(
        words, cwd=without_kernel.folder, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("None\n", 0)
