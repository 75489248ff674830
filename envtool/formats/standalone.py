"""An archive of python-build-standalone, as a lock pins it."""

import re
from collections.abc import Mapping
from typing import Any

from envtool.errors import FormatError
from envtool.values import value

__all__ = ["StandaloneArchive", "read_locked", "render_locked"]

_FORMS = {
    "version": re.compile(r"3\.\d+\.\d+").fullmatch,
    "url": re.compile(r"https?://[!-~]+/[!-.0-~]+/[!-.0-~]+").fullmatch,
    "sha256": re.compile(r"[0-9a-f]{64}").fullmatch,
}


@value
class StandaloneArchive:
    """One archive: an interpreter for one kind of machine."""

    version: str
    """`3.13.5`."""
    url: str
    """Where its makers have it."""
    sha256: str
    """Hexadecimal."""

    @property
    def below(self) -> str:
        """Where it lies below a mirror: the release and the file, as they stand in the URL."""
        return "/".join(self.url.split("/")[-2:])

    @property
    def filename(self) -> str:
        """The file's own name."""
        from urllib.parse import unquote

        return unquote(self.url.rpartition("/")[2])


def render_locked(archive: StandaloneArchive) -> dict[str, str]:
    """Return the table that pins an archive in a lock."""
    return {"version": archive.version, "url": archive.url, "sha256": archive.sha256}


def read_locked(table: Mapping[str, Any]) -> StandaloneArchive:
    """Return the archive that a lock's table pins.

    :raises FormatError: with every fault of the table, one a line.
    """
    faults = [
        f"archive: {field} is {table.get(field)!r}, which is not its form"
        for field, has_form in _FORMS.items()
        if not isinstance(table.get(field), str) or not has_form(table[field])
    ]
    if faults:
        raise FormatError("\n".join(faults))
    return StandaloneArchive(table["version"], table["url"], table["sha256"])
