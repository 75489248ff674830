"""How far each kind of work is, counted for whoever shows it: a terminal, or a cell."""

from envtool.cli.terminal import duration_text, size_text
from envtool.reporting import Kind

__all__ = ["WORDS", "Phase"]

WORDS: dict[Kind, tuple[str, str, str]] = {
    "resolve": ("resolving", "resolved", "requirements"),
    "fetch": ("fetching", "fetched", "artifacts"),
    "unpack": ("unpacking", "unpacked", "artifacts"),
    "build": ("building", "built", "derivations"),
    "compose": ("composing", "composed", "environments"),
    "collect": ("collecting", "collected", "store paths"),
    "optimise": ("optimising", "optimised", "store paths"),
    "verify": ("verifying", "verified", "store paths"),
    "import": ("importing", "imported", "modules"),
}
"""What is being done, what was done, and to what, by kind of step."""


class Phase:
    """All steps of one kind, so far."""

    def __init__(self, kind: Kind, started: float) -> None:
        self.kind = kind
        self.started = started
        """On the clock of the progress, in seconds."""
        self.expected: int | None = None
        """Steps in all; None when nobody said."""
        self.size: int | None = None
        """Bytes in all; None when unknown."""
        self.begun = 0
        self.finished = 0
        self.done = 0
        """Bytes so far."""

    def expect(self, count: int, size: int | None) -> None:
        """Add steps that will follow, `size` bytes in all; None makes their sum unknown."""
        self.expected = (self.expected or 0) + count
        self.size = None if size is None else (self.size or 0) + size

    def complete(self) -> bool:
        """Return whether no step is left to wait for."""
        return self.finished > 0 and self.finished >= max(self.expected or 0, self.begun)

    def summary(self, now: float) -> str:
        """Return the line that stays, such as `fetched 12 artifacts, 45 MB in 3.1 s (15 MB/s)`."""
        seconds = now - self.started
        _, done, things = WORDS[self.kind]
        text = done
        if self.expected is not None or self.finished > 1:
            text += f" {self.finished} {things.removesuffix('s') if self.finished == 1 else things}"
        if self.done:
            text += f", {size_text(self.done)}"
        text += f" in {duration_text(seconds)}"
        return (
            f"{text} ({size_text(int(self.done / seconds))}/s)" if self.done and seconds else text
        )
