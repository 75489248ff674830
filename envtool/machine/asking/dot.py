"""The graph of references in graphviz' language DOT, and drawn by it as SVG."""

import subprocess
from collections.abc import Mapping

from envtool.errors import StoreError
from envtool.formats.nix.storepath import StorePath
from envtool.machine.graph import Graph

__all__ = ["draw", "render"]

_ESCAPED = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n"})


def render(graph: Graph, labels: Mapping[StorePath, str]) -> str:
    """Return the graph as DOT: an arrow leads from each path to what it refers to.

    Nodes are called by the base name and show their label; both are in order, so that equal
    graphs give equal text. A reference of a path to itself is left out.
    """
    lines = ["digraph closure {", "  rankdir = LR;", "  node [shape = box, style = rounded];"]
    lines += [f"  {_quoted(path)} [label = {_quoted(labels[path])}];" for path in sorted(graph)]
    lines += [
        f"  {_quoted(path)} -> {_quoted(reference)};"
        for path in sorted(graph)
        for reference in sorted(graph[path] - {path})
    ]
    return "\n".join([*lines, "}"])


def draw(text: str) -> str:
    """Return the SVG that graphviz' program `dot` makes of a DOT text.

    :raises StoreError: it is not on PATH, or it fails.
    """
    try:
        done = subprocess.run(
            ["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=False
        )
    except OSError as error:
        raise StoreError(
            f"SVG is drawn by graphviz' program dot, which cannot be started: {error.strerror}",
            hint="install graphviz (apt install graphviz), or leave out --svg for the DOT text",
        ) from error
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()
        raise StoreError(f"graphviz' dot ended with code {done.returncode}: {told}")
    return done.stdout.decode()


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPED)}"'
