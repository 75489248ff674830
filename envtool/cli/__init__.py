"""The command line: one module per family of commands, and the one place that renders errors.

Exit codes: 0 done, 1 an error of ours, 2 wrong usage, 70 a bug in envtool, 130 interrupted (129
and 143: by SIGHUP and SIGTERM), 141 nobody reads any more; `run` and `shell` end with the code of
what they start (126: cannot be executed, 127: not found).

With `--json` a command prints one JSON object on stdout and nothing else there; an error is
`{"error": {"kind", "message", "hint"}}`, a wrong declaration's with `faults` beside.
"""

from __future__ import annotations

import _thread
import gc
import sys

TYPE_CHECKING = False
"""As type checkers know it; importing `typing` for it would cost `run` a tenth of its time."""
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Sequence

    from envtool.cli.terminal import Terminal

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the words (by default the process's own) ask, and return the exit code."""
    from envtool.cli import fast

    words = list(sys.argv[1:] if argv is None else argv)
    signals = Signals()
    if argv is None:
        signals.listen()
    fast.leave_system(words)
    fast.enter(words)
    # What a command loads and plans stays until it ends; looking through it finds nothing.
    gc.set_threshold(100_000)
    from envtool.cli.options import Options, global_options
    from envtool.cli.terminal import Terminal, open_closed_streams

    open_closed_streams()
    terminal = signals.terminal = Terminal(Options())
    try:
        terminal = signals.terminal = Terminal(global_options(words))
        code = _perform(words, terminal)
        terminal.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a user never sees a traceback
        code = signals.report(error)
    if argv is None:
        _leave(code, at_once=signals.heard is not None)
    return code


class Signals:
    """The signals by which a user ends a command."""

    heard: int | None = None
    """The number of the one that did; `telling` is there then."""
    telling: LockType
    """Held by the thread that says so."""
    told = False
    """It has."""
    terminal: Terminal
    """Where it is said; there before any work begins."""

    def listen(self) -> None:
        """Have them end this process, unless they are ignored here.

        A program that is started in the place of this one finds them as they always are.
        """
        # The module under `signal`, whose enumerations would take longer than everything here.
        import _signal  # type: ignore[import-not-found]

        for number in (_signal.SIGINT, _signal.SIGHUP, _signal.SIGTERM):
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, self._hear)

    def report(self, error: BaseException) -> int:
        """Say what went wrong and return the exit code."""
        if self.heard is None:
            from envtool.cli.failure import report

            return report(error, self.terminal)
        # Whatever came of it, such as a build that ended without a result, it is no news.
        from envtool.cli.interrupting import tell

        return tell(self)

    def _hear(self, number: int, _: object) -> None:
        """Raise what ends the command, once; another thread sees to it that it does end."""
        if self.heard is None:
            self.heard, self.telling = number, _thread.allocate_lock()
            # Wherever this is raised, such as in the midst of an import, nobody sees a traceback.
            sys.unraisablehook = sys.excepthook = _say_nothing
            _thread.start_new_thread(self._see_to_the_end, ())
            raise KeyboardInterrupt

    def _see_to_the_end(self) -> None:
        from envtool.cli.interrupting import see_to_the_end

        see_to_the_end(self)


def _say_nothing(*_: object) -> None:
    pass


def _leave(code: int, *, at_once: bool) -> None:
    """End the process at once if nothing is left to be done in it, or nothing is to be.

    Taking every module down again takes a sixth of a short command's time. What is to be done
    at the end is done: exit functions, and what is held back for the streams.
    """
    threading = sys.modules.get("threading")
    is_watched = sys.gettrace() is not None or sys.getprofile() is not None
    has_others = threading is not None and threading.active_count() > 1
    if is_watched or (has_others and not at_once):
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
