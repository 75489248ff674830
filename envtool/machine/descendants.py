"""The processes that this one started, and those that they did, to the last."""

import os
import signal
from contextlib import suppress

__all__ = ["descendants", "end_descendants"]

_ROUNDS = 8
"""Looks after which whoever still starts others is left to what kills it."""


def descendants(pid: int) -> set[int]:
    """Return the processes below one; without those that ended and were not asked for yet."""
    children: dict[int, list[int]] = {}
    with suppress(FileNotFoundError), os.scandir("/proc") as entries:
        for entry in entries:
            parent = _parent(entry.name) if entry.name.isdigit() else None
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    below = children.get(pid, [])
    while below:
        each = below.pop()
        found.add(each)
        below += children.get(each, ())
    return found


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name before it may hold anything, spaces and brackets too (proc(5)).
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except (OSError, ValueError):
        return None
    return None if state == b"Z" else int(parent)


def end_descendants() -> None:
    """Kill all that this process started.

    They are stopped first: what starts others while it is being looked for would leave orphans,
    which nobody finds any more.
    """
    stopped: set[int] = set()
    for _ in range(_ROUNDS):
        new = descendants(os.getpid()) - stopped
        if not new:
            break
        _send(new, signal.SIGSTOP)
        stopped |= new
    _send(stopped, signal.SIGKILL)


def _send(pids: set[int], number: int) -> None:
    for pid in pids:
        # Those of a namespace may be somebody else's, as far as the kernel is concerned.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
