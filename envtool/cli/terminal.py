"""Where text goes: results to stdout, the rest to stderr, colours only where they are seen."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from envtool.errors import EnvtoolError

if TYPE_CHECKING:
    from envtool.cli.options import Options

__all__ = ["OutputError", "Terminal", "duration_text", "open_closed_streams", "size_text"]

Style = Literal["bold", "dim", "red", "green", "yellow", "cyan"]
STYLES: Mapping[Style, str] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}


class OutputError(EnvtoolError):
    """What is to be told cannot be written, such as to a full disk."""


class Display(Protocol):
    """Something that moves on stderr."""

    def close(self) -> None:
        """Give the terminal back."""


class Terminal:
    """Both streams of the process, and how the user wants to be spoken to."""

    def __init__(self, options: "Options", environ: Mapping[str, str] = os.environ) -> None:
        self.json = options.json
        self.quiet = options.quiet
        self.verbose = options.verbose
        self.display: Display | None = None
        """What moves on stderr at the moment; it has to leave before anything else is printed."""
        self.steady = environ.get("ENVTOOL_PROGRESS") == "lines"
        """Whoever reads the lines, such as a notebook's cell, wants to know how far the work is."""
        self.meant: Callable[[], Sequence[str]] = list
        """Asked for the options that mean the declaration at work, such as `-f plot.py`."""
        self._color = options.color
        self._environ = environ

    def result(self, text: str) -> None:
        """Print what the command was asked for; shown even when quiet."""
        self.release()
        _write(sys.stdout, text)

    def result_json(self, value: Mapping[str, Any]) -> None:
        """Print one JSON object: keys in the order given, ASCII only."""
        import json

        self.release()
        _write(sys.stdout, json.dumps(value, indent=2))

    def result_bytes(self, data: bytes) -> None:
        """Write a piece of what was asked for as it is, such as of a file; not beside text."""
        self.release()
        with _output():
            sys.stdout.buffer.write(data)

    def result_file(self, descriptor: int, size: int) -> int:
        """Write up to `size` bytes of an open file, from where it stands, as `result_bytes` does.

        The kernel does it where it can; return how many were written. What is left, perhaps for
        an error, is to be written piece by piece.
        """
        self.release()
        with _output():
            sys.stdout.buffer.flush()
        output, left = sys.stdout.fileno(), size
        with suppress(OSError):
            while left and (sent := os.sendfile(output, descriptor, None, left)):
                left -= sent
        return size - left

    def say(self, text: str) -> None:
        """Print a sentence about the work on stderr; not when quiet."""
        if not self.quiet:
            _write(sys.stderr, text)

    def complain(self, text: str) -> None:
        """Print an error on stderr."""
        self.release()
        _write(sys.stderr, text)

    def detail(self, text: str) -> None:
        """Print what only a verbose command says."""
        if self.verbose:
            self.say(text)

    def style(self, text: str, style: Style, *, stream: TextIO | None = None) -> str:
        """Return the text in a style of `STYLES` if the stream (stdout) shows colours."""
        shown = self.colors(stream or sys.stdout)
        return f"\033[{STYLES[style]}m{text}\033[0m" if shown else text

    def colors(self, stream: TextIO) -> bool:
        """Return whether to colour: as `--color` says, else on a terminal without NO_COLOR."""
        if self._color != "auto":
            return self._color == "always"
        if self._environ.get("NO_COLOR") or self._environ.get("TERM") == "dumb":
            return False
        return stream.isatty()

    def live(self) -> bool:
        """Return whether stderr can show progress that moves."""
        return not self.quiet and sys.stderr.isatty() and self._environ.get("TERM") != "dumb"

    def release(self) -> None:
        """End what moves on stderr."""
        display, self.display = self.display, None
        if display is not None:
            display.close()

    def flush(self) -> None:
        """Send what is still held back, so that a reader who left is noticed now."""
        self.release()
        for stream in (sys.stdout, sys.stderr):
            with _output():
                stream.flush()


def open_closed_streams() -> None:
    """Point the standard streams that the process was started without at the null device.

    Else the next file that is opened, such as the store's database, would get the number of one
    of them, and what a child prints would go there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115 - for as long as the process lives


def size_text(size: int | None) -> str:
    """Return bytes as people say them, such as `45.2 MB` (decimal units); `?` when unknown."""
    if size is None:
        return "?"
    value, units = float(abs(size)), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:  # noqa: PLR2004 - what would round to 1000
        value, units = value / 1000, units[1:]
    digits = 1 if units[0] != "B" and value < 99.95 else 0  # noqa: PLR2004 - three digits
    return f"{'-' if size < 0 else ''}{value:.{digits}f} {units[0]}"


def duration_text(seconds: float) -> str:
    """Return a duration such as `0.3 s`, `12 s` or `2 min 05 s`."""
    if seconds < 9.95:  # noqa: PLR2004 - tenths matter below ten seconds
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    # A path of undecodable bytes, or a glyph the locale lacks, must not stop the command.
    with _output():
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


@contextmanager
def _output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # a reader who has read enough is no error
    except OSError as error:
        raise OutputError(f"the output cannot be written: {error.strerror}") from error
