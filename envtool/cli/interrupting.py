"""The end of an interrupted command: soon, with nothing of it left running.

A signal raises `KeyboardInterrupt` where the main thread stands, which undoes and tells on its way
out what there is time for. Work that cannot be stopped, such as a thread that unpacks, is not
waited for: whatever is cut off half-way, all that is valid in the store stays so.
"""

from __future__ import annotations

import _thread
import os
import time
from typing import TYPE_CHECKING, NoReturn, Protocol

from envtool.machine.descendants import end_descendants

if TYPE_CHECKING:
    from envtool.cli.terminal import Terminal

__all__ = ["see_to_the_end", "tell"]

GRACE = 0.6
"""Seconds for the way out."""
LAST = 2.0
"""Seconds that the sentence about it may take; on a terminal that is not held up it takes none."""
_STEP = 0.02
_SIGNALLED = 128


class Signals(Protocol):
    """What `envtool.cli` knows of the signal that ends the command."""

    heard: int | None
    telling: _thread.LockType
    told: bool
    terminal: Terminal


def see_to_the_end(signals: Signals) -> NoReturn:
    """Kill what the command started, and end it after a moment; for a thread of its own."""
    end_descendants()
    time.sleep(GRACE)
    _thread.start_new_thread(tell, (signals,))
    deadline = time.monotonic() + LAST
    while not signals.told and time.monotonic() < deadline:
        time.sleep(_STEP)
    end_descendants()
    os._exit(_code(signals))


def tell(signals: Signals) -> int:
    """Say the sentence, unless the other thread does; return what the process ends with."""
    from envtool.cli.failure import report

    if signals.telling.acquire(blocking=False):
        report(KeyboardInterrupt(), signals.terminal)
        end_descendants()
        signals.told = True
    else:
        time.sleep(LAST)  # the other one is about to end the process
    return _code(signals)


def _code(signals: Signals) -> int:
    assert signals.heard is not None
    return _SIGNALLED + signals.heard
