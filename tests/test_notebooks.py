"""The example notebooks run from top to bottom, and come out the same a second time.

The quickstart is run from a clean clone (test_docs.py).
"""

import re
from pathlib import Path
from typing import Any

import nbformat as untyped
import pytest

from envtool.formats.notebooks.comparing import Tolerance
from envtool.kernel.headless.preparing import Wanted
from envtool.kernel.headless.running import run_notebook
from envtool.kernel.headless.verifying import verify_notebooks
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

nbformat: Any = untyped
FOLDER = Path(__file__).parent.parent / "notebooks"
EXAMPLES = sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> Any:
    made = nbformat.read(path, as_version=4)
    nbformat.validate(made)
    return made


def text_of(notebook: Any, name: str) -> str:
    """Return the text of a cell's outputs."""
    (cell,) = [cell for cell in notebook.cells if cell.id == name]
    texts = [
        output.text if "text" in output else output.data["text/plain"] for output in cell.outputs
    ]
    return "".join(texts)


@pytest.fixture
def run(workspace: Workspace, tmp_path: Path) -> Any:
    """Run an example, which must stay as it is, and return the executed copy."""

    def perform(name: str) -> Any:
        path = FOLDER / f"{name}.ipynb"
        before = path.read_bytes()
        copy = tmp_path / "copy.ipynb"
        run_notebook(workspace, open_project("/", file=str(path)), Wanted(output=str(copy)))
        assert path.read_bytes() == before
        return read(copy)

    return perform


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_carries_neither_outputs_nor_a_lock(path: Path) -> None:
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)
    assert "envtool" not in notebook.metadata
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_tells_before_it_shows(path: Path) -> None:
    cells = read(path).cells
    assert cells[0].source.startswith("# ")
    targets = re.findall(r"\]\(([^)]+)\)", "".join(cell.source for cell in cells))
    assert [each for each in targets if not (FOLDER / each).exists()] == []


def test_generations_go_forward_and_back(run: Any) -> None:
    copy = run("generations")
    assert text_of(copy, "add").startswith("generation 2: +1\n")
    assert "Ladoga  17.7 billion" in text_of(copy, "use")
    assert "restart the kernel to enter it: tabulate" in text_of(copy, "older")
    assert text_of(copy, "still") == "True"
    assert text_of(copy, "rollback").startswith("generation 2: ~1\n")


def test_a_notebook_is_locked_shared_and_verified(run: Any) -> None:
    copy = run("lock-and-share")
    assert 'name = "tabulate"' in text_of(copy, "lock")
    assert text_of(copy, "check") == "ladoga.ipynb: the lock is up to date\n"
    assert "made by the lock it has" in text_of(copy, "show")
    assert text_of(copy, "verify").startswith("shared.ipynb: 1 cell, the same\n")
    (wrong,) = [cell for cell in copy.cells if cell.id == "wrong"]
    assert "- Saimaa      95.8\n" in wrong.outputs[0].text
    assert (
        wrong.outputs[1].evalue == "`envtool notebook verify shared.ipynb` ended with exit code 1"
    )


def test_data_are_those_of_the_hash(run: Any) -> None:
    copy = run("data-by-hash")
    (changed,) = [cell for cell in copy.cells if cell.id == "changed"]
    assert "is not what was promised" in changed.outputs[-1].evalue
    assert text_of(copy, "use").startswith("The water is warmest in August: 17.9 °C.\n")


@pytest.mark.namespaces
def test_a_program_of_debian_draws_for_python(run: Any) -> None:
    copy = run("system-package")
    web, ladder = (
        output.data["image/svg+xml"]
        for cell in copy.cells
        if cell.id in {"draw", "pipe"}
        for output in cell.outputs
    )
    assert (web.count('class="edge"'), ladder.count('class="edge"')) == (10, 6)
    assert text_of(copy, "root") == "{'dot': '/usr/bin/dot', 'tred': '/usr/bin/tred', 'git': None}"


@pytest.mark.parametrize(
    "name",
    [
        "generations",
        pytest.param("system-package", marks=pytest.mark.namespaces),
    ],
)
def test_an_example_comes_out_the_same_again(
    run: Any, workspace: Workspace, tmp_path: Path, name: str
) -> None:
    run(name)
    copy = open_project("/", file=str(tmp_path / "copy.ipynb"))
    (found,) = verify_notebooks(workspace, [copy], Tolerance())
    assert (found.is_same, found.is_same_closure) == (True, True), (found.error, found.cells)
