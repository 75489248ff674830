"""What a cell shows while its environment is built: a picture in text and in HTML."""

import html
import re
import threading
import time
from collections.abc import Callable, Iterator

from envtool.cli.phases import WORDS, Phase
from envtool.cli.terminal import duration_text, size_text
from envtool.reporting import Kind, Step

__all__ = ["Progress", "waiting"]

_SHOWN = 3
"""Labels that one line names."""
_STYLE = "font-family:var(--jp-ui-font-family,sans-serif);font-size:90%;line-height:1.6"
_GRID = "display:grid;grid-template-columns:7em minmax(0,1fr);column-gap:.8em;align-items:center"
_LINE = "white-space:nowrap;overflow:hidden;text-overflow:ellipsis"
"""A line that is longer than the page is wide must not move what is below."""
_FILE = re.compile(r"(.+?)[-_](\d[^-_]*)(?:[-_].*)?\.(?:whl|deb|zip|tar\.gz)")
"""Name and version in the name of a package's file."""


def waiting(name: str, text: str) -> dict[str, str]:
    """Return the picture that tells one thing only, by MIME type."""
    return _picture(f"envtool: the environment of {name}", [(text, None)])


class Progress:
    """A `Reporter` for notebooks. Calls may come from any thread."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._phases: dict[Kind, Phase] = {}
        self._labels: dict[Kind, list[str]] = {}
        self._done: dict[Kind, str] = {}
        """What phases that are done amounted to."""
        self._note = ""

    def expect(self, kind: Kind, count: int, size: int | None) -> None:
        """Hear that `count` steps of a kind will follow, `size` bytes in all."""
        if not count:
            return
        with self._lock:
            self._phase(kind).expect(count, size)

    def start(self, step: Step) -> None:
        """Hear that a step begins."""
        with self._lock:
            self._phase(step.kind).begun += 1
            self._done.pop(step.kind, None)
            self._labels[step.kind].append(step.label)

    def advance(self, step: Step, size: int) -> None:
        """Hear that `size` more bytes of the step are done."""
        with self._lock:
            self._phase(step.kind).done += size

    def finish(self, step: Step) -> None:
        """Hear that a step is done."""
        with self._lock:
            phase = self._phase(step.kind)
            phase.finished += 1
            if phase.complete():
                self._done[step.kind] = phase.summary(self._clock())
            if step.label in self._labels[step.kind]:
                self._labels[step.kind].remove(step.label)

    def note(self, text: str) -> None:
        """Hear a sentence worth showing, until there is a newer one."""
        with self._lock:
            self._note = text

    def picture(self) -> dict[str, str]:
        """Return what to show now, by MIME type."""
        with self._lock:
            now = self._clock()
            title = f"envtool: building the environment of {self._name}"
            lines = list(self._lines(now))
            return _picture(f"{title}, {duration_text(now - self._started)}", lines)

    def _phase(self, kind: Kind) -> Phase:
        if kind not in self._phases:
            self._phases[kind] = Phase(kind, self._clock())
            self._labels[kind] = []
        return self._phases[kind]

    def _lines(self, now: float) -> Iterator[tuple[str, float | None]]:
        """Yield what each phase has to tell, and which part of it is done."""
        for kind, phase in self._phases.items():
            labels = self._labels[kind]
            if kind in self._done:
                yield self._done[kind], 1.0
                continue
            text = f"{WORDS[kind][0]}{_amount(phase, now)}"
            if labels:
                more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
                text += f": {', '.join(map(_brief, labels[:_SHOWN]))}{more}"
            yield text, _part(phase)
        if self._note:
            yield self._note, None


def _amount(phase: Phase, now: float) -> str:
    """Return how far a phase is, such as ` 12 of 40, 45 MB of 120 MB (15 MB/s)`."""
    text = f" {phase.finished} of {phase.expected}" if phase.expected else ""
    if phase.done:
        of = f" of {size_text(phase.size)}" if phase.size else ""
        seconds = max(now - phase.started, 0.1)
        text += f"{',' if text else ''} {size_text(phase.done)}{of}"
        text += f" ({size_text(int(phase.done / seconds))}/s)"
    return text


def _part(phase: Phase) -> float | None:
    if phase.size:
        return min(phase.done / phase.size, 1.0)
    return phase.finished / phase.expected if phase.expected else None


def _picture(title: str, lines: list[tuple[str, float | None]]) -> dict[str, str]:
    rows = "".join(_row(text, part) for text, part in lines)
    told = (
        f"<div style='{_STYLE}'><b>{html.escape(title)}</b><div style='{_GRID}'>{rows}</div></div>"
    )
    plain = "\n".join([title, *(f"  {text}" for text, _ in lines)])
    return {"text/plain": plain, "text/html": told}


def _row(text: str, part: float | None) -> str:
    """Return the HTML of two fields of the grid: how far it is, and what."""
    if part is None:
        return f"<span style='grid-column:1/-1'>{html.escape(text)}</span>"
    bar = f"<progress value='{part:.3f}' max='1' style='width:100%'></progress>"
    return f"{bar}<span style='{_LINE}'>{html.escape(text)}</span>"


def _brief(label: str) -> str:
    """Return a package's name and version for its file's, which tells about platforms as well."""
    found = _FILE.fullmatch(label)
    return label if found is None else f"{found[1]} {found[2]}"
