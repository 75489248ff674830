"""Progress of real work: moving bars on a terminal, one line per finished phase elsewhere."""

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from envtool.cli.phases import WORDS, Phase
from envtool.cli.terminal import Terminal, size_text
from envtool.reporting import Kind, Step

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["Progress"]


class Bars(Protocol):
    """Shows phases while they last; there is one that shows nothing."""

    def show(self, phase: Phase) -> None:
        """Draw the present state of a phase."""

    def drop(self, phase: Phase) -> None:
        """Take a finished phase away."""

    def line(self, text: str) -> None:
        """Print a line that stays."""

    def stop(self) -> None:
        """Give the terminal back."""


class Progress:
    """A `Reporter` for people. Calls may come from any thread."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._clock = clock
        self._lock = threading.RLock()
        self._phases: dict[Kind, Phase] = {}
        self._bars: Bars | None = None
        self._moves: bool | None = None
        terminal.display = self

    def expect(self, kind: Kind, count: int, size: int | None) -> None:
        """Hear that `count` steps of a kind will follow, `size` bytes in all."""
        if not count:
            return
        with self._lock:
            phase = self._phase(kind)
            phase.expect(count, size)
            self._show(phase)

    def start(self, step: Step) -> None:
        """Hear that a step begins."""
        with self._lock:
            phase = self._phase(step.kind)
            phase.begun += 1
            self._show(phase)

    def advance(self, step: Step, size: int) -> None:
        """Hear that `size` more bytes of the step are done."""
        with self._lock:
            phase = self._phase(step.kind)
            phase.done += size
            self._show(phase)

    def finish(self, step: Step) -> None:
        """Hear that a step is done; the phase ends with its last step."""
        with self._lock:
            phase = self._phase(step.kind)
            phase.finished += 1
            if self._terminal.verbose:
                size = "" if step.size is None else f", {size_text(step.size)}"
                self._line(f"{WORDS[step.kind][1]} {step.label}{size}")
            if phase.complete():
                self._end(phase)
            else:
                self._show(phase)

    def note(self, text: str) -> None:
        """Hear a sentence worth showing."""
        with self._lock:
            self._line(text)

    def close(self) -> None:
        """Give the terminal back, and say how far the phases came that did not end."""
        with self._lock:
            for phase in tuple(self._phases.values()):
                if phase.finished:
                    self._end(phase)
            self._phases.clear()
            self._stop()

    def _phase(self, kind: Kind) -> Phase:
        if kind not in self._phases:
            self._phases[kind] = Phase(kind, self._clock())
        return self._phases[kind]

    def _show(self, phase: Phase) -> None:
        if self._moves is None:
            self._moves = self._terminal.live()
        if self._bars is None and self._moves:
            self._bars = MovingBars(self._terminal)
        elif self._bars is None and self._terminal.steady:
            self._bars = SteadyLines(self._terminal, self._clock)
        if self._bars is not None:
            self._bars.show(phase)

    def _end(self, phase: Phase) -> None:
        del self._phases[phase.kind]
        if self._bars is not None:
            self._bars.drop(phase)
        self._line(phase.summary(self._clock()))
        if not self._phases:
            self._stop()

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _line(self, text: str) -> None:
        if self._bars is not None and not self._terminal.quiet:
            self._bars.line(text)
        else:
            self._terminal.say(text)


class MovingBars:
    """Bars drawn by rich, which is imported only here: it costs more than a whole `envtool run`."""

    def __init__(self, terminal: Terminal) -> None:
        self._rich = _rich_progress(colors=terminal.colors(sys.stderr))
        self._tasks: dict[Kind, TaskID] = {}
        self._rich.start()

    def show(self, phase: Phase) -> None:
        """Draw a phase by its bytes where their sum is known, else by its steps."""
        if phase.kind not in self._tasks:
            self._tasks[phase.kind] = self._rich.add_task(
                WORDS[phase.kind][0], amount="", total=None
            )
        by_size = phase.size is not None
        self._rich.update(
            self._tasks[phase.kind],
            total=phase.size if by_size else phase.expected,
            completed=phase.done if by_size else phase.finished,
            amount=_amount(phase),
        )

    def drop(self, phase: Phase) -> None:
        """Take a finished phase away."""
        task = self._tasks.pop(phase.kind, None)
        if task is not None:
            self._rich.remove_task(task)

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        self._rich.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Give the terminal back, cursor and all."""
        self._rich.stop()


class SteadyLines:
    """A line about a phase when it begins and every so often, for a reader that is a program."""

    PAUSE = 0.25
    """Seconds between two lines of a phase."""

    def __init__(self, terminal: Terminal, clock: Callable[[], float]) -> None:
        self._terminal = terminal
        self._clock = clock
        self._told: dict[Kind, float] = {}

    def show(self, phase: Phase) -> None:
        """Say how far a phase is, unless that was said a moment ago."""
        now = self._clock()
        if now - self._told.get(phase.kind, -self.PAUSE) >= self.PAUSE:
            self._told[phase.kind] = now
            self.line(f"{WORDS[phase.kind][0]} {_amount(phase)}".rstrip())

    def drop(self, phase: Phase) -> None:
        """Forget a finished phase."""
        self._told.pop(phase.kind, None)

    def line(self, text: str) -> None:
        """Print a line, at once."""
        self._terminal.say(text)
        sys.stderr.flush()

    def stop(self) -> None:
        """Do nothing: lines need no end."""


def _rich_progress(*, colors: bool) -> "RichProgress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=not colors)
    return Progress(
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def _amount(phase: Phase) -> str:
    parts = []
    if phase.expected is not None:
        parts.append(f"{phase.finished}/{phase.expected}")
    if phase.done:
        parts.append(size_text(phase.done) + (f" of {size_text(phase.size)}" if phase.size else ""))
    return ", ".join(parts)
