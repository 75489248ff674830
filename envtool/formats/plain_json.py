"""JSON, read by the scanner in C that CPython's `json` is built on, without what `json` loads.

`json` takes 5 ms to load, most of them for `re`, which only its own Python code needs: a third of
what entering an environment takes. What it would refuse is refused here, by `json` itself.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["loads"]


class _Context:
    """What the scanner looks up: how `json.JSONDecoder()` is set."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str]

    def __init__(self) -> None:
        self.memo = {}

    @staticmethod
    def parse_constant(name: str) -> float:
        """Return what `NaN`, `Infinity` and `-Infinity` stand for."""
        return float(name)


def loads(data: bytes | str) -> Any:
    """Return what a JSON text says, as `json.loads` does; bytes are UTF-8.

    :raises ValueError: it is no JSON, or no UTF-8.
    """
    text = data if isinstance(data, str) else data.decode()
    scan = None if "json" in sys.modules else _scanner()
    if scan is not None:
        body = text.strip(" \t\r\n")
        try:
            found, end = scan(body, 0)
        except (StopIteration, ValueError, RecursionError, SystemError):
            end = -1  # it has no error to raise: that is a class of `json`, which is not loaded
        if end == len(body):
            return found
    import json

    return json.loads(text)


def _scanner() -> Any:
    try:
        from _json import make_scanner
    except ImportError:  # another Python than CPython
        return None
    if hasattr(sys, "gettotalrefcount"):  # a build for debugging dies where there is no error
        return None
    context: Any = _Context()
    return make_scanner(context)
