"""Let every client of kernels wait, at its default limits, while an environment is built for long.

`python tests/soak/patience.py [--seconds 170]`. Somebody else holds the store for that long, so
that no build gets beyond its beginning. Meanwhile nbclient (`jupyter execute`), nbconvert and
papermill run a notebook each, a browser's websocket waits at a real Jupyter Server, and VS Code's
start-up is replayed. Each must get the cell's output in the end, and notebooks must have saved
nothing else. Prints when each showed its first progress and had its result.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nbformat as untyped
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from envtool.kernel.specs.kernelspec import install_generic
from envtool.machine.settings import load
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

nbformat: Any = untyped
CELL = '# /// script\n# dependencies = ["tomli"]\n# ///\nimport tomli\nprint(6 * 7)'
CLIENTS = {
    "jupyter execute": ["-c", "from nbclient.cli import main; main()", "--inplace"],
    "nbconvert": ["-m", "nbconvert", "--to", "notebook", "--inplace", "--execute"],
    "papermill": ["-m", "papermill", "--no-progress-bar"],
}
SERVE = """
import sys
from jupyter_server.serverapp import ServerApp
app = ServerApp.instance()
app.initialize(sys.argv[1:])
app.io_loop.add_callback(lambda: print(app.port, flush=True))
app.start()
"""
LAUNCH_LIMIT = 60
"""VS Code's own, in seconds."""


class Clock:
    """Seconds since the clients began."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, who: str, what: str) -> None:
        """Print what came of a client by now."""
        print(f"{time.monotonic() - self._began:7.1f} s  {who:16} {what}", flush=True)  # noqa: T201 - what it is run for


def write_notebook(path: Path) -> None:
    """Write a notebook for the generic kernel."""
    kernelspec = {"name": "envtool", "display_name": "envtool", "language": "python"}
    cells = [nbformat.v4.new_code_cell(CELL), nbformat.v4.new_code_cell("6 * 7")]
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})
    path.parent.mkdir(exist_ok=True)
    nbformat.write(made, path)


async def headless(name: str, folder: Path, clock: Clock) -> None:
    """Have a client without a front end run a notebook."""
    path = folder / name.replace(" ", "-") / "long.ipynb"
    write_notebook(path)
    words = [str(path)] * (2 if name == "papermill" else 1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *CLIENTS[name], *words, cwd=path.parent, stderr=subprocess.PIPE
    )
    _, told = await process.communicate()
    assert process.returncode == 0, told.decode()
    first, second = nbformat.read(path, as_version=4).cells[-2:]
    assert [each.get("text") for each in first.outputs] == ["42\n"], first.outputs
    assert [each["data"]["text/plain"] for each in second.outputs] == ["42"], second.outputs
    clock.say(name, "its notebook has the outputs of its cells, and nothing else")


async def lab(python: str, path: Path, clock: Clock) -> None:
    """Open a notebook as JupyterLab does: a session, then a websocket."""
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--IdentityProvider.token=t"]
    server = await asyncio.create_subprocess_exec(
        *(python, "-c", SERVE, *options),
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert server.stdout is not None
    address = f"127.0.0.1:{int(await server.stdout.readline())}"
    headers = {"Authorization": "token t"}
    told = {"path": path.name, "name": "", "type": "notebook", "kernel": {"name": "envtool"}}
    asked = HTTPRequest(f"http://{address}/api/sessions", "POST", headers, json.dumps(told))
    session = json.loads((await AsyncHTTPClient().fetch(asked)).body)
    place = f"ws://{address}/api/kernels/{session['kernel']['id']}/channels"
    socket = await websocket_connect(HTTPRequest(place, headers=headers))
    clock.say("jupyter_server", "its websocket is open")
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "s"}
    header |= {"username": "u", "version": "5.3", "date": "2026-01-01T00:00:00Z"}
    content = {"code": CELL, "silent": False, "store_history": True, "user_expressions": {}}
    request = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    await socket.write_message(json.dumps({**request, "channel": "shell", "buffers": []}))

    async def messages() -> Any:
        data = await socket.read_message()
        assert data is not None, "the server closed the websocket"
        return json.loads(data)

    await follow("jupyter_server", header["msg_id"], messages, clock)
    server.kill()
    await server.wait()


async def code(path: Path, clock: Clock) -> None:
    """Start a kernel by VS Code's rules: ports, silent code, kernel_info, then the cell."""
    manager = AsyncKernelManager(kernel_name="envtool")
    await manager.start_kernel(cwd=str(path.parent), env={**os.environ, "VSCODE_PID": "1"})
    client = manager.client()
    assert isinstance(client, AsyncKernelClient)
    client.start_channels()
    await client.wait_for_ready(timeout=LAUNCH_LIMIT)
    probe = "try:\n import ipywidgets\nexcept ImportError:\n pass"
    for silent in (probe, f"__vsc_ipynb_file__ = {str(path)!r}"):
        options = {"silent": True, "store_history": False}
        await client.execute(silent, **options, reply=True, timeout=LAUNCH_LIMIT)
    clock.say("VS Code", "its silent code was answered")
    cell = client.execute(CELL)

    async def messages() -> Any:
        return await client.get_iopub_msg(timeout=None)

    await follow("VS Code", cell, messages, clock)
    client.stop_channels()
    await manager.shutdown_kernel(now=True)


