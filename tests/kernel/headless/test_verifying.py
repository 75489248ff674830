import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fixtures.notebooks import BLOCK, nbformat, write

from envtool.errors import DeclarationError, KernelError
from envtool.formats.notebooks.comparing import Tolerance
from envtool.kernel.headless.preparing import Wanted
from envtool.kernel.headless.running import run_notebook
from envtool.kernel.headless.verifying import Verified, verify_notebooks
from envtool.kernel.state import State, state_of
from envtool.machine.project import Project
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import Declare  # noqa: TID251 - tests/kernel, not kernel/

PLOTTING = """# /// script
# dependencies = ["matplotlib"]
# ///
import matplotlib.pyplot as plt
from matplotlib_inline.backend_inline import set_matplotlib_formats
%matplotlib inline
set_matplotlib_formats("png", "jpeg", "svg", "pdf")"""
DRAWING = """plt.plot([1, 3, 2], marker="o")
plt.fill_between([0, 2], [1, 2], hatch="/")
plt.show()"""
PALETTE = """import os
from io import BytesIO
from IPython.display import Image, display
from PIL.Image import frombytes
stream, grain = BytesIO(), bytes(128 + byte % 8 for byte in os.urandom(90 * 60))
frombytes("L", (90, 60), grain).quantize(4).save(stream, "PNG")
display(Image(stream.getvalue()))"""


def executed(workspace: Workspace, path: Path, *cells: str, output: str | None = None) -> Project:
    """Write and run a notebook, and return the copy's project."""
    done = run_notebook(workspace, write(path, *cells), Wanted(output=output))
    return open_project("/", file=done.output)


def change(project: Project, before: str, after: str) -> None:
    text = Path(project.path).read_text()
    assert before in text
    Path(project.path).write_text(text.replace(before, after))


def shown(project: Project) -> list[dict[str, Any]]:
    """Return what an executed notebook displays, by its form."""
    notebook = nbformat.read(project.path, as_version=4)
    return [
        output.data
        for cell in notebook.cells
        for output in cell.outputs
        if output.output_type == "display_data"
    ]


def verify(workspace: Workspace, project: Project) -> Verified:
    (found,) = verify_notebooks(workspace, [project], Tolerance())
    return found


def test_figures_of_matplotlib_come_out_again_in_every_form(
    workspace: Workspace, tmp_path: Path
) -> None:
    made = executed(workspace, tmp_path / "plot.ipynb", PLOTTING, DRAWING, PALETTE)
    again = executed(workspace, tmp_path / "again" / "plot.ipynb", PLOTTING, DRAWING, PALETTE)
    (before, noise), (after, other_noise) = map(shown, (made, again))
    assert set(before) >= {"image/png", "image/jpeg", "image/svg+xml", "application/pdf"}
    assert before["image/svg+xml"] != after["image/svg+xml"]
    assert noise["image/png"] != other_noise["image/png"]
    assert verify(workspace, made).is_same


def test_what_comes_out_again_is_the_same_in_the_very_closure(
    workspace: Workspace, tmp_path: Path
) -> None:
    copy = executed(workspace, tmp_path / "tarn.ipynb", BLOCK, "print(1 / 3)", "1 + 1")
    before = Path(copy.path).read_bytes()
    found = verify(workspace, copy)
    assert (found.is_same, found.is_same_closure, found.error) == (True, True, None)
    assert [cell.status for cell in found.cells] == ["same"] * 3
    assert Path(copy.path).read_bytes() == before


def test_a_copy_under_another_name_elsewhere_leads_to_the_same_closure(
    workspace: Workspace, tmp_path: Path
) -> None:
    other = tmp_path / "results" / "today.ipynb"
    other.parent.mkdir()
    copy = executed(workspace, tmp_path / "tarn.ipynb", BLOCK, output=str(other))
    assert verify(workspace, copy).is_same_closure


def test_an_output_that_differs_is_told_with_its_cell(workspace: Workspace, tmp_path: Path) -> None:
    copy = executed(workspace, tmp_path / "tarn.ipynb", BLOCK, "print('deep', 31)", "1 + 1")
    change(copy, "deep 31\\n", "deep 30\\n")
    found = verify(workspace, copy)
    assert not found.is_same
    assert found.is_same_closure
    assert [cell.status for cell in found.cells] == ["same", "differs", "same"]
    assert found.cells[1].differences == ("text on stdout differs\n- deep 30\n+ deep 31",)


def test_a_notebook_that_is_damaged_is_refused_with_all_its_faults(
    workspace: Workspace, tmp_path: Path
) -> None:
    copy = executed(workspace, tmp_path / "tarn.ipynb", BLOCK, "print('deep', 31)")
    change(copy, '"output_type": "stream"', '"output_type": 5')
    with pytest.raises(DeclarationError, match="cell 2: output 1: 'output_type' is not text"):
        verify(workspace, copy)


