"""pip's requirements files: <https://pip.pypa.io/en/stable/reference/requirements-file-format/>."""

import posixpath
import re
from collections.abc import Callable, Iterator

from envtool.errors import DeclarationError, Fault
from envtool.formats.foreign.carried import Carried, sorted_out

__all__ = ["parse"]

_COMMENT = re.compile(r"(?:^|\s)#.*$")
_OPTION = re.compile(r"(-[A-Za-z](?=\s|\S)|--[a-z][a-z-]*)[ =]?\s*(.*)").fullmatch
_OF_ONE = re.compile(r"\s--(?:hash|config-settings?|global-option)[= ]\S+")
_WHEEL = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._]*)-[^-]+(?:-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl"
).fullmatch
_INCLUDES = {"-r", "--requirement"}
_EDITABLE = {"-e", "--editable"}
_INDEX = {"-i", "--index-url", "--pypi-url"}
_SILENT = {"--require-hashes", "--prefer-binary", "--use-feature", "-q"}
"""Options that ask for nothing that envtool does not do anyway."""
_DEEPEST = 20


def parse(text: str, read: Callable[[str], str], path: str = "requirements.txt") -> Carried:
    """Return what a requirements file asks for.

    `read` gives the text of a file that it includes, by its path relative to the first one; it
    raises an error of ours if there is none.
    """
    reading = _Reading(read)
    reading.file(text, path, depth=0)
    good, wrong = sorted_out(reading.requirements)
    return Carried(
        requirements=good,
        projects=tuple(reading.projects),
        index=reading.index,
        left=(*reading.left, *wrong),
    )


class _Reading:
    """One file and what it includes."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self._read = read
        self.requirements: list[str] = []
        self.projects: list[tuple[str, bool]] = []
        self.index: str | None = None
        self.left: list[str] = []

    def file(self, text: str, path: str, depth: int) -> None:
        """Take a file's lines."""
        for number, line in _lines(text):
            option = _OPTION(line) if line.startswith("-") else None
            if option is None:
                self._requirement(_OF_ONE.sub("", f" {line}").strip(), path, number)
            else:
                self._option(option[1], option[2].strip().strip("'\""), path, number, depth)

    def _option(self, name: str, word: str, path: str, number: int, depth: int) -> None:
        folder = posixpath.dirname(path)
        if name in _INCLUDES:
            inner = posixpath.normpath(posixpath.join(folder, word))
            if depth >= _DEEPEST:
                self.left.append(f"{path}:{number}: {word} is included too deeply")
            else:
                self.file(self._included(inner, path, number), inner, depth + 1)
        elif name in _EDITABLE:
            self._local(word, path, number, editable=True)
        elif name in _INDEX:
            self.index = word
        elif name not in _SILENT:
            self.left.append(f"{path}:{number}: {f'{name} {word}'.strip()}")

    def _included(self, inner: str, path: str, number: int) -> str:
        try:
            return self._read(inner)
        except DeclarationError as error:
            message = f"includes {inner}: {error.faults[0].message}"
            raise DeclarationError([Fault(path, number, "", message)]) from error

    def _requirement(self, line: str, path: str, number: int) -> None:
        if "${" in line:
            self.left.append(f"{path}:{number}: {line} (a variable)")
        elif line.startswith((".", "/", "file:")) or (
            "/" in line and "@" not in line and "://" not in line
        ):
            self._local(line, path, number, editable=False)
        elif "://" in line and " @ " not in line:
            self._url(line, path, number)
        else:
            self.requirements.append(line)

    def _local(self, word: str, path: str, number: int, *, editable: bool) -> None:
        if "://" in word and not word.startswith("file://"):
            self._url(word, path, number)
            return
        place = word.removeprefix("file://").partition("[")[0]
        if place.endswith((".whl", ".gz", ".zip")):
            self.left.append(f"{path}:{number}: {word} (a file on this disk)")
        else:
            folder = posixpath.dirname(path)
            self.projects.append((posixpath.normpath(posixpath.join(folder, place)), editable))

    def _url(self, url: str, path: str, number: int) -> None:
        """Take a URL without a name, which a wheel or `#egg=` may tell."""
        place, _, fragment = url.partition("#")
        wheel = _WHEEL(posixpath.basename(place))
        egg = re.search(r"(?:^|&)egg=([A-Za-z0-9._-]+)", fragment)
        if wheel:
            self.requirements.append(f"{wheel[1]} @ {url}")
        elif egg:
            self.requirements.append(f"{egg[1]} @ {place}")
        else:
            self.left.append(f"{path}:{number}: {url} (write it as 'name @ URL')")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, continued ones joined, each with its number."""
    begun, parts = 1, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not parts:
            begun = number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            parts.append(line[:-1])
            continue
        whole = _COMMENT.sub("", "".join([*parts, line])).strip()
        parts = []
        if whole:
            yield begun, whole
    if whole := _COMMENT.sub("", "".join(parts)).strip():
        yield begun, whole
