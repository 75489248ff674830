"""The one kernel for every notebook: it finds out which environment it is to be."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat as untyped
import pytest

from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import (  # noqa: TID251 - tests/kernel, not kernel/
        Declare,
        OpenInLab,
        Session,
        Start,
        WriteNotebook,
    )

LIMIT = 60
nbformat: Any = untyped
BLOCK = '# /// script\n# dependencies = ["{}"]\n# ///\n'
WHERE = "import os; print(os.environ['ENVTOOL_DECLARATION'])"


def allow(workspace: Workspace, path: Path) -> None:
    workspace.allow(open_project("/", file=str(path)))


def test_the_spec_names_no_declaration(generic: str, jupyter: Path) -> None:
    spec = json.loads((jupyter / "kernels" / generic / "kernel.json").read_text())
    assert spec["argv"][1:] == ["-f", "{connection_file}"]
    assert not os.path.basename(spec["argv"][0]).startswith("python")
    assert spec["interrupt_mode"] == "message"
    assert "kernel_provisioner" not in spec["metadata"]


def test_a_notebook_that_jupyter_names_gets_what_it_declares(
    workspace: Workspace, declare: "Declare", open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    project = declare("moor", 'dependencies = ["ipykernel"]\n')
    path = notebook(Path(project.folder) / "own.ipynb", BLOCK.format("six"))
    allow(workspace, path)
    kernel = open_in_lab(path)
    assert kernel.printed(WHERE) == f"{path}\n"
    assert kernel.printed("import six; print(six.__name__)") == "six\n"


def test_a_notebook_that_declares_nothing_gets_its_projects_environment(
    workspace: Workspace, declare: "Declare", open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    project = declare("moor", 'dependencies = ["ipykernel"]\n')
    allow(workspace, Path(project.path))
    path = notebook(Path(project.folder) / "deep" / "plain.ipynb", "1")
    assert open_in_lab(path).printed(WHERE) == f"{project.path}\n"


def test_without_a_notebook_the_folder_says_which_project(
    generic: str, start: "Start", tmp_path: Path
) -> None:
    (tmp_path / "envtool.toml").write_text('dependencies = ["ipykernel"]\n')
    assert start(generic).printed(WHERE) == f"{tmp_path}/envtool.toml\n"


def test_what_declares_nothing_is_told_with_its_place_and_what_does_not_count(
    open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("deep/own.ipynb", "1", BLOCK.format("six"))
    content, _ = open_in_lab(path).run("1")
    assert f"there is no project in {path.parent} or above" in content["evalue"]
    assert f"{path}, cell 2:1: a `# /// script` block counts in the first" in content["evalue"]
    assert content["evalue"].endswith(f"or: envtool notebook init {path})")


def test_without_a_project_the_first_cell_says_what_it_needs(generic: str, start: "Start") -> None:
    kernel = start(generic)
    content, _ = kernel.run("1 + 1")
    assert content["status"] == "error"
    assert "nothing says which environment" in content["evalue"]
    code = BLOCK.format("six") + "import six; print(six.__name__)"
    assert kernel.printed(code) == "six\n"


def test_an_edited_notebook_gets_what_it_declares_now(
    workspace: Workspace, open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("edited.ipynb", BLOCK.format("ipykernel"))
    allow(workspace, path)
    kernel = open_in_lab(path)
    has_tomli = "from importlib.util import find_spec; print(find_spec('tomli') is not None)"
    assert kernel.printed(has_tomli) == "False\n"
    notebook(path, BLOCK.format("tomli~=2.0"))
    kernel.restart()
    assert kernel.printed("import tomli; print(tomli.__name__)") == "tomli\n"


def test_a_notebook_that_went_back_stays_there(
    workspace: Workspace, open_in_lab: "OpenInLab", tmp_path: Path, notebook: "WriteNotebook"
) -> None:
    path = notebook("back.ipynb", BLOCK.format("tomli"))
    project = open_project(str(tmp_path), file=str(path))
    workspace.switch(project)
    workspace.add(project, ["six"])
    workspace.rollback(project)
    code = "import os; print(os.environ['ENVTOOL_GENERATION'])"
    assert open_in_lab(path).printed(code) == "1\n"


# Of unknown origin


def test_what_no_lock_pins_waits_for_consent(
    workspace: Workspace, open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("stranger.ipynb", BLOCK.format("tomli"))
    kernel = open_in_lab(path)
    content, _ = kernel.run("1")
    assert content["status"] == "error"
    assert "no lock pins what it requires" in content["evalue"]
    assert f"envtool -f {path} allow" in content["evalue"]
    assert workspace.current(open_project("/", file=str(path))) is None
    allow(workspace, path)
    kernel.restart()
    assert kernel.printed("import tomli; print(tomli.__name__)") == "tomli\n"


def test_what_a_lock_pins_is_fetched_unasked(
    workspace: Workspace, open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("pinned.ipynb", BLOCK.format("tomli"))
    project = open_project("/", file=str(path))
    workspace.lock(project)
    assert open_in_lab(path).printed("import tomli; print(tomli.__name__)") == "tomli\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[tool.envtool.vars]\n# IPYTHONDIR = '.'", "it sets variables: IPYTHONDIR"),
        ("[tool.envtool.shell]\n# hook = 'date'", "it has a shell hook"),
    ],
)
def test_what_would_lead_the_kernel_waits_for_consent(
    workspace: Workspace,
    open_in_lab: "OpenInLab",
    line: str,
    reason: str,
    notebook: "WriteNotebook",
) -> None:
    block = BLOCK.format("tomli").replace("# ///\n", f"# {line}\n# ///\n")
    path = notebook("leading.ipynb", block)
    workspace.lock(open_project("/", file=str(path)))
    content, _ = open_in_lab(path).run("1")
    assert reason in content["evalue"]


def test_a_project_to_be_built_waits_for_consent(
    workspace: Workspace, open_in_lab: "OpenInLab", tmp_path: Path, notebook: "WriteNotebook"
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
    (tmp_path / "envtool.toml").write_text(
        'dependencies = ["ipykernel", "mine"]\n[sources]\nmine = { path = "mine" }\n'
    )
    workspace.lock(open_project(str(tmp_path)))
    content, _ = open_in_lab(notebook("plain.ipynb", "1")).run("1")
    assert "packages would be built from source: mine" in content["evalue"]


def test_what_was_denied_is_not_built(
    workspace: Workspace, open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("denied.ipynb", BLOCK.format("tomli"))
    project = open_project("/", file=str(path))
    workspace.lock(project)
    workspace.deny(project)
    content, _ = open_in_lab(path).run("1")
    assert "`envtool deny` was said about it" in content["evalue"]


# Bad input


BROKEN = {
    "not JSON": "{",
    "nbformat 3 is older than 4": '{"nbformat": 3, "worksheets": []}',
    "'cells' is not a list of cells": '{"nbformat": 4}',
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_notebook_that_is_none_is_told_in_the_cell(
    open_in_lab: "OpenInLab", tmp_path: Path, fault: str
) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_text(BROKEN[fault])
    content, _ = open_in_lab(path).run("1")
    assert content["ename"] == "DeclarationError"
    assert fault in content["evalue"]


def test_two_blocks_are_told_in_the_cell(
    open_in_lab: "OpenInLab", notebook: "WriteNotebook"
) -> None:
    path = notebook("two.ipynb", BLOCK.format("six") + "\n" + BLOCK.format("tomli"))
    content, _ = open_in_lab(path).run("1")
    assert "a second `# /// script` block" in content["evalue"]


# Clients as they are


CLIENTS = {
    "nbclient": ["-c", "from nbclient.cli import main; main()", "--inplace"],
    "nbconvert": ["-m", "nbconvert", "--to", "notebook", "--inplace", "--execute"],
    "papermill": ["-m", "papermill", "--no-progress-bar"],
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("realised", [False, True], ids=["relay", "fast"])
def test_a_headless_client_keeps_the_outputs_of_the_cells_only(
    generic: str,
    workspace: Workspace,
    client: str,
    realised: bool,
    notebook: "WriteNotebook",
) -> None:
    path = notebook("headless.ipynb", BLOCK.format("tomli") + "print(6 * 7)", "6 * 7")
    made = nbformat.read(path, as_version=4)
    made.metadata["kernelspec"] = {"name": generic, "display_name": "e", "language": "python"}
    nbformat.write(made, path)
    if realised:
        workspace.switch(open_project("/", file=str(path)), save_lock=False)
    words = [str(path)] * (2 if client == "papermill" else 1)
    argv = [sys.executable, *CLIENTS[client], *words]
    done = subprocess.run(argv, cwd=path.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = nbformat.read(path, as_version=4).cells[-2:]
    assert [(each.output_type, each.text) for each in first.outputs] == [("stream", "42\n")]
    assert [each.data["text/plain"] for each in second.outputs] == ["42"]
    assert [first.execution_count, second.execution_count] == [1, 2]


@pytest.fixture
def start_in_code(
    generic: str, start: "Start", monkeypatch: pytest.MonkeyPatch
) -> Callable[[], "Session"]:
    """Start the generic kernel as VS Code does, which does not name the notebook."""

    def begin() -> "Session":
        monkeypatch.setenv("VSCODE_PID", "1")
        return start(generic)

    return begin


def test_vs_code_gets_the_notebooks_environment_and_not_the_folders(
    workspace: Workspace,
    start_in_code: Callable[[], "Session"],
    tmp_path: Path,
    notebook: "WriteNotebook",
) -> None:
    (tmp_path / "envtool.toml").write_text('dependencies = ["ipykernel"]\n')
    path = notebook("code.ipynb", BLOCK.format("tomli"))
    allow(workspace, path)
    kernel = start_in_code()
    ports = json.loads(Path(kernel.manager.connection_file).read_text())
    for name in ("shell", "iopub"):
        with socket.socket() as taken, pytest.raises(OSError, match="in use"):
            taken.bind(("127.0.0.1", ports[f"{name}_port"]))
    probe = "try:\n import ipywidgets\nexcept ImportError:\n pass"
    told = (
        "import os as _\nif '__vsc_ipynb_file__' not in globals():\n"
        f"  __vsc_ipynb_file__ = {str(path)!r}\n"
    )
    for code in (probe, told):
        assert kernel.run(code, silent=True, store_history=False)[0]["status"] == "ok"
    kernel.client.kernel_info(reply=True, timeout=LIMIT)
    assert kernel.printed(WHERE) == f"{path}\n"
    assert kernel.printed("print(__vsc_ipynb_file__)") == f"{path}\n"


def test_vs_code_that_names_no_notebook_gets_the_folders_environment(
    workspace: Workspace,
    start_in_code: Callable[[], "Session"],
    tmp_path: Path,
    notebook: "WriteNotebook",
) -> None:
    (tmp_path / "envtool.toml").write_text('dependencies = ["ipykernel"]\n')
    notebook("code.ipynb", BLOCK.format("tomli"))
    allow(workspace, tmp_path / "envtool.toml")
    assert start_in_code().printed(WHERE) == f"{tmp_path}/envtool.toml\n"


def test_what_a_cell_declares_is_kept_no_longer_than_its_kernel_runs(
    workspace: Workspace, generic: str, start: "Start"
) -> None:
    kernel = start(generic)
    declaration = kernel.printed(BLOCK.format("tomli") + WHERE).strip()
    current = workspace.current(open_project("/", file=declaration))
    assert current is not None
    assert current[1].environment not in dict(workspace.gc_plan().dead)
    kernel.end()
    assert current[1].environment in dict(workspace.gc_plan().dead)


def test_a_cell_that_declares_nonsense_is_told_so_and_may_be_mended(
    generic: str, start: "Start"
) -> None:
    kernel = start(generic)
    content, _ = kernel.run("# /// script\n# dependecies = []\n# ///\n")
    assert content["ename"] == "DeclarationError"
    assert "dependecies" in content["evalue"]
    assert kernel.printed(BLOCK.format("six") + "print(1)") == "1\n"
