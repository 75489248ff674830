"""How the plumbing prints: store paths, names of files, tables of sizes.

In text a list of paths is one physical path to a line, so that other programs can use it; JSON has
the logical one as `path` and the other as `physical`. Names of files are bytes that somebody else
chose: on a terminal what is not printable is escaped, elsewhere they are written as they are.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from envtool.formats.printable import escaped

if TYPE_CHECKING:
    from envtool.cli.plumbing.places import Asked
    from envtool.formats.nix.storepath import StorePath

__all__ = ["log_text", "path_json", "print_names", "print_paths", "show"]

_COLOR = re.compile("(\x1b\\[[0-9;]*m)")


def path_json(asked: "Asked", path: "StorePath", **more: Any) -> dict[str, Any]:
    """Return what every command tells of a store path, and what this one tells of it."""
    return {"path": path.full(), "physical": asked.physical(path), **more}


def show(asked: "Asked", shape: dict[str, Any], lines: Iterable[str]) -> int:
    """Print the shape with `--json`, else the lines, and return the exit code."""
    terminal = asked.session.terminal
    if terminal.json:
        terminal.result_json(shape)
    else:
        print_names(asked, list(lines))
    return 0


def print_paths(asked: "Asked", shape: dict[str, Any], paths: Iterable["StorePath"]) -> int:
    """Print the shape with `--json`, else where the paths lie, and return the exit code."""
    return show(asked, shape, map(asked.physical, paths))


def print_names(asked: "Asked", lines: Sequence[str]) -> None:
    """Print lines, none of which has a line end in it but in a file's name; nothing for none."""
    if not lines:
        return
    if sys.stdout.isatty():
        asked.session.terminal.result("\n".join(map(escaped, lines)))
    else:
        asked.session.terminal.result_bytes(b"".join(os.fsencode(f"{line}\n") for line in lines))


def log_text(text: str) -> str:
    """Return a builder's output for a terminal: lines and colours stay, the rest is escaped."""
    parts = _COLOR.split(text.replace("\r\n", "\n"))
    return "".join(
        part if at % 2 else "\n".join(map(escaped, part.replace("\t", "    ").split("\n")))
        for at, part in enumerate(parts)
    )
