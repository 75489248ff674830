"""The command line: one module per family of commands, and the one place that renders errors.

Exit codes: 0 done, 1 an error of ours, 2 wrong usage, 70 a bug in envtool, 130 interrupted,
141 nobody reads any more; `run` and `shell` end with the code of what they start (126: cannot
be executed, 127: not found).

With `--json` a command prints one JSON object on stdout and nothing else there; an error is
`{"error": {"kind", "message", "hint"}}`, a wrong declaration's with `faults` beside.
"""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
"""As type checkers know it; importing `typing` for it would cost `run` a tenth of its time."""
if TYPE_CHECKING:
    from collections.abc import Sequence

    from envtool.cli.terminal import Terminal

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the words (by default the process's own) ask, and return the exit code."""
    from envtool.cli import fast

    words = list(sys.argv[1:] if argv is None else argv)
    fast.leave_system(words)
    fast.enter(words)
    # What a command loads and plans stays until it ends; looking through it finds nothing.
    gc.set_threshold(100_000)
    from envtool.cli.options import Options, global_options
    from envtool.cli.terminal import Terminal, open_closed_streams

    open_closed_streams()
    terminal = Terminal(Options())
    try:
        terminal = Terminal(global_options(words))
        code = _perform(words, terminal)
        terminal.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a user never sees a traceback
        from envtool.cli.failure import report

        code = report(error, terminal)
    if argv is None:
        _leave(code)
    return code


def _leave(code: int) -> None:
    """End the process at once if nothing is left to be done in it.

    Taking every module down again takes a sixth of a short command's time. What is to be done
    at the end is done: exit functions, and what is held back for the streams.
    """
    threading = sys.modules.get("threading")
    is_watched = sys.gettrace() is not None or sys.getprofile() is not None
    if is_watched or (threading is not None and threading.active_count() > 1):
        return
    import atexit
    import os

    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way to run them early
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            return  # the interpreter's own end knows what to do
    os._exit(code)


def _perform(words: Sequence[str], terminal: Terminal) -> int:
    from envtool.cli.options import leading

    options, command, rest = leading(words)
    if command == "run" and rest[:1] not in (["-h"], ["--help"]):
        from envtool.cli.run import run

        return run(options, rest, terminal)
    if command == "__complete":
        from envtool.cli.completing import complete

        return complete(rest, terminal)
    if command == "__hook":
        from envtool.cli.prompt.step import answer

        return answer(rest, terminal)
    if command in ("build", "switch") and not rest:
        from envtool.cli.realising import realise

        return realise(command, options, terminal)
    from envtool.cli.parser import perform

    return perform(words, terminal)
