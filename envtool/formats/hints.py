"""Hints with commands in them, and those commands spelled for the declaration that is meant.

Whoever raises an error knows what to do next, such as `envtool lock`; only a face knows that the
user means `envtool -f plot.ipynb lock`, since that is what the command was told.
"""

import re
import shlex
from collections.abc import Sequence

__all__ = ["OF_A_DECLARATION", "placed"]

OF_A_DECLARATION = frozenset(
    {
        "add",
        "allow",
        "audit",
        "build",
        "check",
        "declare",
        "deny",
        "diff",
        "export",
        "generations",
        "lock",
        "outdated",
        "print-env",
        "remove",
        "rollback",
        "run",
        "shell",
        "switch",
        "tree",
        "upgrade",
        "why",
    }
)
"""The commands that are about one declaration."""
_COMMAND = re.compile(r"(?<![\w./-])envtool (?=([a-z-]+))")


def placed(hint: str | None, words: Sequence[str]) -> str | None:
    """Return the hint, the commands in it with these words of options, such as `-f plot.ipynb`.

    What names its options already, or is about no declaration, stays as it is.
    """
    if hint is None or not words:
        return hint
    program = f"envtool {shlex.join(words)} "
    return _COMMAND.sub(lambda at: program if at[1] in OF_A_DECLARATION else at[0], hint)
