"""A notebook in a browser: its environment is built before one's eyes, changed, and led back."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat as untyped
import pytest
from playwright.sync_api import expect

from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from browser.conftest import Open, Sheet
    from fixtures.index import Index
    from fixtures.wheels import MakeWheel

pytestmark = pytest.mark.programs("chromium")
nbformat: Any = untyped
BLOCK = """# /// script
# dependencies = ["tarn @ {url}"]
# ///
import tarn

print("deep", tarn.DEPTH)"""
WHEEL = "tarn-1.0-py3-none-any.whl"
FIRST, ADD, USE, BACK = "import tarn", "%envtool add iniconfig", "import iniconfig", "%envtool roll"


@pytest.fixture
def notebook(workspace: Workspace, index: "Index", make_wheel: "MakeWheel", desk: Path) -> Path:
    """Return a notebook that a stranger sent, with a lock; a file of it is slow to come."""
    wheel = make_wheel("tarn", files={"tarn.py": "DEPTH = 31\n", "tarn.bin": os.urandom(200_000)})
    cell = nbformat.v4.new_code_cell(BLOCK.format(url=index.add(wheel)))
    spec = {"name": "envtool", "display_name": "envtool", "language": "python"}
    path = desk / "tarn.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": spec}), path)
    workspace.lock(open_project("/", file=str(path)))
    index.behaviour[f"/files/{WHEEL}"] = "pause"
    return path


def see_it_built(sheet: "Sheet", index: "Index") -> None:
    """Run the first cell, which tells how far its environment is until that is there."""
    sheet.run(FIRST)
    shown = sheet.output(FIRST)
    expect(shown).to_contain_text("building the environment of tarn.ipynb")
    expect(shown).to_contain_text("tarn 1.0")
    expect(shown.locator("progress").first).to_be_visible()
    index.released.set()
    expect(shown).to_have_text("deep 31\n")


def texts(path: Path) -> list[tuple[str, list[str]]]:
    """Return the cells of a file, each with the kinds of its outputs."""
    cells = nbformat.read(path, as_version=4).cells
    return [(cell.source, [output.output_type for output in cell.outputs]) for cell in cells]


def test_a_notebook_is_built_changed_and_led_back_in_jupyterlab(
    notebook: Path, index: "Index", open_in: "Open"
) -> None:
    sheet = open_in(notebook)
    see_it_built(sheet, index)
    sheet.write(ADD, below=FIRST)
    expect(sheet.output(ADD)).to_contain_text("save the notebook first")
    sheet.save()
    sheet.run(ADD)
    expect(sheet.output(ADD)).to_contain_text("generation 2: +1")
    expect(sheet.output(ADD)).to_contain_text("no restart needed")
    sheet.choose("File", "Reload Notebook from Disk", "Reload")
    expect(sheet.cell(FIRST)).to_contain_text('"iniconfig"]')
    sheet.write(f"{USE}\niniconfig.__name__", below=FIRST)
    expect(sheet.output(USE)).to_have_text("'iniconfig'")
    sheet.write("%envtool rollback", below=USE)
    expect(sheet.output(BACK)).to_contain_text("iniconfig changes and is loaded")
    sheet.choose("Kernel", "Restart Kernel…", "Restart")
    sheet.run(USE)
    expect(sheet.output(USE)).to_contain_text("No module named 'iniconfig'")
    sheet.run(FIRST)
    expect(sheet.output(FIRST)).to_have_text("deep 31\n")
    sheet.save()
    (first, shown), (use, failed), (back, table), (add, refused) = texts(notebook)
    assert (shown, failed, table, refused) == (["stream"], ["error"], ["display_data"], ["error"])
    assert first.startswith('# /// script\n# dependencies = ["tarn @ http://127.0.0.1:')
    assert first.splitlines()[1].endswith(f'{WHEEL}", "iniconfig"]')
    assert (use, back, add) == (f"{USE}\niniconfig.__name__", "%envtool rollback", ADD)
    saved = nbformat.read(notebook, as_version=4)
    assert saved.cells[0].outputs[0].text == "deep 31\n"
    assert 'name = "iniconfig"' in "".join(saved.metadata.envtool.lock)


def test_notebook_7_shows_how_far_it_is_and_then_the_result(
    notebook: Path, index: "Index", open_in: "Open"
) -> None:
    sheet = open_in(notebook, "notebooks")
    see_it_built(sheet, index)
    sheet.save()
    assert [kinds for _, kinds in texts(notebook)] == [["stream"]]
