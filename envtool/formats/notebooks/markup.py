"""SVG, HTML and scripts of two runs without what says another thing each time and means nothing.

* `<metadata>` is left out: nobody sees it, and matplotlib writes the time and its version there.
* Names of parts (`id="p0a1b2c3d4e"`) that only one of the two has count as numbers, in the order in
  which they come. So do references to them: `#p0a1b2c3d4e` in style sheets and URLs, and in quotes.
  matplotlib, pandas and plotly draw such names by lot.
* So do UUIDs of version 4, which are random by their definition (RFC 9562), without hyphens as the
  end of a name (`anim479a…`), as matplotlib's animations have them.

Names that both have stay names, so that a reference to another part is a difference.
"""

import re
from collections.abc import Callable, Iterable, Mapping

__all__ = ["comparable"]

_ID = re.compile(r"""(?<![\w-])id\s*=\s*(?:"([A-Za-z_][^"]*)"|'([A-Za-z_][^']*)')""")
_REFERENCE = re.compile(r"""(?<=[#"'])[A-Za-z_][\w-]*(?P<rest>[.:][\w.:-]*)?""")
_UUID = re.compile(
    r"(?<![0-9a-fA-F])"
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
    r"(?![0-9a-fA-F])"
    r"|(?<=[g-zG-Z_-])[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}(?![0-9a-fA-F])"
)
_OPENING, _CLOSING = "<metadata", "</metadata>"


def comparable(old: str, new: str) -> tuple[str, str]:
    """Return both, the same where they differ by chance only."""
    one, other = _without_metadata(old), _without_metadata(new)
    first, second = _UUID.findall(one), _UUID.findall(other)
    one = _UUID.sub(_named(_numbers(first, second, "uuid")), one)
    other = _UUID.sub(_named(_numbers(second, first, "uuid")), other)
    first, second = _ids(one), _ids(other)
    return (
        _REFERENCE.sub(_named(_numbers(first, second, "name")), one),
        _REFERENCE.sub(_named(_numbers(second, first, "name")), other),
    )


def _without_metadata(markup: str) -> str:
    kept, at = [], 0
    while (opening := markup.find(_OPENING, at)) >= 0:
        closing = markup.find(_CLOSING, opening)
        if closing < 0:
            break
        kept.append(markup[at:opening])
        at = closing + len(_CLOSING)
    return "".join([*kept, markup[at:]])


def _ids(markup: str) -> list[str]:
    return [double or single for double, single in _ID.findall(markup)]


def _numbers(names: Iterable[str], others: Iterable[str], word: str) -> dict[str, str]:
    """Return a number for each name that the other run has not, in the order in which they come."""
    shared = set(others)
    own = dict.fromkeys(name for name in names if name not in shared)
    return {name: f"{word}{number}" for number, name in enumerate(own, 1)}


def _named(numbers: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    """Return what a match is to be replaced by: the number of all of it, or of what leads it."""

    def instead(match: re.Match[str]) -> str:
        name = match[0]
        if name not in numbers and match.lastgroup == "rest":
            rest = match["rest"]
            head = name.removesuffix(rest)
            return numbers.get(head, head) + rest
        return numbers.get(name, name)

    return instead
