"""apt's own configuration: from where, and which suites, a host takes packages (sources.list(5)).

Both forms are read: a line per source (`sources.list`) and a stanza per source (`*.sources`).
Nothing is asked of the files but to be read: what is not understood is left out, since they are
the host's and not the user's declaration.
"""

import re
from collections.abc import Iterator

from envtool.formats.debian.control import Stanza, parse_stanzas
from envtool.values import value

__all__ = ["Source", "parse_list", "parse_sources"]

_LINE = re.compile(r"deb\s+(?:\[\s*([^\]]*)\]\s*)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)\s*(?:#.*)?")


@value
class Source:
    """One source of binary packages."""

    uri: str
    """As it is configured, without trailing slash: http, https, file, mirror+file …"""
    suites: tuple[str, ...]
    components: tuple[str, ...]
    """Empty for flat repositories, whose suite is a folder."""
    architectures: tuple[str, ...] = ()
    """Empty: those of the host."""
    signed_by: tuple[str, ...] = ()
    """Absolute paths of key files, or fingerprints; empty: apt's own keys."""


def parse_list(text: str) -> tuple[Source, ...]:
    """Return the sources of the one-line form; `deb-src` and disabled ones are left out."""
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return tuple(_of_line(each) for each in found if each is not None)


def _of_line(line: re.Match[str]) -> Source:
    options = {
        name.lower(): value
        for name, _, value in (option.partition("=") for option in (line[1] or "").split())
    }
    return Source(
        line[2].rstrip("/"),
        (line[3],),
        tuple(line[4].split()),
        tuple(filter(None, options.get("arch", "").split(","))),
        tuple(filter(None, options.get("signed-by", "").split(","))),
    )


def parse_sources(text: str, place: str = "sources") -> tuple[Source, ...]:
    """Return the sources of the deb822 form.

    :raises FormatError: the text is not made of stanzas.
    """
    return tuple(source for stanza in parse_stanzas(text, place) for source in _of_stanza(stanza))


def _of_stanza(stanza: Stanza) -> Iterator[Source]:
    if stanza.get("enabled", "yes").strip().lower() in {"no", "false", "0", "off"}:
        return
    if "deb" not in stanza.get("types", "").split():
        return
    signed = stanza.get("signed-by", "")
    for uri in stanza.get("uris", "").split():
        yield Source(
            uri.rstrip("/"),
            tuple(stanza.get("suites", "").split()),
            tuple(stanza.get("components", "").split()),
            tuple(stanza.get("architectures", "").split()),
            # A key may stand in the field itself; then it has more than one line.
            () if "\n" in signed else tuple(signed.replace(",", " ").split()),
        )
