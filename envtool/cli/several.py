"""One command for several notebooks: what one of them fails with stops no other."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from envtool.cli.failure import complain, hint_of
from envtool.cli.session import Session
from envtool.errors import EnvtoolError
from envtool.formats.printable import printable

if TYPE_CHECKING:
    from envtool.machine.project import Project

__all__ = ["Answer", "each_of"]

Answer = tuple[dict[str, Any], list[str]]
"""What JSON says of a notebook, and the lines for people: the first stands behind its name."""


def each_of(
    session: Session,
    paths: Sequence[str],
    opened: "Callable[[str], Project]",
    answer: "Callable[[Project], Answer]",
) -> int:
    """Answer for each of the notebooks, and return the exit code.

    :raises EnvtoolError: it is the only one, and fails.
    """
    shapes, failed, terminal = list[dict[str, Any]](), 0, session.terminal
    for path in paths:
        try:
            project = opened(path)
            shape, (first, *more) = answer(project)
        except EnvtoolError as error:
            if len(paths) == 1:
                raise
            failed += 1
            told = {"message": error.message, "hint": hint_of(error, terminal)}
            shapes.append({"notebook": os.path.abspath(path), "error": told})
            if not terminal.json:
                complain(error, terminal)
            continue
        shapes.append({"notebook": project.path, **shape, "error": None})
        if not terminal.json:
            lead = f"{os.path.relpath(project.path)}: {first}".removesuffix(": ")
            terminal.result(printable("\n".join([lead, *more])))
    if terminal.json:
        terminal.result_json({"notebooks": shapes})
    return 1 if failed else 0