def test_cells_without_names_or_with_one_name_are_no_obstacle(
    workspace: Workspace, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    copy = executed(workspace, tmp_path / "tarn.ipynb", BLOCK, "print('deep', 31)")
    for names in ({"id": "a"}, {}):
        notebook = json.loads(Path(copy.path).read_text())
        notebook["cells"] = [
            {**{key: each for key, each in cell.items() if key != "id"}, **names}
            for cell in notebook["cells"]
        ]
        Path(copy.path).write_text(json.dumps(notebook))
        assert verify(workspace, copy).is_same
    assert recwarn.list == []


def test_a_notebook_that_fails_now_is_not_the_same(workspace: Workspace, tmp_path: Path) -> None:
    once = "import os\nos.mkdir('once')"
    copy = executed(workspace, tmp_path / "tarn.ipynb", BLOCK, once)
    found = verify(workspace, copy)
    assert not found.is_same
    assert found.error is not None
    assert found.error.message.startswith("cell 2 failed: FileExistsError")


def test_a_failure_that_comes_again_is_the_same(workspace: Workspace, tmp_path: Path) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK, "1 / 0", "2")
    with pytest.raises(KernelError):
        run_notebook(workspace, project)
    copy = open_project("/", file=str(tmp_path / "tarn.executed.ipynb"))
    found = verify(workspace, copy)
    assert (found.is_same, found.stopped, found.error) == (True, True, None)


def test_another_failure_is_told_beside_one_that_is_meant(
    workspace: Workspace, tmp_path: Path
) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK, "1 / 0", "import os\nos.mkdir('once')")
    notebook = nbformat.read(project.path, as_version=4)
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    nbformat.write(notebook, project.path)
    copy = open_project("/", file=run_notebook(workspace, project).output)
    found = verify(workspace, copy)
    assert [cell.status for cell in found.cells] == ["same", "same", "differs"]
    assert found.error is not None
    assert found.error.message.startswith("cell 3 failed: FileExistsError")


def test_without_a_record_nothing_can_be_verified(workspace: Workspace, tmp_path: Path) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK)
    with pytest.raises(KernelError, match="does not say what made its outputs") as caught:
        verify(workspace, project)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(f"envtool notebook run {project.path}")


def test_what_was_locked_anew_is_no_longer_what_made_the_outputs(
    workspace: Workspace, tmp_path: Path
) -> None:
    copy = executed(workspace, tmp_path / "tarn.ipynb", BLOCK)
    workspace.add(copy, ["iniconfig"])
    with pytest.raises(KernelError, match="was locked anew since its outputs were made"):
        verify(workspace, copy)


def test_after_a_project_moved_on_its_former_generation_verifies(
    workspace: Workspace, declare: "Declare"
) -> None:
    project = declare("lake", 'dependencies = ["ipykernel", "iniconfig"]\n')
    folder = Path(os.path.dirname(project.path))
    copy = executed(workspace, folder / "tarn.ipynb", "import iniconfig\nprint(6 * 7)")
    workspace.remove(project, ["iniconfig"])
    found = verify(workspace, copy)
    assert (found.is_same, found.is_same_closure, found.error) == (True, True, None)
    after = workspace.current(project)
    assert after is not None
    assert after[0] == 2


def test_what_ran_in_a_project_is_verified_there_and_nowhere_else(
    workspace: Workspace, declare: "Declare", tmp_path: Path
) -> None:
    project = declare("lake", 'dependencies = ["ipykernel"]\n')
    away, below = tmp_path / "away.ipynb", Path(os.path.dirname(project.path), "below.ipynb")
    copy = executed(workspace, below.with_name("tarn.ipynb"), "print(6 * 7)", output=str(away))
    with pytest.raises(KernelError, match="ran in the environment of a project") as caught:
        verify(workspace, copy)
    assert caught.value.hint == "put it back into the project's folder, and verify it there"
    away.rename(below)
    assert verify(workspace, open_project("/", file=str(below))).is_same_closure


def test_without_the_former_generation_another_closure_verifies_and_that_is_said(
    workspace: Workspace, declare: "Declare"
) -> None:
    project = declare("lake", 'dependencies = ["ipykernel"]\n')
    folder = Path(os.path.dirname(project.path))
    copy = executed(workspace, folder / "tarn.ipynb", "print(6 * 7)")
    workspace.add(project, ["six"])
    workspace.profile(project).delete([1])
    found = verify(workspace, copy)
    assert (found.is_same, found.is_same_closure) == (True, False)


# What a notebook carries


def state(workspace: Workspace, project: Project) -> State:
    return state_of(workspace, open_project("/", file=project.path))


def test_the_state_follows_a_notebook_from_declaration_to_outputs(
    workspace: Workspace, tmp_path: Path
) -> None:
    project = write(tmp_path / "tarn.ipynb", BLOCK, "1 + 1", "")
    fresh = state(workspace, project)
    assert (fresh.declares, fresh.requirements, fresh.lock) == ("cell", ("six",), "none")
    assert (fresh.cells, fresh.with_outputs, fresh.origin) == (3, 0, None)
    workspace.lock(project)
    locked = state(workspace, project)
    assert locked.lock == "answers"
    assert any(package.startswith("six 1") for package in locked.packages)
    run_notebook(workspace, project, Wanted(in_place=True))
    ran = state(workspace, project)
    assert (ran.with_outputs, ran.is_present, ran.is_current) == (1, True, True)
    change(project, '[\\"six\\"]', '[\\"six\\", \\"iniconfig\\"]')
    stale = state(workspace, project)
    assert (stale.lock, stale.is_current) == ("stale", False)


def test_a_notebook_that_declares_nothing_has_a_state_too(
    workspace: Workspace, tmp_path: Path
) -> None:
    found = state(workspace, write(tmp_path / "tarn.ipynb", "1"))
    assert (found.declares, found.lock, found.requirements) == ("nothing", "none", ())
