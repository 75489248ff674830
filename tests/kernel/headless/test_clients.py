"""The clients that people have, by the name of the installed kernelspec."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import Declare  # noqa: TID251 - tests/kernel, not kernel/

from fixtures.notebooks import PROGRAM, read, text_of, write


def test_jupyter_execute_runs_a_notebook_in_an_installed_kernel(
    workspace: Workspace, installed: str, tmp_path: Path
) -> None:
    write(tmp_path / "tarn.ipynb", "import sys\nprint(sys.executable)")
    argv = [sys.executable, "-m", "jupyter", "execute", "tarn.ipynb"]
    subprocess.run(
        [*argv, "--output=out.ipynb", f"--kernel_name={installed}"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert workspace.settings.store in text_of(read(str(tmp_path / "out.ipynb")).cells[0])


def test_papermill_of_one_environment_runs_a_notebook_in_the_kernel_of_another(
    workspace: Workspace, installed: str, declare: "Declare", tmp_path: Path
) -> None:
    write(tmp_path / "tarn.ipynb", "import sys\nprint(sys.executable)")
    tools = declare("tools", 'dependencies = ["papermill"]\n')
    argv = [*PROGRAM, "-C", os.path.dirname(tools.path), "run", "papermill"]
    places = [str(tmp_path / "tarn.ipynb"), str(tmp_path / "out.ipynb")]
    subprocess.run([*argv, "-k", installed, *places], check=True, capture_output=True)
    copy = read(str(tmp_path / "out.ipynb"))
    assert workspace.settings.store in text_of(copy.cells[0])
    assert copy.metadata.papermill.exception is None
