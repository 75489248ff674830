"""Notebooks that change their own environment."""

from pathlib import Path

from fixtures.notebooks import BLOCK, read, text_of, write

from envtool.kernel.headless.running import run_notebook
from envtool.workspace.workspace import Workspace


def test_what_cells_change_is_a_stand_in_and_the_notebook_stays(
    workspace: Workspace, tmp_path: Path
) -> None:
    cells = [
        BLOCK,
        "%envtool add iniconfig",
        "import iniconfig, os\nprint(iniconfig.__name__, os.environ['ENVTOOL_PROJECT'])",
        "%envtool rollback",
        "%envtool status",
    ]
    project = write(tmp_path / "tarn.ipynb", *cells)
    before = Path(project.path).read_bytes()
    done = run_notebook(workspace, project)
    copy = read(done.output)
    assert text_of(copy.cells[2]) == f"iniconfig {tmp_path}\n"
    added, rolled, status = (copy.cells[at].outputs[0] for at in (1, 3, 4))
    assert added["data"]["text/plain"].startswith("generation 2: +1\n")
    assert "restart the kernel to enter it: iniconfig" in rolled["data"]["text/plain"]
    assert f"declaration  {project.path}\n" in status["data"]["text/plain"]
    assert Path(project.path).read_bytes() == before
    assert [each.number for each in workspace.generations(project)] == [1]
    again = read(run_notebook(workspace, project).output)
    assert again.cells[1].outputs == copy.cells[1].outputs


def test_data_that_a_run_fetches_are_the_notebooks(workspace: Workspace, tmp_path: Path) -> None:
    data = tmp_path / "lake.csv"
    data.write_text("31\n")
    cells = [
        BLOCK,
        "%envtool lock",
        f"path = %envtool fetch {data.as_uri()}\nprint(open(path).read())",
    ]
    project = write(tmp_path / "tarn.ipynb", *cells)
    assert "31\n" in text_of(read(run_notebook(workspace, project).output).cells[2])
    kept = Path(f"{workspace.settings.gcroots}/data{project.path}")
    assert [link.name.partition("-")[2] for link in kept.iterdir()] == ["lake.csv"]
