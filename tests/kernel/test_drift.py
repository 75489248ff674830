"""A kernel of a generation that is no longer what is declared says so, beside all outputs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat as untyped
import pytest

from envtool.formats.lock import parse, render
from envtool.kernel.entry import entry
from envtool.kernel.headless.preparing import Wanted
from envtool.kernel.headless.running import run_notebook
from envtool.kernel.specs import kernelspec
from envtool.machine import project as projects
from envtool.machine.project import Project
from envtool.values import replace
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import Declare, Session, Start  # noqa: TID251 - tests/kernel, not kernel/

nbformat: Any = untyped
Message = dict[str, Any]


def forward(project: Project) -> str:
    return f"`envtool -f {project.path} switch` (in a cell: `%envtool switch`) goes forward to it"


def heard(kernel: "Session", code: str) -> tuple[list[str], list[str]]:
    """Execute a cell; return what was said beside all cells, and the cell's own outputs."""
    cell = kernel.client.execute(code)
    beside: list[str] = []
    outputs: list[str] = []
    while True:
        message: Message = kernel.client.get_iopub_msg(timeout=60)
        parent = message["parent_header"].get("msg_id")
        content = message["content"]
        if message["msg_type"] == "stream":
            (outputs if parent == cell else beside).append(content["text"])
        if parent == cell and content.get("execution_state") == "idle":
            return beside, outputs


@pytest.fixture
def changed(with_kernel: Project, installed: str) -> Project:
    """Return a project whose declaration asks for more than its generation has."""
    assert installed
    Path(with_kernel.path).write_text('dependencies = ["ipykernel", "six"]\n')
    return with_kernel


def test_it_is_said_once_and_in_no_output(changed: Project, installed: str, start: "Start") -> None:
    kernel = start(installed)
    text = f"envtool: envtool.toml has changed since generation 1: {forward(changed)}\n"
    assert heard(kernel, "print(1)") == ([text], ["1\n"])
    assert heard(kernel, "print(2)") == ([], ["2\n"])
    assert kernel.printed("import os; print(os.environ.get('ENVTOOL_NOTICE'))") == "None\n"


def test_silent_code_of_a_front_end_does_not_hear_it_first(
    changed: Project, installed: str, start: "Start"
) -> None:
    kernel = start(installed)
    kernel.run("1", silent=True, store_history=False)
    assert len(heard(kernel, "print(1)")[0]) == 1


def test_the_log_has_it_too(
    changed: Project, installed: str, start: "Start", capfd: pytest.CaptureFixture[str]
) -> None:
    start(installed)
    text = f"envtool-kernel: note: envtool.toml has changed since generation 1: {forward(changed)}"
    assert text in capfd.readouterr().err.splitlines()


def test_a_kernel_that_is_what_is_declared_has_nothing_to_say(
    installed: str, start: "Start", capfd: pytest.CaptureFixture[str]
) -> None:
    assert heard(start(installed), "print(1)") == ([], ["1\n"])
    assert "envtool-kernel: " not in capfd.readouterr().err


def test_status_says_it_until_the_kernel_went_forward(
    changed: Project, installed: str, start: "Start"
) -> None:
    kernel = start(installed)
    status = "print(get_ipython().run_line_magic('envtool', 'status'))"
    assert "envtool.toml has changed since generation 1" in kernel.printed(status)
    kernel.run("%envtool switch")
    assert "has changed since" not in kernel.printed(status)


def test_another_lock_of_the_same_declaration_is_told(
    workspace: Workspace, with_kernel: Project, installed: str, start: "Start"
) -> None:
    path, kind = with_kernel.path, with_kernel.kind
    text = projects.read_lock_text(path, kind)
    assert text is not None
    lock = parse(text, path=path)
    projects.write_lock_text(
        path, kind, "default", render(replace(lock, packages=lock.packages[:-1]))
    )
    beside, _ = heard(start(installed), "1")
    assert [each.partition(": `")[0] for each in beside] == [
        "envtool: the lock of envtool.toml has changed since generation 1"
    ]


def test_a_declaration_with_a_fault_stops_no_kernel_of_a_generation(
    with_kernel: Project, installed: str, start: "Start"
) -> None:
    Path(with_kernel.path).write_text("dependecies = []\n")
    (told,), outputs = heard(start(installed), "print(1)")
    assert told.startswith("envtool: envtool.toml has changed since generation 1: ")
    assert outputs == ["1\n"]


def test_a_project_that_was_rolled_back_stays_there_and_says_so(
    workspace: Workspace, with_kernel: Project, installed: str, start: "Start"
) -> None:
    workspace.add(with_kernel, ["six"])
    workspace.rollback(with_kernel)
    kernel = start(installed)
    (told,), outputs = heard(kernel, "import os; print(os.environ['ENVTOOL_GENERATION'])")
    assert "has changed since generation 1" in told
    assert outputs == ["1\n"]


def test_a_headless_client_logs_it_and_saves_nothing_of_it(
    changed: Project, installed: str, tmp_path: Path
) -> None:
    path = tmp_path / "plain.ipynb"
    cells = [nbformat.v4.new_code_cell("x = 1"), nbformat.v4.new_code_cell("print(x)")]
    kernelspec = {"name": installed, "display_name": "e", "language": "python"}
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernelspec})
    nbformat.write(made, path)
    argv = [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace", str(path)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "note: envtool.toml has changed since generation 1" in done.stderr
    outputs = [cell.outputs for cell in nbformat.read(path, as_version=4).cells]
    assert outputs == [[], [{"output_type": "stream", "name": "stdout", "text": "1\n"}]]
    assert "changed since" not in path.read_text()


def test_a_lock_that_is_none_is_said(workspace: Workspace, declare: "Declare") -> None:
    project = declare("fen", 'dependencies = ["ipykernel"]\n')
    workspace.switch(project)
    assert os.path.exists(f"{project.folder}/pylock.toml")
    Path(project.folder, "pylock.toml").write_text("no lock")
    found = entry(workspace, open_project(project.folder), os.environ)
    assert found is not None
    assert "generation 1 is not what is declared now" in found.environ["ENVTOOL_NOTICE"]


def test_outputs_of_another_closure_are_told_by_the_kernel_of_who_opens_the_notebook(
    workspace: Workspace,
    jupyter: Path,
    start: "Start",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert jupyter
    path = tmp_path / "made.ipynb"
    block = '# /// script\n# dependencies = ["tomli"]\n# ///\nprint(1)'
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(block)])
    nbformat.write(made, path)
    generic = kernelspec.install_generic(workspace).name
    project = open_project("/", file=str(path))
    run = run_notebook(workspace, project, Wanted(in_place=True))
    workspace.allow(project)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert heard(start(generic), "1") == ([], [])
    origin = run.environment.full()
    other = origin.replace("made-env", "other-env")
    path.write_text(path.read_text().replace(origin, f"{other}\\u001b[2J"))
    line = f"envtool: the outputs in made.ipynb were made in another closure: {other}\\x1b[2J\n"
    assert heard(start(generic), "1") == ([line], [])
