"""What an artifact is never asked for twice: its size, and what its sdist needs to be built.

Both follow from the bytes, so they are kept by SHA-256 (or commit), in one file of the cache
that can be made again at any time.
"""

import json
import os
from collections.abc import Sequence
from typing import Any, Self

__all__ = ["Remembered"]


class Remembered:
    """Sizes and build requirements by what they belong to; used with `with`, which saves."""

    def __init__(self, path: str) -> None:
        self._path = path
        document = _load(path)
        self._sizes: dict[str, int] = _of_type(document.get("sizes"), int)
        self._requires: dict[str, list[str]] = _of_type(document.get("requires"), list)
        self._has_news = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_news:
            self._save()

    def size(self, sha256: str) -> int | None:
        """Return an artifact's bytes; None when they are not known."""
        return self._sizes.get(sha256)

    def keep_size(self, sha256: str, size: int) -> None:
        """Remember an artifact's bytes."""
        self._sizes[sha256] = size
        self._has_news = True

    def requires(self, source: str) -> list[str] | None:
        """Return what a source needs to be built; None when that is not known."""
        return self._requires.get(source)

    def keep_requires(self, source: str, requires: Sequence[str]) -> None:
        """Remember what a source needs to be built."""
        self._requires[source] = list(requires)
        self._has_news = True

    def _save(self) -> None:
        temporary = f"{self._path}.{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump({"sizes": self._sizes, "requires": self._requires}, file)
            os.replace(temporary, self._path)
        except OSError:
            return  # read-only or full: next time they are asked for again


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _of_type(table: Any, kind: type) -> dict[str, Any]:
    if not isinstance(table, dict):
        return {}
    return {key: value for key, value in table.items() if isinstance(value, kind)}
