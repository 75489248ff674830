"""`envtool-kernel`: what a kernelspec starts; it becomes ipykernel in the current generation.

Realised environments cost a few milliseconds: find the generation, set the variables, exec in
place, so that process id, signals and the debugger are the kernel's own. What fails is told in the
notebook: a kernel that exits is started again six times by Jupyter, and its words are lost.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from envtool.errors import EnvtoolError
from envtool.kernel.entering import command, variables
from envtool.machine.settings import load
from envtool.reporting import Reporter
from envtool.workspace import Project, Record, Workspace, open_project

__all__ = ["main"]

USAGE = "usage: envtool-kernel --declaration PATH [--environment NAME] -f CONNECTION_FILE"
_OPTIONS = {
    "--declaration": "declaration",
    "--environment": "environment",
    "-f": "connection_file",
}


class _Words:
    def __init__(self) -> None:
        self.declaration = ""
        self.environment = "default"
        self.connection_file = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Become the kernel that the words name; return only what cannot be told in a notebook."""
    words = _read(sys.argv[1:] if argv is None else argv)
    if words is None:
        print(USAGE, file=sys.stderr)  # noqa: T201 - before there is anyone else to tell
        return 2
    try:
        _become(words, os.environ)
    except EnvtoolError as error:
        return _explain(words, error)
    except Exception as error:  # noqa: BLE001 - a kernel that exits is only started again
        told = f"{type(error).__name__}: {error}\nThis is a bug in envtool."
        return _explain(words, EnvtoolError(told))


def _read(argv: Sequence[str]) -> _Words | None:
    """Return what the words say; None when they are no command line of ours."""
    words = _Words()
    rest = list(argv)
    while rest:
        option, sign, value = rest.pop(0).partition("=")
        if option not in _OPTIONS or not (sign or rest):
            return None
        setattr(words, _OPTIONS[option], value if sign else rest.pop(0))
    return words if words.declaration and words.connection_file else None


def _become(words: _Words, environ: Mapping[str, str]) -> NoReturn:
    project = open_project("/", file=words.declaration, environment=words.environment)
    workspace = Workspace(load(environ))
    number, record = workspace.current(project) or _realise(project, environ)
    argv = [*command(workspace, project, record), "-f", words.connection_file]
    entered = variables(workspace, project, number, record, environ)
    _restore_signals()
    try:
        os.execve(argv[0], argv, entered)  # noqa: S606 - becoming the kernel is the point
    except OSError as error:
        raise EnvtoolError(
            f"{argv[0]} cannot be started: {error.strerror}", hint="envtool switch"
        ) from error


def _realise(project: Project, environ: Mapping[str, str]) -> tuple[int, Record]:
    """Make the first generation; its progress goes to the log of whoever starts kernels."""
    generation, _ = Workspace(load(environ), _reporter()).switch(project)
    return generation.number, generation.record


def _reporter() -> Reporter:
    from envtool.cli.options import Options
    from envtool.cli.progress import Progress
    from envtool.cli.terminal import Terminal

    return Progress(Terminal(Options()))


def _restore_signals() -> None:
    """Undo what Python ignores at its start: an ignored signal stays ignored across exec."""
    import signal

    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def _explain(words: _Words, error: EnvtoolError) -> int:
    text = error.message if error.hint is None else f"{error.message}\n\nTo mend it: {error.hint}"
    print(f"envtool-kernel: {text}", file=sys.stderr)  # noqa: T201 - the log of the server
    try:
        from envtool.kernel.diagnosis import serve
    except ImportError:
        return 1
    return serve(words.connection_file, error)
