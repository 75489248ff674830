"""What the user sees when something goes wrong: never a traceback."""

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from envtool.cli.options import UsageError
from envtool.cli.terminal import OutputError
from envtool.errors import DeclarationError, EnvtoolError

if TYPE_CHECKING:
    from envtool.cli.terminal import Terminal

__all__ = ["CommandError", "complain", "hint_of", "report"]

OURS, USAGE, BUG, INTERRUPTED, UNREAD = 1, 2, 70, 130, 141
_SIGNALLED = 128


class CommandError(EnvtoolError):
    """What was to be started cannot be; `code` is what a shell would end with (126 or 127)."""

    def __init__(self, message: str, *, code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


def report(error: BaseException, terminal: "Terminal") -> int:
    """Say what went wrong, as text on stderr or JSON on stdout, and return the exit code."""
    if isinstance(error, BrokenPipeError):
        return _unread()
    if isinstance(error, OutputError):
        return _unwritable(error)
    try:
        return _explain(error, terminal)
    except BrokenPipeError:
        return _unread()
    except OutputError as unwritable:
        return _unwritable(unwritable)


def _explain(error: BaseException, terminal: "Terminal") -> int:
    if isinstance(error, KeyboardInterrupt):
        # Whoever heard a signal itself says which one it was.
        code = _SIGNALLED + error.args[0] if error.args else INTERRUPTED
        shape = _shape("interrupted", "interrupted; everything done is valid")
    elif isinstance(error, EnvtoolError):
        code = _code(error)
        shape = _shape(_kind(error), error.message, hint_of(error, terminal))
        if isinstance(error, DeclarationError):
            shape["faults"] = [_fault(fault) for fault in error.faults]
    else:
        code, shape = BUG, _bug(error)
    _show(shape, terminal)
    terminal.flush()
    return code


def _show(shape: dict[str, Any], terminal: "Terminal") -> None:
    if terminal.json:
        terminal.result_json({"error": shape})
    elif shape["kind"] == "interrupted":
        terminal.complain(f"\n{shape['message']}")
    else:
        _complain(shape["message"], shape["hint"], terminal)


def complain(error: EnvtoolError, terminal: "Terminal") -> None:
    """Say on stderr what went wrong, where the command goes on."""
    _complain(error.message, hint_of(error, terminal), terminal)


def hint_of(error: EnvtoolError, terminal: "Terminal") -> str | None:
    """Return the hint, its commands spelled for the declaration that is at work."""
    from envtool.formats.hints import placed

    return placed(error.hint, terminal.meant())


def _complain(message: str, hint: str | None, terminal: "Terminal") -> None:
    from envtool.formats.printable import printable

    label = terminal.style("error:", "red", stream=sys.stderr)
    terminal.complain(f"{label} {printable(message)}")
    if hint:
        label = terminal.style("hint:", "cyan", stream=sys.stderr)
        terminal.complain(f"{label} {printable(hint)}")


def _shape(kind: str, message: str, hint: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "message": message, "hint": hint}


def _code(error: EnvtoolError) -> int:
    if isinstance(error, CommandError):
        return error.code
    return USAGE if isinstance(error, UsageError) else OURS


def _kind(error: EnvtoolError) -> str:
    """Return `lock` for LockError, `envtool` for the root itself."""
    return type(error).__name__.removesuffix("Error").lower()


def _fault(fault: Any) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in ("file", "line", "key", "message")}


def _bug(error: BaseException) -> dict[str, Any]:
    name = f"{type(error).__name__}: {error}".splitlines()[0]
    place = _log(error)
    told = f"the traceback is in {place}" if place else "no place for a log could be written"
    return _shape("bug", f"this is a bug in envtool ({name}); {told}")


def _log(error: BaseException) -> str | None:
    """Write the traceback and return where; None when nothing can be written anywhere."""
    import tempfile

    for folder in (_log_folder(), tempfile.gettempdir()):
        if folder is None:
            continue
        try:
            os.makedirs(folder, exist_ok=True)
            handle, path = tempfile.mkstemp(".log", "bug-", folder)
        except OSError:
            continue
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_traceback(error))
        return path
    return None


def _log_folder() -> str | None:
    from envtool.machine.settings import load

    try:
        return load(os.environ).logs
    except EnvtoolError:
        return None


def _traceback(error: BaseException) -> str:
    import platform
    import traceback

    from envtool import __version__

    lines = [
        f"envtool {__version__}, python {platform.python_version()}, {platform.platform()}\n",
        f"arguments: {sys.argv[1:]}\n",
        *traceback.format_exception(error),
    ]
    return "".join(lines)


def _unread() -> int:
    """Give up stdout: the reader left."""
    _drop_unwritten()
    return UNREAD


def _unwritable(error: OutputError) -> int:
    """Say it on stderr, whatever was asked for, if that can be written."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"error: {error.message}\n")
    _drop_unwritten()
    return OURS


def _drop_unwritten() -> None:
    """Drop what cannot be written: the interpreter would complain about it at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
