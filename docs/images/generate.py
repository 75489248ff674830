"""Take the pictures of JupyterLab that the documents show: real ones, of real notebooks.

    .venv/bin/python docs/images/generate.py [FOLDER [Dark]]

Needs Chromium and the network, and takes about a minute. The driver is that of tests/browser.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat as untyped

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser.conftest import TOOLS, Server, Sheet, chromium, open_page, settings_folder  # noqa: E402
from playwright.sync_api import FloatRect, Locator, expect  # noqa: E402

from envtool.kernel.specs import kernelspec  # noqa: E402
from envtool.machine.project import Project  # noqa: E402
from envtool.machine.settings import load  # noqa: E402
from envtool.workspace.entering import open_project  # noqa: E402
from envtool.workspace.workspace import Workspace  # noqa: E402

nbformat: Any = untyped
EXECUTED = re.compile(r"\[\d+\]")
SPEC = {"name": "envtool", "display_name": "envtool", "language": "python"}
MARGIN = 14
"""Pixels below what a picture is about."""
LAKES = [
    """# /// script
# dependencies = ["tabulate"]
# ///
from tabulate import tabulate

lakes = {"Ladoga": 17_700_000_000, "Onega": 9_720_000_000, "Saimaa": 4_377_000_000}
print(tabulate(lakes.items(), headers=["lake", "area in m²"]))""",
    "%envtool add humanize",
    """from humanize import intword

areas = {lake: intword(area) for lake, area in lakes.items()}
print(tabulate(areas.items(), headers=["lake", "area in m²"]))""",
    "%envtool generations",
]


def main(target: Path, theme: str) -> None:
    """Write every picture into a folder."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        scratch, desk = Path(folder), Path(folder) / "lake"
        desk.mkdir()
        environ = prepared(scratch, theme)
        workspace = Workspace(load(environ))
        server = Server(tools(workspace, scratch), desk, environ)
        try:
            with chromium() as browser:
                scenes = {
                    "quickstart": (quickstart(), show_building),
                    "lakes": (LAKES, show_magics),
                }
                for name, (cells, take) in scenes.items():
                    path = desk / f"{name}.ipynb"
                    write(path, cells)
                    workspace.lock(open_project("/", file=str(path)))
                    take(open_page(browser, server.url(path.name) + "&reset"), target)
        finally:
            server.end()


def prepared(scratch: Path, theme: str) -> dict[str, str]:
    """Return the variables of a user who has the generic kernel, and an empty root."""
    os.environ["ENVTOOL_ROOT"] = str(scratch / "root")
    os.environ["JUPYTERLAB_SETTINGS_DIR"] = str(settings_folder(scratch / "settings", theme))
    for name in ("DATA", "CONFIG", "RUNTIME"):
        os.environ[f"JUPYTER_{name}_DIR"] = str(scratch / "jupyter" / name.lower())
    kernelspec.install_generic(Workspace(load(os.environ)))
    return dict(os.environ)


def tools(workspace: Workspace, scratch: Path) -> Project:
    """Return the project that has JupyterLab."""
    (scratch / "tools").mkdir()
    (scratch / "tools" / "envtool.toml").write_text(TOOLS)
    project = open_project(str(scratch / "tools"))
    workspace.switch(project)
    return project


def quickstart() -> list[str]:
    """Return the cells of the example that need no scrolling."""
    cells = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4).cells
    return [cell.source for cell in cells if cell.id in {"declaration", "data"}]


def write(path: Path, cells: list[str]) -> None:
    """Write a notebook of code cells for the generic kernel."""
    made = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": SPEC}), path)


def picture(sheet: Sheet, last: Locator, path: Path) -> None:
    """Write a picture of the notebook, from its tab to the end of an element."""
    sheet.page.mouse.move(0, 0)
    panel = sheet.page.locator("#jp-main-dock-panel").bounding_box()
    end = last.bounding_box()
    assert panel is not None
    assert end is not None
    height = min(end["y"] + end["height"] + MARGIN, panel["y"] + panel["height"]) - panel["y"]
    clip: FloatRect = {"x": panel["x"], "y": panel["y"], "width": panel["width"], "height": height}
    sheet.page.screenshot(path=path, clip=clip)


def show_building(sheet: Sheet, target: Path) -> None:
    """Take what a first cell shows while its environment is built."""
    sheet.run("# /// script")
    expect(sheet.output("# /// script")).to_contain_text("unpacking")
    picture(sheet, sheet.cell("# /// script"), target / "building.png")


def show_magics(sheet: Sheet, target: Path) -> None:
    """Take an environment that changes from a cell."""
    for source in ("# /// script", "%envtool add", "from humanize", "%envtool generations"):
        sheet.run(source)
        expect(sheet.cell(source).locator(".jp-InputPrompt")).to_have_text(EXECUTED)
    picture(sheet, sheet.cell("%envtool generations"), target / "magics.png")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(Path(words[0]) if words else Path(__file__).parent, words[1] if words[1:] else "Light")
