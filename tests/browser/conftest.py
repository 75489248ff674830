"""JupyterLab from an environment of its own, and Chromium before it.

Both are as users have them: the server comes from the package index by envtool itself, the browser
is Debian's, and what the tests do is what hands do: type, press, choose from a menu.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Protocol

import pytest
from playwright.sync_api import Browser, Locator, Page, Response, expect, sync_playwright

from envtool.kernel.specs import kernelspec
from envtool.machine.project import Project
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

LIMIT = 60
"""Seconds that anything on the page may take; only what is broken takes longer."""
SIZE = (1100, 940)
SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"
"""The notebook in front; JupyterLab opens those of the last time as well."""
CHROMIUM = shutil.which("chromium")
PROGRAM = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]
TOOLS = 'dependencies = ["jupyterlab", "notebook>=7"]\n'
SETTINGS = {
    "notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "themes": '{"theme": "JupyterLab %s"}',
}
"""No news from the makers, as a user may choose; and the theme."""

expect.set_options(timeout=LIMIT * 1000)


class Server:
    """A running Jupyter server, which serves one folder."""

    def __init__(self, tools: Project, folder: Path, environ: Mapping[str, str]) -> None:
        words = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
        words += [f"--ServerApp.root_dir={folder}"]
        self._process = subprocess.Popen(
            [*PROGRAM, "-C", tools.folder, "run", "jupyter", "lab", *words],
            cwd=folder,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self.root, self.token = self._address()
        # A server that nobody listens to stops at a full pipe.
        self._listener = Thread(target=lambda: self.log.extend(self._process.stderr or ()))
        self._listener.start()

    def _address(self) -> tuple[str, str]:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if found := re.search(r"(http://127\.0\.0\.1:\d+)/lab\?token=(\w+)", line):
                return found[1], found[2]
        raise AssertionError("".join(self.log))

    def url(self, name: str, face: str = "lab/tree") -> str:
        """Return where a file of the folder opens; `notebooks` is the face of Notebook 7."""
        return f"{self.root}/{face}/{name}?token={self.token}"

    def end(self) -> None:
        """Stop it, and the kernels with it."""
        self._process.terminate()
        self._process.wait(LIMIT)
        self._listener.join()
        assert self._process.stderr is not None
        self._process.stderr.close()


class Sheet:
    """A notebook on the page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.wait_for_selector(f"{SHOWN} .jp-Cell")
        # A front end that has no kernel yet passes over what is to be executed.
        expect(page.locator(f"{SHOWN} .jp-Toolbar-kernelName")).to_contain_text("envtool")
        page.wait_for_selector(f"{SHOWN} .jp-Notebook-ExecutionIndicator[data-status=idle]")

    def cell(self, source: str) -> Locator:
        """Return the code cell whose source has this text."""
        area = self.page.locator(".jp-InputArea-editor", has_text=source)
        return self.page.locator(f"{SHOWN} .jp-CodeCell").filter(has=area)

    def output(self, source: str) -> Locator:
        """Return what the cell shows below its source."""
        return self.cell(source).locator(".jp-OutputArea-output")

    def select(self, source: str) -> None:
        """Make a cell the one that keys are for."""
        self.cell(source).locator(".jp-InputPrompt").click()

    def run(self, source: str) -> None:
        """Execute a cell that is there."""
        self.select(source)
        self.page.keyboard.press("Control+Enter")

    def write(self, source: str, *, below: str) -> None:
        """Write a new cell below another one, and execute it."""
        self.select(below)
        self.page.keyboard.press("b")
        self.page.keyboard.press("Enter")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Control+Enter")

    def choose(self, menu: str, entry: str, answer: str | None = None) -> None:
        """Choose from a menu, and answer its question if there is one."""
        self.page.locator(".lm-MenuBar-item", has_text=re.compile(f"^{menu}$")).click()
        item = self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{entry}"))
        item.click()
        if answer is not None:
            self.page.locator(".jp-Dialog button", has_text=answer).click()
            self.page.locator(".jp-Dialog").wait_for(state="detached")

    def save(self) -> None:
        """Save, and wait until the server has written the file."""
        with self.page.expect_response(_is_save):
            self.page.keyboard.press("Control+s")

    def picture(self, path: Path) -> None:
        """Write what the page shows as a PNG."""
        self.page.screenshot(path=path)


def _is_save(answer: Response) -> bool:
    return answer.request.method == "PUT" and "/api/contents/" in answer.url


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Debian's Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Browser, url: str) -> Sheet:
    """Open a notebook in a window of its own."""
    width, height = SIZE
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(LIMIT * 1000)
    page.goto(url)
    return Sheet(page)


def settings_folder(folder: Path, theme: str = "Light") -> Path:
    """Write a user's settings of JupyterLab."""
    place = folder / "@jupyterlab" / "apputils-extension"
    place.mkdir(parents=True)
    for name, text in SETTINGS.items():
        (place / f"{name}.jupyterlab-settings").write_text(text.replace("%s", theme))
    return folder


# Fixtures


@pytest.fixture
def tools(workspace: Workspace, tmp_path: Path) -> Project:
    """Return the project whose environment has JupyterLab and Notebook."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "envtool.toml").write_text(TOOLS)
    project = open_project(str(folder))
    workspace.switch(project)
    return project


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def server(
    workspace: Workspace, tools: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Serve the folder `desk` of the test, for a user who has the generic kernel."""
    for name in ("DATA", "CONFIG", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / "jupyter" / name.lower()))
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(settings_folder(tmp_path / "settings")))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    kernelspec.install_generic(workspace)
    desk = tmp_path / "desk"
    desk.mkdir()
    running = Server(tools, desk, os.environ)
    yield running
    running.end()


@pytest.fixture
def desk(server: Server, tmp_path: Path) -> Path:
    return tmp_path / "desk"


class Open(Protocol):
    """Open a notebook of the folder in JupyterLab, or by another face of the server."""

    def __call__(self, path: Path, face: str = "lab/tree") -> Sheet: ...


@pytest.fixture
def open_in(server: Server, browser: Browser) -> Open:
    def begin(path: Path, face: str = "lab/tree") -> Sheet:
        return open_page(browser, server.url(path.name, face))

    return begin
