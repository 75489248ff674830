"""Control stanzas: `Field: value` lines, with continuation lines, between empty lines (deb822(5)).

    Package: hello
    Depends: libc6 (>= 2.34)
    Description: example package
     that greets

Names of fields are the same in upper and lower case; here they are in lower case. A value that
goes on keeps its line breaks, without the blank that begins each line.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from envtool.errors import FormatError

__all__ = ["Stanza", "parse_stanza", "parse_stanzas"]

Stanza = Mapping[str, str]
"""Field names in lower case to values."""


def parse_stanza(text: str, place: str = "control") -> Stanza:
    """Return the one stanza of a text; `place` is what an error calls it.

    :raises FormatError: none or several, or a line that is no part of one.
    """
    stanzas = list(parse_stanzas(text, place))
    if len(stanzas) != 1:
        raise FormatError(f"{place}: has {len(stanzas)} stanzas, where there must be one")
    return stanzas[0]


def parse_stanzas(text: str, place: str = "control") -> Iterator[Stanza]:
    """Yield the stanzas of a text, in their order; lines that begin with `#` are comments.

    :raises FormatError: a line that is no field, or a field twice in a stanza.
    """
    lines: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if line[:1] == "#":
            continue
        if not line.strip():
            if lines:
                yield _joined(lines)
            lines, current = {}, None
        elif line[0] in " \t":
            if current is None:
                raise FormatError(f"{place}:{number}: goes on with a field, but none has begun")
            current.append(line[1:].rstrip())
        else:
            word, _, value = line.partition(":")
            name = _name(word) if len(word) < len(line) else None
            if name is None:
                raise FormatError(f"{place}:{number}: {line[:80]!r} is not 'Field: value'")
            if name in lines:
                raise FormatError(f"{place}:{number}: the field {name!r} stands here twice")
            current = lines[name] = [value.strip()]
    if lines:
        yield _joined(lines)


@lru_cache(256)  # an index of packages has 60, a million times
def _name(word: str) -> str | None:
    """Return a field's name in lower case; None for what is none."""
    is_none = not word or word != word.strip() or " " in word or word[0] == "-"
    return None if is_none else word.lower()


def _joined(lines: Mapping[str, list[str]]) -> Stanza:
    return {name: "\n".join(parts) for name, parts in lines.items()}
