"""`%envtool`: the environment of a running kernel, seen from a cell.

In a kernel this one module lies alone in a store object under the name `envtool_magics`, so it
needs only IPython and the standard library, and asks the `envtool` program (`--json`), whose
path the launcher leaves in `ENVTOOL_PROGRAM`.
"""

import html
import json
import os
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any

__all__ = ["Shown", "answer", "load_ipython_extension"]

USAGE = "usage: %envtool status | generations | tree | why NAME"


class Shown:
    """A table with a title: text in a console, HTML in a notebook."""

    def __init__(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.title = title
        self.header = list(header)
        self.rows = [list(row) for row in rows]

    def __repr__(self) -> str:
        """Return the text for consoles and for front ends without HTML."""
        lines = [self.header, *self.rows] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *aligned])

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{inner}</tr>"

        title = html.escape(self.title).replace("\n", "<br>")
        if not self.rows:
            return f"<p>{title}</p>"
        body = "".join(line(row, "td") for row in self.rows)
        return f"<p>{title}</p><table>{line(self.header, 'th')}{body}</table>"


def answer(words: Sequence[str]) -> Shown:
    """Return what a line of words asks for; what cannot be answered says why in its title."""
    try:
        match list(words):
            case [] | ["status"]:
                return _status()
            case ["generations"]:
                return _generations()
            case ["tree"]:
                return _tree()
            case ["why", name]:
                return _why(name)
            case _:
                return Shown(USAGE, (), ())
    except _RefusedError as error:
        return Shown(str(error), (), ())


def load_ipython_extension(ipython: Any) -> None:
    """Register `%envtool`; IPython calls it."""

    def envtool(line: str) -> Shown:
        """Show the environment of this kernel: status, generations, tree, why NAME."""
        try:
            return answer(shlex.split(line))
        except ValueError as error:
            return Shown(f"{error}\n{USAGE}", (), ())

    ipython.register_magic_function(envtool, magic_kind="line")


class _RefusedError(Exception):
    """The program could not answer; its text is for the user."""


def _ask(*words: str) -> dict[str, Any]:
    """Return the JSON that `envtool` prints about the kernel's own declaration."""
    program = os.environ.get("ENVTOOL_PROGRAM", "envtool")
    argv = [program, "--json", "--quiet"]
    for option, variable in (("--file", "ENVTOOL_DECLARATION"), ("--env", "ENVTOOL_NAME")):
        if value := os.environ.get(variable):
            argv += [option, value]
    # The program has a Python of its own, which ours must not lead astray.
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [*argv, *words], env=environ, capture_output=True, check=False, text=True
        )
        found = json.loads(done.stdout)
    except FileNotFoundError:
        raise _RefusedError(f"there is no program {program}") from None
    except ValueError:
        raise _RefusedError(done.stderr.strip() or f"{program} gave no answer") from None
    if "error" in found:
        error = found["error"]
        raise _RefusedError("\n".join(filter(None, (error["message"], error.get("hint")))))
    return dict(found)


def _status() -> Shown:
    generations = _ask("generations")["generations"]
    running = os.environ.get("ENVTOOL_GENERATION", "?")
    current = next((one for one in generations if one["current"]), None)
    title = f"this kernel runs in generation {running}"
    if current is not None and str(current["number"]) != running:
        title += f"; the current one is {current['number']}: restart the kernel to enter it"
    rows = [
        ("declaration", os.environ.get("ENVTOOL_DECLARATION", "?")),
        ("environment", os.environ.get("ENVTOOL_ENVIRONMENT", "?")),
    ]
    mine = next((one for one in generations if str(one["number"]) == running), None)
    if mine is not None:
        rows += [
            ("store path", mine["environment"]),
            ("python", mine["python"]),
            ("packages", str(len(mine["packages"]))),
            ("closure", _size(mine["size"])),
        ]
    return Shown(title, ("", ""), rows)


def _generations() -> Shown:
    rows = [
        (
            "*" if one["current"] else "",
            str(one["number"]),
            one["created"],
            _counts(one["changes"]),
            _size(one["size"]),
            one["python"],
        )
        for one in _ask("generations")["generations"]
    ]
    return Shown("generations", ("", "number", "created", "changes", "size", "python"), rows)


def _tree() -> Shown:
    packages = sorted(_ask("tree")["packages"], key=lambda one: (not one["direct"], one["name"]))
    rows = [
        (
            one["name"],
            one["version"] or "",
            _size(one["size"]),
            "declared" if one["direct"] else "",
            ", ".join(one["requires"]),
        )
        for one in packages
    ]
    return Shown(f"{len(rows)} packages", ("name", "version", "size", "", "requires"), rows)


def _why(name: str) -> Shown:
    chains = _ask("why", name)["chains"]
    return Shown(f"what leads to {name}", ("chain",), [(" → ".join(chain),) for chain in chains])


def _counts(changes: dict[str, Any]) -> str:
    kinds = (("+", "added"), ("-", "removed"), ("~", "changed"))
    return " ".join(f"{sign}{len(changes[key])}" for sign, key in kinds if changes[key]) or "="


def _size(size: int | None) -> str:
    return "" if size is None else f"{size / 1_000_000:.1f} MB"
