"""How the floors below tell a face what is going on; they never print.

A face passes a `Reporter` down. Calls may come from any thread.
"""

from __future__ import annotations

from envtool.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, Protocol

    Kind = Literal[
        "resolve",
        "fetch",
        "unpack",
        "build",
        "compose",
        "collect",
        "optimise",
        "verify",
        "import",
    ]
else:
    Kind, Protocol = str, object


@value
class Step:
    """One unit of work that a user may want to watch."""

    kind: Kind
    label: str
    """What is worked on, such as a wheel's file name."""
    size: int | None = None
    """Bytes, where they are known beforehand and counted on the way; else None."""


class Reporter(Protocol):
    """Watches the work."""

    def expect(self, kind: Kind, count: int, size: int | None) -> None:
        """Hear that `count` steps of a kind will follow, `size` bytes in all (None: unknown)."""

    def start(self, step: Step) -> None:
        """Hear that a step begins."""

    def advance(self, step: Step, size: int) -> None:
        """Hear that `size` more bytes of the step are done."""

    def finish(self, step: Step) -> None:
        """Hear that a step is done; a step that fails is never finished."""

    def note(self, text: str) -> None:
        """Hear a sentence worth showing, such as what is being waited for."""


class SilentReporter:
    """Watches nothing."""

    def expect(self, kind: Kind, count: int, size: int | None) -> None:
        """Ignore it."""

    def start(self, step: Step) -> None:
        """Ignore it."""

    def advance(self, step: Step, size: int) -> None:
        """Ignore it."""

    def finish(self, step: Step) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""
