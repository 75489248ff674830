"""Processes of a relay: each leads a group of its own and does not outlive the relay."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

__all__ = ["Child"]

_PR_SET_PDEATHSIG = 1
"""See prctl(2)."""
_LAST_WORDS = 5
"""Seconds that a process may take to end after it was asked to."""


class Child:
    """A process that was started, with all that it starts."""

    def __init__(
        self, argv: Sequence[str], environ: Mapping[str, str], *, keep: Sequence[int] = ()
    ) -> None:
        """Start it; it inherits the descriptors `keep` and our standard streams but for input.

        :raises OSError: the program cannot be started.
        """
        self._process = subprocess.Popen(
            argv,
            env=environ,
            stdin=subprocess.DEVNULL,
            pass_fds=keep,
            process_group=0,
            # Safe in a relay, which has one thread of Python's.
            preexec_fn=_tied_to_parent(os.getpid()),  # noqa: PLW1509
        )

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def send(self, number: int) -> None:
        """Send a signal to it and to all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def wait(self) -> None:
        """Wait a little for it to end by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WORDS)

    def stop(self) -> None:
        """Interrupt it, wait a little, and end what is left of it."""
        if self.code is None:
            self.send(signal.SIGINT)
            self.wait()
        self.send(signal.SIGKILL)
        self._process.wait()


def _tied_to_parent(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return tie
