"""Signals as something to be read, for a loop that waits for messages anyway."""

import os
import signal
from contextlib import suppress

__all__ = ["SIGNALS", "Waking"]

SIGNALS = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
"""Those that a relay hears."""


class Waking:
    """Signals make a descriptor readable, instead of interrupting whatever is being done."""

    def __enter__(self) -> int:
        self._reader, self._writer = os.pipe()
        for descriptor in (self._reader, self._writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {each: signal.signal(each, _heard) for each in SIGNALS}
        return self._reader

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for each, handler in self._before.items():
            with suppress(TypeError):
                signal.signal(each, handler)
        os.close(self._reader)
        os.close(self._writer)


def _heard(_number: int, _frame: object) -> None:
    pass
