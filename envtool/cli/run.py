"""`envtool run CMD…`: become a command of the environment, within milliseconds.

Nothing here or below may import what a realised environment does not need: no argparse, no
TOML, no database, no network (tests/cli/test_run.py names the modules). The process is replaced
by the command, so that exit code, signals and terminal are the command's own.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from envtool.cli.options import Options, UsageError, start_in
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.cli.terminal import Terminal

__all__ = ["execute", "locate", "run"]

SCRIPT_BLOCK = b"# /// script"
"""The line that opens a declaration inside a script (PEP 723)."""


def run(options: Options, words: Sequence[str], terminal: "Terminal") -> NoReturn:
    """Execute a command in the current generation; a script with its own declaration in its own.

    :raises CommandError: when there is no such command, or it cannot be executed.
    """
    command = _command(words)
    start_in(options)
    script = command[0] if _is_script(command[0]) else None
    own = script if script and options.file is None and _declares(script) else None
    session = Session(options, terminal)
    project = session.project(own)
    number, record, workspace = session.current(project)
    environ = workspace.activation(record, number, project).apply(os.environ)
    terminal.flush()
    execute(["python", *command] if script else command, environ, fresh=True)


def execute(words: Sequence[str], environ: Mapping[str, str], *, fresh: bool = False) -> NoReturn:
    """Replace this process by a program found on the new PATH.

    :param fresh: whether to suggest adding a package when the program is not found.
    :raises CommandError: when it is not found (127) or cannot be executed (126).
    """
    path = locate(words[0], environ)
    if path is None:
        _not_found(words[0], suggest=fresh)
    _restore_signals()
    try:
        os.execve(path, list(words), dict(environ))  # noqa: S606 - to become it is the point
    except OSError as error:
        _not_executable(path, error, environ)


def locate(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the program's path as a shell would find it; None when there is none."""
    if "/" in name:
        return name if os.path.exists(name) else None
    for folder in environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder or ".", name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


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


def _is_script(word: str) -> bool:
    return word.endswith(".py") and os.path.isfile(word)


def _declares(script: str) -> bool:
    with open(script, "rb") as file:
        text = file.read()
    return text.startswith(SCRIPT_BLOCK) or b"\n" + SCRIPT_BLOCK in text


def _restore_signals() -> None:
    """Undo what Python ignores at its start: an ignored signal stays ignored across exec."""
    import signal

    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()


def _not_found(name: str, *, suggest: bool) -> NoReturn:
    from envtool.cli.failure import CommandError

    if "/" in name or not suggest:
        raise CommandError(f"there is no program {name}", code=127)
    raise CommandError(
        f"there is no command {name} in the environment, nor elsewhere on PATH",
        hint=f"if a package provides it: `envtool add {name}`",
        code=127,
    )


def _not_executable(path: str, error: OSError, environ: Mapping[str, str]) -> NoReturn:
    from envtool.cli.failure import CommandError

    why, hint = error.strerror, None
    if isinstance(error, FileNotFoundError):
        why = "the interpreter that its first line names does not exist"
        if _is_elf(path):
            why = "the dynamic loader that it names does not exist"
            if path.startswith(environ.get("ENVTOOL_ENVIRONMENT", path) + "/"):
                hint = "realise it again: envtool switch"
    raise CommandError(f"{path} cannot be executed: {why}", hint=hint, code=126) from error


def _is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"
