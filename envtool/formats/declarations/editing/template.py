"""The declarations that `envtool init` begins with."""

from typing import TYPE_CHECKING

from envtool.formats.declarations.editing import cells
from envtool.formats.declarations.inline import with_content

if TYPE_CHECKING:
    from envtool.formats.declarations.declaration import Kind

__all__ = ["template"]


def template(name: str, python: str, kind: "Kind") -> str:
    """Return a first declaration: a short commented envtool.toml, or the same for another kind.

    For a pyproject.toml it is the table to append, for a notebook the whole .ipynb.
    """
    if kind == "envtool.toml":
        return _ENVTOOL_TOML.format(name=name, python=python)
    if kind == "pyproject.toml":
        return _PYPROJECT_TABLE.format(python=python)
    block = with_content("", _BLOCK.format(python=python), file=name)
    if kind == "script":
        return block
    return cells.with_code_cell_before(cells.EMPTY, 1, block.rstrip("\n"))


_ENVTOOL_TOML = """\
name = "{name}"
python = "{python}"

# PEP 508 requirements; `envtool add NAME` writes here.
dependencies = []

# [vars]
# MODE = "development"

# [kernel]                          # makes it a Jupyter kernel
# display-name = "{name}"

# [system]                          # programs of Debian, in a /usr of the environment's own
# packages = ["graphviz", "git"]

# [env.ci]                          # a second environment: envtool build --env ci
# dependencies = ["pytest"]
"""
_PYPROJECT_TABLE = """\
[tool.envtool]
python = "{python}"
# groups = ["dev"]                  # dependency groups of the default environment
"""
_BLOCK = """\
requires-python = "=={python}.*"
dependencies = []
"""
