"""Projects of a package index: the newest version of one, and what it is.

    cache/projects/<digest of index and name>.json

An answer is kept, since a search is often one of several; after some minutes it is asked for again.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from envtool.errors import FetchError
from envtool.machine.disk import disk_errors
from envtool.machine.fetching.fetch import AbsentError, Fetcher
from envtool.sources.pages import newest, normalised, offered, summary_of
from envtool.values import value

__all__ = ["Project", "find_project"]

KEPT = 600
"""Seconds."""
_MOST_PAGE = 64 << 20
"""Bytes; the largest pages have some ten million."""


@value
class Project:
    """A project that an index has."""

    name: str
    """As indexes spell it, such as `ruamel-yaml`."""
    version: str
    """The newest that is neither yanked nor, if there is another, a pre-release."""
    summary: str
    """Empty where the index does not tell."""


def find_project(
    name: str,
    index: str,
    cache: str,
    fetcher: Fetcher,
    *,
    now: Callable[[], float] = time.time,
) -> Project | None:
    """Return a project of an index by its exact name; None if the index has no file of one.

    Offline, what was kept is returned whatever its age.

    :raises FetchError: the index does not answer; or nothing is kept, and envtool works offline.
    """
    name = normalised(name)
    digest = hashlib.sha256(f"{index}\n{name}".encode()).hexdigest()
    path = f"{cache}/projects/{digest[:32]}.json"
    kept = _load(path)
    if kept is not None and (fetcher.offline or 0 <= now() - kept["asked"] < KEPT):
        return Project(name, kept["version"], kept["summary"]) if kept["version"] else None
    with disk_errors("ask an index"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
            found = _asked(name, f"{index.rstrip('/')}/{name}/", folder, fetcher)
            answer = {
                "asked": now(),
                "version": found.version if found else "",
                "summary": found.summary if found else "",
            }
            scratch = f"{folder}/answer"
            with open(scratch, "w", encoding="utf-8") as file:
                json.dump(answer, file)
            os.replace(scratch, path)
    return found


def _asked(name: str, url: str, folder: str, fetcher: Fetcher) -> Project | None:
    try:
        page = _text(url, f"{folder}/page", fetcher)
    except AbsentError:
        return None
    file = newest(offered(page, url))
    if file is None:
        return None
    summary = ""
    if file.has_metadata or file.filename.endswith(".whl"):  # some have it and do not say so
        try:
            summary = summary_of(_text(f"{file.url}.metadata", f"{folder}/metadata", fetcher))
        except FetchError:
            summary = ""  # the version is worth telling without
    return Project(name, file.version, summary)


def _text(url: str, path: str, fetcher: Fetcher) -> str:
    arrived = 0

    def count(size: int) -> None:
        nonlocal arrived
        arrived += size
        if arrived > _MOST_PAGE:
            raise FetchError(f"{url} is larger than any page of an index")

    fetcher.fetch(url, path, sha256=None, on_bytes=count)
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _load(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("asked"), int | float):
        return None
    texts = (found.get("version"), found.get("summary"))
    return found if all(isinstance(text, str) for text in texts) else None