async def follow(who: str, cell: str, messages: Callable[[], Awaitable[Any]], clock: Clock) -> None:
    """Say when a cell first shows something, and when it has its result."""
    shown = False
    while True:
        message = await messages()
        if message["parent_header"].get("msg_id") != cell:
            continue
        kind = message["header"]["msg_type"]
        assert kind != "error", message["content"]
        if kind == "display_data" and not shown:
            shown = True
            clock.say(who, "its cell shows the progress")
        if kind == "stream":
            assert message["content"]["text"] == "42\n", message["content"]
            clock.say(who, "its cell has the result")
            return


async def wait_for_all(workspace: Workspace, python: str, folder: Path, seconds: float) -> None:
    """Let all clients wait at once."""
    gate = workspace.store.exclusive()
    gate.__enter__()
    clock = Clock()

    async def release() -> None:
        await asyncio.sleep(seconds)
        clock.say("the store", "is free")
        gate.__exit__(None, None, None)

    await asyncio.gather(
        release(),
        *(headless(name, folder, clock) for name in CLIENTS),
        lab(python, folder / "lab" / "long.ipynb", clock),
        code(folder / "code" / "long.ipynb", clock),
    )


def prepare(folder: Path) -> tuple[Workspace, str]:
    """Return a root that holds what is needed, and the Python of a server."""
    os.environ |= {
        "ENVTOOL_ROOT": f"{folder}/root",
        "JUPYTER_DATA_DIR": f"{folder}/jupyter",
        "JUPYTER_RUNTIME_DIR": f"{folder}/run",
        "IPYTHONDIR": f"{folder}/ipython",
    }
    workspace = Workspace(load(os.environ))
    install_generic(workspace)
    declaration = folder / "server" / "envtool.toml"
    declaration.parent.mkdir()
    declaration.write_text('dependencies = ["jupyter-server", "ipykernel", "tomli"]\n')
    generation, _ = workspace.switch(open_project(str(declaration.parent)))
    for name in ("lab", "code"):  # else what somebody opens waits for consent
        path = folder / name / "long.ipynb"
        write_notebook(path)
        workspace.allow(open_project("/", file=str(path)))
    return workspace, f"{workspace.physical(generation.record.environment)}/bin/python"


def main() -> None:
    """Prepare what is needed, and wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=170)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envtool-soak-") as place:
        workspace, python = prepare(Path(place))
        asyncio.run(wait_for_all(workspace, python, Path(place), arguments.seconds))


if __name__ == "__main__":
    main()
