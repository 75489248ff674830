"""Which notebook a kernel was started for, and what declares its environment.

Nothing of the protocol says so. Jupyter Server sets JPY_SESSION_NAME to the notebook's path;
nbclient, nbconvert and papermill have it on their command lines; VS Code assigns it in the first
code that it executes, silently; and all but papermill start kernels in the notebook's folder.
"""

from __future__ import annotations

import os

from envtool.errors import DeclarationError
from envtool.machine.project import Project, find_above, read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["find_notebook", "find_project", "is_opened", "is_vscode", "notebook_told"]

_EXTENSION = ".ipynb"
_TOLD = r"(?m)^\s*__vsc_ipynb_file__\s*=\s*([\"'].*[\"'])\s*$"
_MARKS = ("# /// script", '"envtool"')
"""One of these stands in every notebook that declares something."""


def find_notebook(environ: Mapping[str, str], starter: int) -> str | None:
    """Return the absolute path of the notebook; None when nothing says it.

    `starter` is the process that starts the kernel.
    """
    for name in ("ENVTOOL_NOTEBOOK", "JPY_SESSION_NAME"):
        told = environ.get(name, "")
        if told.endswith(_EXTENSION) and os.path.isfile(told):
            return os.path.abspath(told)
    return None if environ.get("JPY_SESSION_NAME") else _on_command_line(starter)


def _on_command_line(process: int) -> str | None:
    """Return the first notebook that a process was started with."""
    try:
        folder = os.readlink(f"/proc/{process}/cwd")
        with open(f"/proc/{process}/cmdline", "rb") as file:
            words = file.read().decode("utf-8", "surrogateescape").split("\0")
    except OSError:
        return None
    for word in words:
        path = os.path.normpath(os.path.join(folder, word))
        if word.endswith(_EXTENSION) and os.path.isfile(path):
            return path
    return None


def find_project(folder: str, notebook: str | None) -> Project | None:
    """Return what declares the environment of a notebook, or of kernels started in a folder.

    :raises DeclarationError: a file that may declare it cannot be read.
    """
    if notebook is not None:
        from envtool.formats.declarations.notebook import declares

        if (kind := declares(read_text(notebook), file=notebook)) is not None:
            return Project(notebook, kind, "default")
        folder = os.path.dirname(notebook)
    found = find_above(folder)
    return None if found is None else Project(*found, "default")


def is_opened(environ: Mapping[str, str], notebook: str | None) -> bool:
    """Say whether a front end has opened a notebook, rather than a user had it executed."""
    if "ENVTOOL_NOTEBOOK" in environ:
        return False
    told = notebook is not None  # on a command line, if not by a server
    return "JPY_SESSION_NAME" in environ or (not told and _has_vscode(environ))


def _has_vscode(environ: Mapping[str, str]) -> bool:
    return any(name.startswith("VSCODE_") for name in environ)


def is_vscode(environ: Mapping[str, str], folder: str) -> bool:
    """Say whether VS Code starts the kernel, and may still tell a notebook that matters here."""
    if "JPY_SESSION_NAME" in environ or not _has_vscode(environ):
        return False
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return any(name.endswith(_EXTENSION) and _is_marked(f"{folder}/{name}") for name in names)


def _is_marked(path: str) -> bool:
    try:
        text = read_text(path)
    except DeclarationError:
        return False
    return any(mark in text for mark in _MARKS)


def notebook_told(code: str) -> str | None:
    """Return the notebook that VS Code's own code names; None when it names none."""
    import re

    match = re.search(_TOLD, code)
    if match is None:
        return None
    import ast

    try:
        told = ast.literal_eval(match[1])
    except (ValueError, SyntaxError):
        return None
    if isinstance(told, str) and os.path.isfile(told):
        return os.path.abspath(told)
    return None
