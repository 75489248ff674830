"""What a kernel does with a notebook, a lock or a place that is not as it should be."""

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat as untyped
import pytest

from envtool.errors import KernelError
from envtool.formats.lock import render
from envtool.kernel.headless.running import run_notebook
from envtool.kernel.specs import kernelspec
from envtool.machine import project as projects
from envtool.machine.metadata import delete_tree
from envtool.machine.settings import load
from envtool.values import replace
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import (  # noqa: TID251 - tests/kernel, not kernel/
        Declare,
        OpenInLab,
        Start,
        WriteNotebook,
    )

nbformat: Any = untyped
LIMIT = 60
BLOCK = '# /// script\n# dependencies = ["{}"]\n# ///\n'
CODE = "import sys; from envtool.kernel.launcher import main; sys.exit(main())"


# Notebooks


def test_a_notebook_without_metadata_runs_in_what_its_cell_declares(
    workspace: Workspace, open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("bare.ipynb", BLOCK.format("tomli"))
    told = json.loads(path.read_text())
    del told["metadata"]
    path.write_text(json.dumps(told))
    workspace.allow(open_project("/", file=str(path)))
    assert open_in_lab(path).printed("import tomli; print(tomli.__name__)") == "tomli\n"


def test_an_unknown_key_is_told_with_its_place(
    open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    own = {"declaration": {"dependecies": ["tomli"]}}
    path = notebook("key.ipynb", "1", envtool=own)
    content, _ = open_in_lab(path).run("1")
    assert content["ename"] == "DeclarationError"
    assert "dependecies" in content["evalue"]
    assert str(path) in content["evalue"]


def test_a_notebook_of_a_million_cells_is_read_in_bounded_time_and_memory(
    workspace: Workspace, tmp_path: Path
) -> None:
    assert workspace
    cell = '{"cell_type":"code","metadata":{},"outputs":[],"source":["print(1)"]}'
    first = nbformat.v4.new_code_cell(BLOCK.format("tomli"))
    path = tmp_path / "long.ipynb"
    cells = ",".join([json.dumps(first), *[cell] * 1_000_000])
    path.write_text(f'{{"cells":[{cells}],"metadata":{{}},"nbformat":4,"nbformat_minor":5}}')
    code = (
        "import os, resource, sys\n"
        "from envtool.kernel.goal import Found\n"
        "goal = Found(os.environ, '/', 1)\n"
        "assert goal.entry() is None\n"
        "print(goal.project.path)\n"
    )
    limits = {resource.RLIMIT_AS: 2_000_000_000, resource.RLIMIT_CPU: 30}

    def limit() -> None:
        for what, most in limits.items():
            resource.setrlimit(what, (most, most))

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "JPY_SESSION_NAME": str(path)},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{path}\n", "")


# Locks


def test_a_lock_of_another_declaration_decides_nothing(
    workspace: Workspace, open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("moved.ipynb", BLOCK.format("six"))
    project = open_project("/", file=str(path))
    workspace.lock(project)
    old = json.loads(path.read_text())["metadata"]
    notebook(path, BLOCK.format("tomli"), **old)
    kernel = open_in_lab(path)
    content, _ = kernel.run("1")
    assert "no lock pins what it requires" in content["evalue"]
    workspace.allow(project)
    kernel.restart()
    assert kernel.printed("import tomli; print(tomli.__name__)") == "tomli\n"


def test_a_lock_of_another_platform_is_told_and_what_to_do(
    workspace: Workspace, open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("foreign.ipynb", BLOCK.format("debugpy"))
    project = open_project("/", file=str(path))
    lock, _ = workspace.lock(project)
    packages = [
        replace(
            each,
            wheels=[
                replace(wheel, filename=wheel.filename.replace("manylinux", "macosx"))
                for wheel in each.wheels
                if each.name != "debugpy" or "none-any" not in wheel.filename
            ],
        )
        for each in lock.packages
    ]
    text = render(replace(lock, packages=packages))
    projects.write_lock_text(str(path), project.kind, "default", text)
    content, _ = open_in_lab(path).run("1")
    assert content["ename"] == "LockError"
    assert "debugpy" in content["evalue"]
    assert "has nothing that fits: its wheels are for macosx" in content["evalue"]


def test_a_lock_that_is_damaged_is_told(
    open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("damaged.ipynb", BLOCK.format("six"), envtool={"lock": ["no lock"]})
    content, _ = open_in_lab(path).run("1")
    assert content["ename"] == "KernelError"
    assert "no lock pins what it requires" in content["evalue"]


# Places


@pytest.fixture
def unbuilt(workspace: Workspace, declare: "Declare") -> str:
    return declare("fell", 'dependencies = ["ipykernel"]\n').path


def test_a_port_that_somebody_else_has_ends_the_kernel_with_a_reason(
    unbuilt: str, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        names = ("shell", "iopub", "stdin", "control", "hb")
        told: dict[str, Any] = {f"{name}_port": 0 for name in names}
        told |= {
            "transport": "tcp",
            "ip": "127.0.0.1",
            "key": "k",
            "signature_scheme": "hmac-sha256",
        }
        told["control_port"] = taken.getsockname()[1]
        file = tmp_path / "connection.json"
        file.write_text(json.dumps(told))
        argv = [sys.executable, "-c", CODE, "--declaration", unbuilt, "-f", str(file)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"tcp://127.0.0.1:{told['control_port']} cannot be bound" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_deleted_under_a_running_kernel_is_made_again_by_a_restart(
    jupyter: Path, start: "Start", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jupyter
    monkeypatch.setenv("ENVTOOL_ROOT", str(tmp_path / "own"))
    monkeypatch.setenv("ENVTOOL_FSYNC", "0")
    workspace = Workspace(load(os.environ))
    (tmp_path / "envtool.toml").write_text('dependencies = ["ipykernel", "iniconfig"]\n')
    project = open_project(str(tmp_path))
    workspace.switch(project)
    kernel = start(kernelspec.install(workspace, project).name)
    kernel.printed("import iniconfig")
    delete_tree(workspace.settings.store)
    assert kernel.printed("print(iniconfig.__name__)") == "iniconfig\n"
    assert kernel.run("import ipykernel.gui.gtk3embed")[0]["ename"] == "ModuleNotFoundError"
    assert kernel.run("%envtool status")[0]["status"] == "ok"
    kernel.restart()
    assert kernel.printed("import iniconfig; print(iniconfig.__name__)") == "iniconfig\n"


def offer(jupyter: Path, before: str, *words: str) -> str:
    """Write a kernelspec whose launcher has something done to it first, and return its name."""
    folder = jupyter / "kernels" / "hindered"
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-c", f"{before}; {CODE}", *words, "-f", "{connection_file}"]
    told = {"argv": argv, "display_name": "h", "language": "python", "interrupt_mode": "message"}
    (folder / "kernel.json").write_text(json.dumps(told))
    return folder.name


def test_where_no_connection_file_can_be_written_a_cell_tells_it(
    unbuilt: str, jupyter: Path, start: "Start"
) -> None:
    before = "import tempfile; tempfile.tempdir = '/proc'"
    kernel = start(offer(jupyter, before, "--declaration", unbuilt))
    content, _ = kernel.run("1")
    assert content["ename"] == "KernelError"
    assert "/proc" in content["evalue"]
    assert kernel.run("1")[0]["execution_count"] == 2


def test_a_run_that_can_write_no_connection_file_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, notebook: "WriteNotebook"
) -> None:
    path = notebook("run.ipynb", BLOCK.format("tomli"))
    project = open_project("/", file=str(path))
    workspace.switch(project)
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    with pytest.raises(KernelError, match="folder for the kernel's sockets"):
        run_notebook(workspace, project)


def test_a_bug_of_ours_is_told_by_a_kernel_that_stays(
    unbuilt: str, jupyter: Path, start: "Start"
) -> None:
    before = (
        "from envtool.kernel.relay.relay import _Relay\n"
        "execute = _Relay._execute\n"
        "def fail(self, request):\n"
        "    _Relay._execute = execute\n"
        "    raise ZeroDivisionError('of ours')\n"
        "_Relay._execute = fail\n"
        "pass"
    )
    client = start(offer(jupyter, before, "--declaration", unbuilt)).client
    client.execute("1")  # lost with the relay that had it
    client.wait_for_ready(timeout=LIMIT)
    content = client.execute("1", reply=True, timeout=LIMIT)["content"]
    assert content["evalue"] == "ZeroDivisionError: of ours\nThis is a bug in envtool."
