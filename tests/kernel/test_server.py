"""The generic kernel under a real Jupyter Server, which has nothing of envtool beside it."""

import json
import os
import select
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat as untyped
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from envtool.kernel.specs import kernelspec
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import Declare  # noqa: TID251 - tests/kernel, not kernel/

nbformat: Any = untyped
LIMIT = 60
TOKEN = "t"
SERVE = """
import sys
from jupyter_server.serverapp import ServerApp
app = ServerApp.instance()
app.initialize(sys.argv[1:])
# Behind the one that listens, which comes behind the words that it does.
app.io_loop.add_callback(print, "ready", flush=True)
app.start()
"""
BLOCK = '# /// script\n# dependencies = ["{}"]\n# ///\n'
WHERE = "import os; print(os.environ['ENVTOOL_DECLARATION'], os.getpid())"


class Connection(HTTPConnection):
    """One to a socket that is a file, which nobody else can take as they can a port."""

    def __init__(self, place: str) -> None:
        super().__init__("localhost", timeout=LIMIT)
        self._place = place

    def connect(self) -> None:
        """Connect to the file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        self.sock.connect(self._place)


class Server:
    """A server at work in a folder, and what a front end asks it."""

    def __init__(self, python: str, folder: Path, place: str) -> None:
        self._socket = f"{place}/server"
        argv = [python, "-c", SERVE, "--no-browser", "--allow-root"]
        argv += [f"--ServerApp.sock={self._socket}", f"--IdentityProvider.token={TOKEN}"]
        self.process = subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self._clients: list[BlockingKernelClient] = []

    def ask(self, method: str, path: str, content: object = None) -> Any:
        """Return the JSON that a request of the REST API is answered with."""
        connection = Connection(self._socket)
        body = None if content is None else json.dumps(content)
        connection.request(method, f"/api/{path}", body, {"Authorization": f"token {TOKEN}"})
        response = connection.getresponse()
        assert response.status < 300, response.read()
        data = response.read()
        connection.close()
        return json.loads(data) if data else None

    def open(self, name: str) -> tuple[Any, BlockingKernelClient]:
        """Open a notebook; return its session and a client of its kernel."""
        told = {"path": name, "name": name, "type": "notebook", "kernel": {"name": "envtool"}}
        session = self.ask("POST", "sessions", told)
        return session, self.connect(session)

    def connect(self, session: Any) -> BlockingKernelClient:
        """Return a client of the kernel that a session has now."""
        folder = os.environ["JUPYTER_RUNTIME_DIR"]
        client = BlockingKernelClient(
            connection_file=f"{folder}/kernel-{session['kernel']['id']}.json"
        )
        client.load_connection_file()
        client.start_channels()
        self._clients.append(client)
        client.wait_for_ready(timeout=LIMIT)
        return client

    def restart(self, session: Any) -> BlockingKernelClient:
        """Restart the kernel of a session, and return a client of the new one."""
        self.ask("POST", f"kernels/{session['kernel']['id']}/restart")
        return self.connect(session)

    def end(self) -> None:
        """Leave nothing behind."""
        for client in self._clients:
            client.stop_channels()
        if self.process.poll() is None:
            for session in self.ask("GET", "sessions"):
                self.ask("DELETE", f"sessions/{session['id']}")
        self.process.kill()
        self.process.communicate()


def run(client: BlockingKernelClient, code: str) -> tuple[dict[str, Any], str]:
    """Execute a cell; return its reply and what it printed."""
    printed: list[str] = []

    def keep(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=LIMIT, output_hook=keep)
    return reply["content"], "".join(printed)


def notebook(path: Path, cell: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)]), path)
    return path


@pytest.fixture
def server(
    workspace: Workspace,
    declare: "Declare",
    jupyter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server]:
    """Start a server, itself in an environment of envtool's, and a generic kernel for it."""
    for name in [name for name in os.environ if name.startswith(("VSCODE_", "JPY_"))]:
        monkeypatch.delenv(name)
    assert jupyter
    generation, _ = workspace.switch(declare("server", 'dependencies = ["jupyter-server"]\n'))
    kernelspec.install_generic(workspace)
    python = f"{workspace.physical(generation.record.environment)}/bin/python"
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as place:
        started = Server(python, tmp_path, place)
        yield started
        started.end()


def test_a_renamed_notebook_keeps_consent_and_environment_over_a_restart(
    workspace: Workspace, server: Server, tmp_path: Path
) -> None:
    path = notebook(tmp_path / "old.ipynb", BLOCK.format("tomli"))
    workspace.allow(open_project("/", file=str(path)))
    session, client = server.open("old.ipynb")
    assert run(client, WHERE)[1].split()[0] == str(path)
    server.ask("PATCH", "contents/old.ipynb", {"path": "new.ipynb"})
    server.ask("PATCH", f"sessions/{session['id']}", {"path": "new.ipynb", "name": "new.ipynb"})
    client = server.restart(session)
    assert run(client, WHERE)[1].split()[0] == str(tmp_path / "new.ipynb")
    assert run(client, "import tomli; print(tomli.__name__)")[1] == "tomli\n"


def test_a_build_that_failed_is_tried_again_by_a_restart_and_by_nothing_else(
    workspace: Workspace, server: Server, tmp_path: Path
) -> None:
    path = notebook(tmp_path / "own.ipynb", BLOCK.format("envtool-has-no-such-package"))
    workspace.allow(open_project("/", file=str(path)))
    session, client = server.open("own.ipynb")
    counts = [run(client, "1")[0]["execution_count"] for _ in range(2)]
    assert counts == [1, 2]  # by one process: a kernel that ends is started again
    notebook(path, BLOCK.format("tomli"))
    client = server.restart(session)
    assert run(client, "import tomli; print(tomli.__name__)")[1] == "tomli\n"


@pytest.mark.parametrize("realised", [False, True], ids=["relay", "fast"])
def test_a_kernel_ends_with_its_server(
    workspace: Workspace, server: Server, tmp_path: Path, realised: bool
) -> None:
    path = notebook(tmp_path / "own.ipynb", BLOCK.format("tomli"))
    project = open_project("/", file=str(path))
    workspace.allow(project)
    if realised:
        workspace.switch(project)
    _, client = server.open("own.ipynb")
    kernel = os.pidfd_open(int(run(client, WHERE)[1].split()[1]))
    server.process.send_signal(signal.SIGKILL)
    ended, _, _ = select.select([kernel], [], [], LIMIT)
    os.close(kernel)
    assert ended == [kernel]
