"""Real environments with real kernels, in one root that all tests of a run share."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import nbformat as untyped
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from envtool.kernel.specs import kernelspec
from envtool.machine.project import Project
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

nbformat: Any = untyped
LIMIT = 60
"""Seconds that a kernel may take for one answer; only a broken one takes longer."""


class Session:
    """A started kernel and its client."""

    def __init__(self, name: str, folder: Path) -> None:
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(cwd=str(folder))
        client = self.manager.client()
        assert isinstance(client, BlockingKernelClient)
        self.client = client
        client.start_channels()
        client.wait_for_ready(timeout=LIMIT)

    def run(self, code: str, **options: Any) -> tuple[dict[str, Any], str]:
        """Execute a cell; return the content of its reply and what it printed on stdout."""
        printed: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, timeout=LIMIT, output_hook=keep, **options)
        return reply["content"], "".join(printed)

    def printed(self, code: str) -> str:
        """Return what a cell printed, which must succeed."""
        content, text = self.run(code)
        assert content["status"] == "ok", content
        return text.replace("\r\n", "\n")

    def restart(self) -> None:
        """Do what "Restart Kernel" of a client does; on return it is ready again."""
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=LIMIT)

    def end(self) -> None:
        """Leave nothing behind."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


class Start(Protocol):
    """Start the kernel of a kernelspec; it ends with the test."""

    def __call__(self, name: str) -> Session: ...


class WriteNotebook(Protocol):
    """Write a notebook of code cells, by its path below the test's folder; return where it is."""

    def __call__(self, path: str | Path, *cells: str, **metadata: Any) -> Path: ...


class OpenInLab(Protocol):
    """Start the generic kernel as Jupyter Server does for a notebook that is opened."""

    def __call__(self, path: Path) -> Session: ...


class Declare(Protocol):
    """Write an envtool.toml into a folder of the test and return its project."""

    def __call__(self, name: str, text: str) -> Project: ...


class Spec(Protocol):
    """Write a kernelspec whose launcher gets these words, and return its name."""

    def __call__(self, *words: str) -> str: ...


@pytest.fixture
def spec(jupyter: Path) -> Spec:
    """Write specs as they stand when what they name has changed since."""
    code = "import sys; from envtool.kernel.launcher import main; sys.exit(main())"

    def write(*words: str) -> str:
        folder = jupyter / "kernels" / "written"
        folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-c", code, *words, "-f", "{connection_file}"]
        told = {"argv": argv, "display_name": "w", "language": "python"}
        text = json.dumps({**told, "interrupt_mode": "message"})
        (folder / "kernel.json").write_text(text)
        return folder.name

    return write


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the Jupyter data folder of a user who has no kernels yet."""
    folder = tmp_path / "jupyter"
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    return folder


@pytest.fixture
def start(jupyter: Path, tmp_path: Path) -> Iterator[Start]:
    """Start kernels the way every client does: by the name of a kernelspec."""
    sessions: list[Session] = []

    def begin(name: str) -> Session:
        sessions.append(Session(name, tmp_path))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.end()


@pytest.fixture
def generic(workspace: Workspace, jupyter: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of the generic kernelspec, in a session that VS Code knows nothing of."""
    for name in [name for name in os.environ if name.startswith(("VSCODE_", "JPY_"))]:
        monkeypatch.delenv(name)
    return kernelspec.install_generic(workspace).name


@pytest.fixture
def open_in_lab(monkeypatch: pytest.MonkeyPatch, start: Start, generic: str) -> OpenInLab:
    def begin(path: Path) -> Session:
        monkeypatch.setenv("JPY_SESSION_NAME", str(path))
        return start(generic)

    return begin


@pytest.fixture
def notebook(tmp_path: Path) -> WriteNotebook:
    def write(path: str | Path, *cells: str, **metadata: Any) -> Path:
        made = [nbformat.v4.new_code_cell(cell) for cell in cells]
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=metadata), place)
        return place

    return write


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """Write declarations, each in a folder of its own."""

    def write(name: str, text: str) -> Project:
        folder = tmp_path / "projects" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "envtool.toml").write_text(text)
        return open_project(str(folder))

    return write


@pytest.fixture
def with_kernel(workspace: Workspace, declare: Declare) -> Project:
    """Return a project whose current generation has ipykernel."""
    project = declare("lake", 'dependencies = ["ipykernel"]\n')
    workspace.switch(project)
    return project


@pytest.fixture
def without_kernel(workspace: Workspace, declare: Declare) -> Project:
    """Return a project whose current generation holds nothing at all."""
    project = declare("bare", "dependencies = []\n")
    workspace.switch(project)
    return project


@pytest.fixture
def installed(workspace: Workspace, with_kernel: Project, jupyter: Path) -> str:
    """Return the name of a kernelspec that Jupyter finds."""
    return kernelspec.install(workspace, with_kernel).name
