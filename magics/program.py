"""Asking the `envtool` program, and showing in the cell how far it is."""

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from envtool.magics.shown import Refused, Shown

__all__ = ["Progress", "argv", "as_magics", "ask", "environ", "work"]

_COMMAND = r"(?<![\w./%-])envtool (?:(?:-f|-e|--file|--env) (?:'[^']*'|\S+) )*([a-z-]+)(?! --help)"
"""A command line of the program, the options that mean the kernel's own declaration among it."""


def argv(*words: str, declaration: str | None = None) -> list[str]:
    """Return the command line of the program, by default for the kernel's own declaration."""
    found = [os.environ.get("ENVTOOL_PROGRAM", "envtool")]
    if file := declaration or os.environ.get("ENVTOOL_DECLARATION"):
        found += ["--file", file]
    if name := os.environ.get("ENVTOOL_NAME"):
        found += ["--env", name]
    return [*found, *words]


def environ() -> dict[str, str]:
    """Return the variables for the program: it has a Python of its own, not to be led astray."""
    return {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}


def ask(*words: str, is_placed: bool = True) -> dict[str, Any]:
    """Return the JSON that the program prints, which is quick; not placed: of no declaration.

    :raises Refused: it cannot answer, and says why.
    """
    line = argv("--json", "--quiet", *words)
    if not is_placed:
        line = [line[0], "--json", "--quiet", *words]
    try:
        done = subprocess.run(
            line, env=environ(), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError as error:
        raise _absent(line[0], error) from None
    return _decoded(done.stdout, done.stderr.decode(errors="replace"), line[0])


def work(
    progress: "Progress", *words: str, text: str = "", declaration: str | None = None
) -> dict[str, Any]:
    """Return the JSON of a command that may take long; `text` is what it reads.

    :raises Refused: it cannot be done, or was interrupted.
    """
    line = argv("--json", *words, declaration=declaration)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
        given.write(text.encode())
        given.seek(0)
        told = _watch(progress, line, given.fileno(), printed.fileno())
        printed.seek(0)
        return _decoded(printed.read(), told, line[0])


def _watch(progress: "Progress", line: Sequence[str], given: int, printed: int) -> str:
    """Run the program to its end, show each line that it says, and return the last of them."""
    told, process = "", None
    try:
        with _interrupts_held():
            process = subprocess.Popen(
                line,
                env={**environ(), "ENVTOOL_PROGRESS": "lines"},
                stdin=given,
                stdout=printed,
                stderr=subprocess.PIPE,
            )
        assert process.stderr is not None
        for each in process.stderr:
            told = each.decode(errors="replace").rstrip()
            progress.say(told)
        process.wait()
    except OSError as error:
        raise _absent(line[0], error) from None
    except KeyboardInterrupt:
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait()
        raise Refused("interrupted; `%envtool status` says what holds now") from None
    finally:
        if process is not None and process.stderr is not None:
            process.stderr.close()
    return told


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let an interrupt wait for the end of the block, so that no process gets lost by it."""
    seen: list[int] = []
    try:
        before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    except ValueError:  # not the main thread, which alone is interrupted
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if seen:
        raise KeyboardInterrupt


def _decoded(printed: bytes, told: str, program: str) -> dict[str, Any]:
    try:
        found = json.loads(printed)
    except ValueError:
        raise Refused(told.strip() or f"{program} gave no answer") from None
    if "error" in found:
        error = found["error"]
        hint = error.get("hint")
        raise Refused("\n".join(filter(None, (error["message"], hint and as_magics(hint)))))
    return dict(found)


def as_magics(hint: str) -> str:
    """Return a hint for a terminal with the commands as a cell takes them, where there are such."""
    from envtool.magics.helping import USAGES

    def spelled(found: "re.Match[str]") -> str:
        return f"%envtool {found[1]}" if found[1] in USAGES else found[0]

    return re.sub(_COMMAND, spelled, hint)


def _absent(program: str, error: OSError) -> Refused:
    if isinstance(error, FileNotFoundError):
        return Refused(f"there is no program {program} any more")
    return Refused(f"{program} cannot be started: {error.strerror}")


class Progress:
    """One output of the cell: first what is being done, in the end what came of it.

    In a terminal, which cannot take back what it shows, only the end.
    """

    def __init__(self, ipython: Any, title: str) -> None:
        self._handle: Any = None
        self._lines: list[str] = []
        self._title = title
        if hasattr(ipython, "kernel"):
            from IPython.display import display

            self._handle = display(Shown(f"{title} …"), display_id=True)

    def say(self, line: str) -> None:
        """Show a line of the work, below the one before it."""
        self._lines.append(line)
        if self._handle is not None:
            self._handle.update(Shown(f"{self._title} …", notes=self._lines[-3:]))

    def end(self, shown: Shown) -> None:
        """Show what came of it in the place of the work."""
        if self._handle is not None:
            self._handle.update(shown)
        else:
            print(shown)  # noqa: T201 - a terminal

    def drop(self) -> None:
        """Leave nothing of the work; an error follows."""
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)
