"""What a file or folder of another tool asks for, whatever tool that is."""

import os
from collections.abc import Callable, Mapping

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.declaration import PathSource
from envtool.formats.declarations.editing.requirements import add_requirements
from envtool.formats.declarations.editing.template import template
from envtool.formats.declarations.requirement import name_of, normalised, python_specifier
from envtool.formats.declarations.toml_text import basic_string
from envtool.formats.foreign import conda, imported, locks, poetry, requirements_txt
from envtool.formats.foreign.carried import Carried, pinned, sorted_out
from envtool.machine.local import project_name
from envtool.machine.project import read_text
from envtool.sources.venv import Installed, read_venv

__all__ = ["KINDS", "carry", "declare"]

KINDS = (
    "requirements.txt, environment.yml, poetry.lock, uv.lock, Pipfile.lock, "
    "a virtual environment, a notebook or script"
)
"""What can be carried over, in words."""
_INSTALLERS = frozenset({"pip", "setuptools", "wheel", "uv"})


def carry(path: str) -> Carried:
    """Return what a declaration takes over from a file or folder; its name says of which tool.

    :raises DeclarationError: it cannot be read, or is of no tool that is known.
    """
    if os.path.isdir(path):
        return _of_venv(path)
    name = os.path.basename(path)
    read = next((read for ending, read in _READERS.items() if name.endswith(ending)), None)
    if read is None:
        raise DeclarationError(
            [Fault(path, None, "", f"of no tool that is known; expected {KINDS}")]
        )
    return read(path)


def _requirements(path: str) -> Carried:
    folder = os.path.dirname(path)
    return requirements_txt.parse(
        read_text(path),
        lambda inner: read_text(os.path.join(folder, inner)),
        os.path.basename(path),
    )


def _beside(path: str, name: str) -> str | None:
    other = os.path.join(os.path.dirname(path), name)
    return read_text(other) if os.path.exists(other) else None


def _siblings(path: str) -> list[str]:
    """Return the modules that lie beside a notebook or script."""
    folder = os.path.dirname(path) or "."
    return [
        name.removesuffix(".py")
        for name in os.listdir(folder)
        if name.endswith(".py") or os.path.isdir(os.path.join(folder, name))
    ]


_READERS: Mapping[str, Callable[[str], Carried]] = {
    ".txt": _requirements,
    ".in": _requirements,
    ".yml": lambda path: conda.parse(read_text(path), path),
    ".yaml": lambda path: conda.parse(read_text(path), path),
    "poetry.lock": lambda path: poetry.parse_poetry_lock(
        read_text(path), _beside(path, "pyproject.toml"), path
    ),
    "uv.lock": lambda path: locks.parse_uv_lock(read_text(path), path),
    "Pipfile.lock": lambda path: locks.parse_pipfile_lock(
        read_text(path), _beside(path, "Pipfile"), path
    ),
    ".ipynb": lambda path: imported.parse_notebook(read_text(path), _siblings(path), path),
    ".py": lambda path: imported.parse_script(read_text(path), _siblings(path)),
}


def _of_venv(folder: str) -> Carried:
    """Return what a virtual environment was asked for, at the versions that it has.

    Where no installer has noted what was asked for, or, as uv does, has noted it of everything,
    that is what nothing else there requires.
    """
    venv = read_venv(folder)
    there = [each for each in venv.installed if normalised(each.name) not in _INSTALLERS]
    asked = [each for each in there if each.requested]
    if len(asked) in {0, len(there)}:
        required = {name_of(text) for each in there for text in _plain(each)}
        asked = [each for each in there if normalised(each.name) not in required] or there
    projects = tuple((each.editable, True) for each in asked if each.editable)
    good, wrong = sorted_out(
        [each.url or pinned(each.name, each.version) for each in asked if not each.editable]
    )
    return Carried(good, venv.python, projects, left=wrong)


def _plain(installed: Installed) -> list[str]:
    """Return what is required without an extra being asked for."""
    return [text for text in installed.requires if "extra ==" not in text.replace("'", '"')]


def declare(name: str, carried: Carried, python: str, folder: str) -> tuple[str, tuple[str, ...]]:
    """Return an envtool.toml that asks for what was carried over, and all that was left.

    `python` holds where the other tool says nothing; `folder` is where paths count from, and
    where the envtool.toml will lie.

    :raises DeclarationError: a local project has no name.
    """
    left = list(carried.left)
    text = template(name, _python(carried, left) or python, "envtool.toml")
    if carried.index:
        text = text.replace("\n\n", f"\nindex = {basic_string(carried.index)}\n\n", 1)
    if carried.variables:
        said = "".join(f"{key} = {basic_string(word)}\n" for key, word in carried.variables)
        text += f"\n[vars]\n{said}"
    sources = {
        project_name(os.path.join(folder, path)): PathSource(path, editable=editable)
        for path, editable in carried.projects
    }
    text = add_requirements(
        text,
        kind="envtool.toml",
        requirements=[*carried.requirements, *sources],
        sources=sources,
        file="envtool.toml",
    )
    return text, tuple(left)


def _python(carried: Carried, left: list[str]) -> str | None:
    if carried.python is None:
        return None
    try:
        python_specifier(carried.python, bare=True)
    except ValueError as error:
        left.append(f"Python: {error}")
        return None
    return carried.python
