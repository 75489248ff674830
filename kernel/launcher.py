"""`envtool-kernel`: what a kernelspec starts; it becomes ipykernel in the current generation.

Realised environments cost a few milliseconds: find the generation, set the variables, exec in
place, so that process id, signals and the debugger are the kernel's own. Everything else is the
relay's: a kernel that exits is started again six times by Jupyter, and its words are lost.
"""

from __future__ import annotations

import os
import sys

from envtool import signals
from envtool.errors import EnvtoolError
from envtool.kernel.drift import log, mention
from envtool.kernel.goal import Declared, Found, Goal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn, TypeVar

    from envtool.kernel.entry import Entry

    _T = TypeVar("_T")

__all__ = ["main"]

USAGE = "usage: envtool-kernel [--declaration PATH [--environment NAME]] -f CONNECTION_FILE"
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
    goal, fault = Goal(), None
    try:
        goal = _tried(lambda: _goal(words, os.environ))
        entry = _tried(goal.entry)
        if entry is not None:
            mention(entry.environ)
            _become(entry, words.connection_file)
    except EnvtoolError as error:
        fault = error
    except Exception as error:  # noqa: BLE001 - a kernel that exits is only started again
        fault = _bug(error)
    return _relay(words.connection_file, goal, fault)


def _read(argv: Sequence[str]) -> _Words | None:
    """Return what the words say; None when they are no command line of ours."""
    words = _Words()
    rest = list(argv)
    while rest:
        option, sign, value = rest.pop(0).partition("=")
        if option not in _OPTIONS or not (sign or rest):
            return None
        setattr(words, _OPTIONS[option], value if sign else rest.pop(0))
    return words if words.connection_file else None


def _goal(words: _Words, environ: Mapping[str, str]) -> Goal:
    if words.declaration:
        return Declared(environ, words.declaration, words.environment)
    return Found(environ, os.getcwd(), os.getppid())


def _tried(step: Callable[[], _T]) -> _T:
    """Take a step, with `site` where it needs more than us, such as `packaging` to judge by."""
    try:
        return step()
    except ImportError:
        _add_site()
        return step()


def _add_site() -> None:
    """Make importable what was left out on the way to a realised kernel."""
    if sys.flags.no_site:
        import site

        site.main()


def _become(entry: Entry, connection_file: str) -> NoReturn:
    argv = [*entry.argv, "-f", connection_file]
    signals.restore()
    try:
        os.execve(argv[0], argv, entry.environ)  # noqa: S606 - becoming the kernel is the point
    except OSError as error:
        raise EnvtoolError(
            f"{argv[0]} cannot be started: {error.strerror}", hint="envtool switch"
        ) from error


def _relay(connection_file: str, goal: Goal, fault: EnvtoolError | None) -> int:
    """Stay, and answer; return 1 only where nobody could be answered."""
    if fault is not None:
        _log(fault)
    _add_site()
    try:
        from envtool.kernel.relay.front import read_connection
        from envtool.kernel.relay.relay import serve
    except ImportError as error:
        _log(
            EnvtoolError(
                f"a kernel that is not realised yet needs the package {error.name}",
                hint=f"{sys.executable} -m pip install 'envtool[jupyter]'",
            )
        )
        return 1
    try:
        connection = read_connection(connection_file)
        try:
            return serve(connection, goal, fault)
        except EnvtoolError:
            raise
        except Exception as error:  # noqa: BLE001 - a kernel that exits is only started again
            fault = _bug(error)
            _log(fault)
            return serve(connection, Goal(), fault)
    except EnvtoolError as error:
        _log(error)
        return 1


def _bug(error: Exception) -> EnvtoolError:
    """Return how a fault of our own is told."""
    return EnvtoolError(f"{type(error).__name__}: {error}\nThis is a bug in envtool.")


def _log(error: EnvtoolError) -> None:
    log(error.message if error.hint is None else f"{error.message}\n\nTo mend it: {error.hint}")
