"""Runs apart from the machine: without network, or in an otherwise empty root."""

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from envtool.kernel.headless.preparing import Wanted
from envtool.kernel.headless.running import run_notebook
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from fixtures.index import Index

from fixtures.notebooks import BLOCK, PROGRAM, read, text_of, write


@pytest.mark.parametrize("isolated", [False, True])
def test_without_network_cells_reach_nobody(
    isolated: bool, workspace: Workspace, tmp_path: Path, index: "Index"
) -> None:
    host, port = urlsplit(index.root).netloc.split(":")
    reach = (
        "import socket\n"
        f"try:\n    socket.create_connection(({host!r}, {port})).close()\n    print('reached')\n"
        "except OSError as error:\n    print(type(error).__name__)"
    )
    project = write(tmp_path / "tarn.ipynb", BLOCK, reach)
    wanted = Wanted(network=False, isolated=isolated)
    copy = read(run_notebook(workspace, project, wanted).output)
    assert text_of(copy.cells[1]) == "ConnectionRefusedError\n"
    open_to_all = read(run_notebook(workspace, project).output)
    assert text_of(open_to_all.cells[1]) == "reached\n"


def test_isolated_cells_see_their_folder_and_nothing_of_the_home(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "data.txt").write_text("31")
    look = (
        "import os, sys\n"
        "print(open('data.txt').read(), os.path.exists('../outside'), os.listdir('/tmp') != [])\n"
        "print(os.environ['HOME'], sys.executable)"
    )
    cells = [BLOCK, look, "open('made.txt', 'w').write('made')", "x = bytearray(200_000_000)"]
    project = write(tmp_path / "inside" / "tarn.ipynb", *cells)
    done = run_notebook(workspace, project, Wanted(isolated=True))
    copy = read(done.output)
    environment = workspace.physical(done.environment)
    assert "31 False " in text_of(copy.cells[1])
    assert f"/tmp {environment}/bin/python\n" in text_of(copy.cells[1])
    assert (tmp_path / "inside" / "made.txt").read_text() == "made"
    assert copy.cells[3].metadata.envtool.memory > 200_000_000
    assert all(output.get("name") != "stderr" for cell in copy.cells for output in cell.outputs)


def test_an_isolated_kernel_ends_with_ctrl_c_and_leaves_nobody(
    workspace: Workspace, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "ready")
    cell = "import threading\nopen('ready', 'w').write('now')\nthreading.Event().wait()"
    write(tmp_path / "tarn.ipynb", BLOCK, cell)
    argv = [*PROGRAM, "notebook", "run", "--isolated", "tarn.ipynb"]
    with subprocess.Popen(
        argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert (tmp_path / "ready").read_text() == "now"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "the outputs up to there: tarn.executed.ipynb\n" in told
    assert "Traceback" not in told
