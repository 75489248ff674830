"""ATerm as far as `.drv` files use it: strings, lists and tuples, without a space between them.

In a string exactly five characters are escaped; on reading, a backslash before any other
character stands for that character (Nix manual, "Derivation ATerm format").
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, NoReturn, TypeVar

from envtool.errors import FormatError

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SPECIAL = re.compile(r'["\\\n\r\t]')
_Item = TypeVar("_Item")


def encode(text: str) -> bytes:
    """Return the bytes of a text; bytes that are not UTF-8 stand in it by `surrogateescape`.

    :raises FormatError: a NUL or an unpaired surrogate, which no process could be given.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        bad = text[error.start : error.end]
        raise FormatError(f"a derivation cannot hold the unpaired surrogate {bad!r}") from error
    if b"\0" in data:
        raise FormatError(f"a derivation cannot hold a NUL: {text[:80]!r}")
    return data


def string(text: str) -> str:
    """Return the term of one string."""
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(lambda match: _ESCAPES[match[0]], text)
    return f'"{text}"'


def joined(terms: Iterable[str]) -> str:
    """Return the list of terms that are rendered already."""
    return f"[{','.join(terms)}]"


def strings(texts: Iterable[str]) -> str:
    """Return the list of strings."""
    return joined(map(string, texts))


def fields(*texts: str) -> str:
    """Return the tuple of strings."""
    return f"({','.join(map(string, texts))})"


class Cursor:
    """Reads one text from its start to its end; every method raises FormatError."""

    # Possessive, so that a string costs one match and no way back, however long it is.
    _STRING = re.compile(r'"([^"\\\0]*+(?:\\[^\0][^"\\\0]*+)*+)"')
    _ESCAPED = re.compile(r"\\(.)", re.DOTALL)
    _UNESCAPED: ClassVar[Mapping[str, str]] = {"n": "\n", "r": "\r", "t": "\t"}

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def _fail(self, wanted: str) -> NoReturn:
        found = self._text[self._at : self._at + 20]
        raise FormatError(f"not a derivation: at {self._at} stands {found!r} instead of {wanted}")

    def expect(self, wanted: str) -> None:
        """Step over `wanted`."""
        if not self._text.startswith(wanted, self._at):
            self._fail(repr(wanted))
        self._at += len(wanted)

    def end(self) -> None:
        """Check that nothing is left."""
        if self._at != len(self._text):
            self._fail("the end")

    def string(self) -> str:
        """Read a string."""
        match = self._STRING.match(self._text, self._at)
        if match is None:
            self._fail("a string")
        self._at = match.end()
        if "\\" not in match[1]:
            return match[1]
        return self._ESCAPED.sub(lambda found: self._UNESCAPED.get(found[1], found[1]), match[1])

    def items(self, item: Callable[[], _Item]) -> list[_Item]:
        """Read a list of what `item` reads."""
        self.expect("[")
        items: list[_Item] = []
        while not self._text.startswith("]", self._at):
            if items:
                self.expect(",")
            items.append(item())
        self._at += 1
        return items

    def strings(self) -> list[str]:
        """Read a list of strings."""
        return self.items(self.string)

    def fields(self, count: int) -> tuple[str, ...]:
        """Read a tuple of `count` strings."""
        self.expect("(")
        texts = [self.string()]
        for _ in range(count - 1):
            self.expect(",")
            texts.append(self.string())
        self.expect(")")
        return tuple(texts)
