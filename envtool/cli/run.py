"""`envtool run CMD…`: become a command of the environment, within milliseconds.

Nothing here or below may import what a realised environment does not need: no argparse, no
TOML, no database, no network (tests/cli/test_run.py names the modules). The process is replaced
by the command, so that exit code, signals and terminal are the command's own.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from envtool.cli.becoming import execute
from envtool.cli.options import Options, UsageError, start_in
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.cli.isolating import Isolation
    from envtool.cli.terminal import Terminal

__all__ = ["run"]

_LONGEST_LINE = 256
"""Bytes of a first line that Linux looks at."""

SCRIPT_BLOCK = b"# /// script"
"""The line that opens a declaration inside a script (PEP 723)."""


def run(options: Options, words: Sequence[str], terminal: "Terminal") -> NoReturn:
    """Execute a command in the current generation; a script with its own declaration in its own.

    :raises CommandError: when there is no such command, or it cannot be executed.
    """
    isolation: Isolation | None = None
    if words[:1] and words[0].startswith("--") and words[0] != "--":
        from envtool.cli.isolating import taken

        isolation, words = taken(words)
    command = _command(words)
    start_in(options)
    if options.file is None:
        _check_file(command[0])
    script = command[0] if _is_script(command[0]) else None
    own = script if script and options.file is None and _declares(script) else None
    session = Session(options, terminal)
    project = session.project(own)
    number, record, workspace = session.current(project)
    environ = workspace.activation(record, number, project).apply(os.environ)
    terminal.flush()
    started = ["python", *command] if script else command
    if not isolation:
        execute(started, environ, fresh=True, system=workspace.system(record))
    from envtool.cli.isolating import start

    start(isolation, started, environ, workspace=workspace, project=project, record=record)


def _command(words: Sequence[str]) -> list[str]:
    command = list(words[1:] if words[:1] == ["--"] else words)
    if not command:
        raise UsageError("run needs a command", hint="envtool run python")
    if words[0].startswith("-") and words[0] != "--":
        raise UsageError(
            f"run has no option {words[0]}",
            hint="options of the command stand behind it; `envtool run --help`",
        )
    return command


def _check_file(word: str) -> None:
    """Refuse a notebook, and a script that is not there unless it may be a command of a project.

    :raises CommandError: it is one of them.
    """
    is_absent = word.endswith(".py") and not os.path.exists(word)
    if is_absent and "/" not in word:
        from envtool.machine.project import find_above

        is_absent = find_above(os.getcwd()) is None
    if not (is_absent or word.endswith(".ipynb")):
        return
    import shlex

    from envtool.cli.failure import CommandError

    if is_absent or not os.path.isfile(word):
        raise CommandError(f"there is no file {word}", code=127)
    hint = f"envtool notebook run {shlex.quote(word)}"
    raise CommandError(f"{word} is a notebook, no command", hint=hint, code=126)


def _is_script(word: str) -> bool:
    """Return whether the word is a file that Python is to run.

    Without an ending that says so, its first line does: `#!` and envtool, which would otherwise
    start itself for ever.
    """
    if word.endswith(".py"):
        return os.path.isfile(word)
    if "/" not in word or not os.path.isfile(word):
        return False
    with open(word, "rb") as file:
        line = file.readline(_LONGEST_LINE)
    return line.startswith(b"#!") and b"envtool" in line


def _declares(script: str) -> bool:
    with open(script, "rb") as file:
        text = file.read()
    return text.startswith(SCRIPT_BLOCK) or b"\n" + SCRIPT_BLOCK in text
