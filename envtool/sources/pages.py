"""An index's page of a project (PEP 503): which files it offers, and which of them is the newest.

The HTML form is read, which every index has. Only what a search tells is taken from it.
"""

import html
import re
from collections.abc import Iterable
from urllib.parse import urljoin, urlsplit

from envtool.values import value

__all__ = ["Offered", "is_name", "newest", "normalised", "offered", "summary_of"]

_LINK = re.compile(r"""<a\s((?:[^>"']|"[^"]*"|'[^']*')*)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([a-zA-Z][a-zA-Z-]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'))?""")
_SUMMARY = re.compile(r"^Summary:[ \t]*(.*)$", re.MULTILINE | re.IGNORECASE)

is_name = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?").fullmatch
"""Whether a text can be the name of a project (PEP 508)."""


@value
class Offered:
    """A file that an index offers."""

    filename: str
    url: str
    """Without a fragment."""
    version: str
    has_metadata: bool
    """Whether its metadata can be had at `url` with `.metadata` behind (PEP 658)."""


def normalised(name: str) -> str:
    """Return a project's name as indexes spell it in URLs (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def offered(page: str, url: str) -> tuple[Offered, ...]:
    """Return the files of a page, which was had at `url`; neither yanked ones nor other things."""
    found = []
    for link in _LINK.findall(page):
        attributes = {
            name.lower(): html.unescape(first or second)
            for name, first, second in _ATTRIBUTE.findall(link)
        }
        if "href" not in attributes or "data-yanked" in attributes:
            continue
        where = urljoin(url, attributes["href"]).partition("#")[0]
        filename = urlsplit(where).path.rpartition("/")[2]
        version = _version(filename)
        if version is not None:
            told = attributes.keys() & {"data-core-metadata", "data-dist-info-metadata"}
            has = any(attributes[each] != "false" for each in told)
            found.append(Offered(filename, where, version, has))
    return tuple(found)


def newest(files: Iterable[Offered]) -> Offered | None:
    """Return a file of the newest version, one with metadata or else a wheel if there is one.

    A pre-release counts only where there is nothing else.
    """
    from packaging.version import Version

    def rank(file: Offered) -> tuple[bool, Version, bool, bool]:
        version, is_wheel = Version(file.version), file.filename.endswith(".whl")
        return not version.is_prerelease, version, file.has_metadata, is_wheel

    return max(files, key=rank, default=None)


def summary_of(metadata: str) -> str:
    """Return what a project says in one line that it is; empty if it says nothing."""
    head, _, _ = metadata.replace("\r\n", "\n").partition("\n\n")
    found = _SUMMARY.search(head)
    return found[1].strip() if found else ""


def _version(filename: str) -> str | None:
    """Return the version of a wheel or source package; None for another file."""
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
