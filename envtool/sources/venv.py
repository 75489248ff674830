"""A virtual environment as it lies there: its Python, and what was installed into it."""

import json
import os
from collections.abc import Iterator
from email.parser import HeaderParser
from glob import escape, glob
from typing import Any

from envtool.errors import DeclarationError, Fault
from envtool.values import value

__all__ = ["Installed", "VirtualEnvironment", "read_venv"]


@value
class Installed:
    """One distribution (PEP 376), from its `.dist-info`."""

    name: str
    version: str
    requires: tuple[str, ...]
    """As its metadata says it, with markers."""
    requested: bool
    """The user asked for it by name (PEP 376's REQUESTED)."""
    url: str | None
    """Where it came from, if not from an index (PEP 610), as PEP 508 writes it."""
    editable: str | None
    """The folder of an editable project."""


@value
class VirtualEnvironment:
    """A folder with a `pyvenv.cfg` (PEP 405)."""

    python: str | None
    """Its version, if it says so."""
    installed: tuple[Installed, ...]
    """By name."""


def read_venv(folder: str) -> VirtualEnvironment:
    """Return what a virtual environment holds.

    :raises DeclarationError: it is none, or cannot be read.
    """
    try:
        with open(f"{folder}/pyvenv.cfg", encoding="utf-8") as file:
            lines = [line.partition("=") for line in file]
        found = [_installed(each) for each in _dist_infos(folder)]
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(
            [Fault(folder, None, "", f"not a virtual environment that can be read: {error}")]
        ) from error
    said = {key.strip().lower(): word.strip() for key, _, word in lines}
    version = said.get("version") or said.get("version_info")
    python = ".".join(version.split(".")[:2]) if version else None
    return VirtualEnvironment(python, tuple(sorted(filter(None, found), key=lambda i: i.name)))


def _dist_infos(folder: str) -> Iterator[str]:
    yield from glob(f"{escape(folder)}/lib/python3*/site-packages/*.dist-info")


def _installed(folder: str) -> Installed | None:
    metadata = _text(f"{folder}/METADATA")
    if metadata is None:
        return None  # what a broken uninstall leaves
    headers = HeaderParser().parsestr(metadata)
    name, version = headers.get("Name"), headers.get("Version")
    if not name or not version:
        return None
    url, editable = _direct(_text(f"{folder}/direct_url.json"), name)
    return Installed(
        name=name,
        version=version,
        requires=tuple(str(each) for each in headers.get_all("Requires-Dist", [])),
        requested=os.path.exists(f"{folder}/REQUESTED"),
        url=url,
        editable=editable,
    )


def _direct(text: str | None, name: str) -> tuple[str | None, str | None]:
    """Return URL and editable folder of a `direct_url.json`."""
    try:
        said: Any = json.loads(text or "{}")
        url = said.get("url")
        if not isinstance(url, str):
            return None, None
        if url.startswith("file://"):
            from urllib.parse import unquote

            folder = unquote(url.removeprefix("file://"))
            is_editable = bool(said.get("dir_info", {}).get("editable"))
            return None if is_editable else f"{name} @ {url}", folder if is_editable else None
        vcs = said.get("vcs_info")
        if vcs:
            return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}", None
    except (ValueError, AttributeError, KeyError, TypeError):
        return None, None
    return f"{name} @ {url}", None


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None
