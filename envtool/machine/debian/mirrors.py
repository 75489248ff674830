"""Where the bytes of a Debian archive can be had, the best place first.

1. Mirrors that the user names: a URL that ends in `/debian` or `/debian-security`, or one with
   `{archive}` in it.
2. The mirrors of the host's own apt configuration, where the host is a Debian.
3. An archive of archives, which keeps every state there was: a URL with `{archive}` and
   `{timestamp}` in it. Nothing but files that a lock pins is asked of it. Who names none gets the
   one that the host's apt configuration mentions, as that of Debian's container images does.

No mirror is known here by name: who has no Debian and names none is told how to.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from envtool.errors import FormatError
from envtool.formats.debian.apt import Source, parse_list, parse_sources
from envtool.formats.debian.package import DebianPackage
from envtool.formats.debian.release import TIMESTAMP
from envtool.sources.debian.signature import ArchiveError
from envtool.values import value

__all__ = ["MAIN", "SECURITY", "Mirrors", "UnknownSuiteError", "archive_of", "find_mirrors"]

MAIN, SECURITY = "debian", "debian-security"
_STAY = timedelta(hours=12)
"""An archive of archives takes a state in hours after its Release file is made, and answers with
the last one before the time asked for. Files stay in Debian's pool longer than this after they are
superseded, so half a day later the files of a state are surely there."""

_PAST = re.compile(r"(https?://[^\s#]+)/(?:debian|debian-security)/[0-9]{8}T[0-9]{6}Z(?![^\s/])")
"""A state of an archive of archives, in a source or a comment."""


class UnknownSuiteError(ArchiveError):
    """No mirror has a suite, or none of its archive is known."""


def archive_of(suite: str) -> str:
    """Return the archive that a suite belongs to."""
    return SECURITY if suite.endswith("-security") else MAIN


@value
class Mirrors:
    """Mirrors to ask, in this order."""

    bases: tuple[str, ...]
    """URLs of mirrors without a trailing slash; `{archive}` stands for the archive's name."""
    past: str | None = None
    """A URL with `{archive}` and `{timestamp}`."""

    def of(self, archive: str) -> tuple[str, ...]:
        """Return the URLs of an archive's folder, without a trailing slash.

        :raises UnknownSuiteError: there is none.
        """
        found = tuple(dict.fromkeys(_bases(self.bases, archive)))
        if not found:
            raise UnknownSuiteError(
                f"no mirror of the archive {archive!r} is known",
                hint="name one: export ENVTOOL_DEBIAN_MIRROR=https://HOST/{archive}",
            )
        return found

    def urls(self, package: DebianPackage) -> tuple[str, ...]:
        """Return where a locked package can be had, the best place first; perhaps nowhere."""
        bases = [*_bases(self.bases, package.archive)]
        if self.past is not None:
            named = self.past.replace("{archive}", package.archive)
            bases.append(named.replace("{timestamp}", _later(package.timestamp)))
        return tuple(dict.fromkeys(f"{base}/{package.path}" for base in bases))


def find_mirrors(named: Sequence[str], past: str | None, apt: str = "/etc/apt") -> Mirrors:
    """Return the named mirrors, then those of the host's apt configuration in the folder `apt`.

    What cannot be read of it says nothing.
    """
    own = [each.rstrip("/") for each in named if each.strip()]
    texts = dict(_texts(apt))
    sources = (source for path, text in texts.items() for source in _sources(path, text))
    host = [url for source in sources for url in _of_debian(source)]
    return Mirrors(
        tuple(dict.fromkeys((*own, *host))),
        past.rstrip("/") if past else next(filter(None, map(_past, texts.values())), None),
    )


def _bases(bases: Iterable[str], archive: str) -> Iterator[str]:
    for base in bases:
        if "{archive}" in base:
            yield base.replace("{archive}", archive)
        elif base.rpartition("/")[2] == archive:
            yield base


def _later(timestamp: str) -> str:
    moment = datetime.strptime(timestamp, TIMESTAMP).replace(tzinfo=UTC)
    return (moment + _STAY).strftime(TIMESTAMP)


def _texts(folder: str) -> Iterator[tuple[str, str]]:
    """Yield the files that say from where apt takes packages, as far as they can be read."""
    below = f"{folder}/sources.list.d"
    try:
        names = sorted(os.listdir(below))
    except OSError:
        names = []
    for path in (f"{folder}/sources.list", *(f"{below}/{name}" for name in names)):
        if path.endswith((".list", ".sources")):
            yield path, _text(path)


def _sources(path: str, text: str) -> tuple[Source, ...]:
    if path.endswith(".list"):
        return parse_list(text)
    try:
        return parse_sources(text, path)
    except FormatError:
        return ()


def _past(text: str) -> str | None:
    """Return the archive of archives that a configuration mentions."""
    found = _PAST.search(text)
    return f"{found[1]}/{{archive}}/{{timestamp}}" if found else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""


def _of_debian(source: Source) -> Iterator[str]:
    """Yield the mirrors of Debian that a source of apt's is, with the archive as last word."""
    for uri in _listed(source.uri):
        if uri.rpartition("/")[2] in {MAIN, SECURITY}:
            yield uri


def _listed(uri: str) -> Iterator[str]:
    """Yield the URL, or those of the file of mirrors that it names (apt-transport-mirror(1))."""
    scheme, _, rest = uri.partition(":")
    if scheme in {"http", "https", "file"}:
        yield uri
    elif scheme == "mirror+file":
        path = "/" + rest.lstrip("/")
        for line in _text(path).splitlines():
            url = line.partition("\t")[0].strip().rstrip("/")
            if url and url[0] != "#":
                yield url
