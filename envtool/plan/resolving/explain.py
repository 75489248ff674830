"""What uv says when it fails, said in envtool's words, with uv's explanation shortened below."""

import re
from collections.abc import Callable, Iterable, Sequence

from envtool.errors import ResolutionError
from envtool.values import value

__all__ = ["NeedsBuildError", "allowing", "explain"]

_MOST_LINES = 6
_MOST_CHARACTERS = 400
"""Of one line of uv's explanation."""
_DRAWING = re.compile(r"^[\s\u00d7\u2500-\u257f\u25b6]+")
"""Indentation and the lines that other versions of uv draw before a cause."""
_ARROW = "\u25b6"
_UNBUILT = re.compile(
    r"Wheels are required for `([\w.-]+)` because building"
    r"|Building source distributions for `([\w.-]+)` is disabled"
)
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


class NeedsBuildError(ResolutionError):
    """It is known only by building `names`, and building was not allowed."""

    def __init__(self, message: str, *, hint: str | None, names: frozenset[str]) -> None:
        super().__init__(message, hint=hint)
        self.names = names


@value
class _Said:
    """uv's message, each paragraph on one line."""

    error: str
    causes: Sequence[str]
    hints: Sequence[str]
    index: str | None

    @property
    def text(self) -> str:
        return "\n".join([self.error, *self.causes, *self.hints])

    def find(self, pattern: str) -> "re.Match[str] | None":
        return re.search(pattern, self.text)

    def names(self, pattern: str) -> str:
        """Return the names a pattern finds, in words."""
        return ", ".join(dict.fromkeys(re.findall(pattern, self.text)))

    @property
    def url(self) -> str:
        """What was asked for when the index failed."""
        found = self.find(r"(?:for url \(|Failed to fetch: )(\S+?)(?:\)|$|\s)")
        return found[1] if found else (self.index or "the index")


Reading = Callable[[_Said], tuple[str, str | None]]
"""Returns our message and the hint for what uv said."""


def explain(stderr: str, *, index: str | None) -> ResolutionError:
    """Return the error for what uv wrote to its standard error."""
    said = _said(_SECRET.sub("", stderr), index and _SECRET.sub("", index))
    for pattern, reading in _READINGS:
        if said.find(pattern):
            message, hint = reading(said)
            break
    else:
        message, hint = "uv could not resolve the requirements", None
    lines = [f"  {line}" for line in _shortened([said.error, *said.causes])]
    text = "\n".join([message, *lines])
    if names := _UNBUILT.findall(said.text):
        return NeedsBuildError(text, hint=hint, names=frozenset(map(_first, names)))
    return ResolutionError(text, hint=hint)


def allowing(names: Iterable[str]) -> str:
    """Return the hint that lets packages be built from their source."""
    quoted = ", ".join(f'"{name}"' for name in names)
    return (
        f"to allow that, write `sdists = [{quoted}]` in the declaration (of a `# /// script` block"
        " and of pyproject.toml, below `[tool.envtool]`)"
    )


def _first(groups: tuple[str, str]) -> str:
    return groups[0] or groups[1]


def _said(stderr: str, index: str | None) -> _Said:
    paragraphs: dict[str, list[str]] = {"error": [], "cause": [], "hint": []}
    current: list[str] | None = None
    for raw in stderr.splitlines():
        line = _DRAWING.sub("", raw).strip()
        kind, colon, rest = line.partition(":")
        if colon and kind in paragraphs:
            current = paragraphs[kind]
            current.append(rest.strip())
        elif line and _ARROW in raw:
            current = paragraphs["cause"]
            current.append(line)
        elif line and current:
            current[-1] = f"{current[-1]} {line}"
        elif line and not line.startswith(("warning", "Updat", "Resolv", "Prepar", "Build")):
            current = paragraphs["cause" if paragraphs["error"] else "error"]
            current.append(line)
    error = " ".join(paragraphs["error"])
    return _Said(error, paragraphs["cause"], paragraphs["hint"], index)


def _shortened(paragraphs: Sequence[str]) -> list[str]:
    shown = []
    for paragraph in paragraphs:
        # The first says no more than ours; the file is one nobody but uv ever sees.
        text = paragraph.replace(", we can conclude that ", ", so ").replace(" in `r.in`", "")
        if text and not text.startswith("No solution found"):
            cut = text[:_MOST_CHARACTERS]
            shown.append(cut if cut == text else f"{cut} …")
    return shown[:_MOST_LINES]


def _not_cached(said: _Said) -> tuple[str, str | None]:
    names = said.names(r"([\w.-]+) was not found in the cache")
    what = f"{names} is" if names else "what is needed is"
    return f"offline, and {what} not in the cache", "run it again without --offline"


def _refused(said: _Said) -> tuple[str, str | None]:
    found = said.find(r"40[13] (?:Unauthorized|Forbidden)")
    status = found[0] if found else "a refusal"
    index = said.find(r"[Aa]n index (?:URL )?\((\S+?)\)")
    where = index[1] if index else said.url
    return f"{where} answered {status}", "give credentials in the index's URL or in ~/.netrc"


def _unknown(said: _Said) -> tuple[str, str | None]:
    names = said.names(r"([\w.-]+) was not found in the package registry")
    where = f" ({said.index})" if said.index else ""
    return f"the index{where} has no package {names}", "check the name's spelling and the index"


def _only_sdist(said: _Said) -> tuple[str, str | None]:
    names = said.names(r"Wheels are required for `([\w.-]+)`")
    names = names or said.names(r"([\w.-]+?)(?:==\S+)? has no usable wheels")
    message = f"{names} comes only as an sdist, which must be built by running its code"
    return message, allowing(names.split(", "))


def _own_metadata(said: _Said) -> tuple[str, str | None]:
    names = said.names(r"Building source distributions for `([\w.-]+)` is disabled")
    message = f"what {names} requires is known only by running its code"
    return message, allowing(names.split(", "))


def _too_new(_said: _Said) -> tuple[str, str | None]:
    return (
        "no set of versions published by that date satisfies the requirements",
        "give a later date (exclude-newer)",
    )


def _no_wheel(said: _Said) -> tuple[str, str | None]:
    names = said.names(r"([\w.-]+?)(?:[=<>!~]=?\S+)? has no wheels with a matching")
    offers = said.find(r"(?:Wheels are available for|You require).*")
    return f"{names} has no wheel for this Python and platform", offers and offers[0]


def _other_python(_said: _Said) -> tuple[str, str | None]:
    message = "no set of versions satisfies the requirements with this Python"
    return message, "ask for another Python (`python` in the declaration)"


def _unsatisfiable(_said: _Said) -> tuple[str, str | None]:
    return "no set of versions satisfies the requirements", "loosen one of the requirements named"


def _status(said: _Said) -> tuple[str, str | None]:
    found = said.find(r"HTTP status \w+ error \((.+?)\)")
    status = found[1] if found else "an error"
    hint = "try again later" if status.startswith("5") else "check the index's URL"
    return f"the index answered {status} for {said.url}", hint


def _stalled(said: _Said) -> tuple[str, str | None]:
    return f"the index did not answer in time for {said.url}", "try again, or raise UV_HTTP_TIMEOUT"


def _broken(said: _Said) -> tuple[str, str | None]:
    return f"the index's answer broke off for {said.url}", "try again later"


def _untrusted(said: _Said) -> tuple[str, str | None]:
    hint = "name the file of your own authority in SSL_CERT_FILE"
    return f"the certificate of {said.url} is not trusted", hint


def _unreachable(said: _Said) -> tuple[str, str | None]:
    reason = said.causes[-1] if said.causes else "no connection"
    hint = "check the network, or work from the cache with --offline"
    return f"the index is unreachable: {said.url}: {reason}", hint


def _repository(said: _Said) -> tuple[str, str | None]:
    found = said.find(r"Failed to download and build `(.+?)`")
    return f"the repository of {found[1] if found else 'a requirement'} cannot be read", None


def _nowhere(said: _Said) -> tuple[str, str | None]:
    found = said.find(r"Distribution not found at: (\S+)")
    return f"there is nothing at {found[1] if found else 'the path of a requirement'}", None


def _unbuildable(said: _Said) -> tuple[str, str | None]:
    found = said.find(r"Failed to .*?build `(.+?)`")
    return f"the metadata of {found[1] if found else 'a project'} could not be built", None


_READINGS: Sequence[tuple[str, Reading]] = (
    (r"network (?:was|is) disabled|not found in the cache", _not_cached),
    (r"40[13] (?:Unauthorized|Forbidden)", _refused),
    (r"Building source distributions for .* is disabled", _own_metadata),
    (r"building from source is disabled", _only_sdist),
    (r"was not found in the package registry", _unknown),
    (r"exclude newer time", _too_new),
    (r"has no wheels with a matching", _no_wheel),
    (r"requested Python version", _other_python),
    (r"No solution found", _unsatisfiable),
    (r"HTTP status \w+ error", _status),
    (r"timed out", _stalled),
    (r"certificate", _untrusted),
    (r"client error \(Connect\)|dns error|Connection refused", _unreachable),
    (r"end of file before|reading a body|decoding response body|connection closed", _broken),
    (r"Git operation failed", _repository),
    (r"Distribution not found at", _nowhere),
    (r"Failed to (?:download and )?build", _unbuildable),
)
"""What uv says and how it is read; the first that matches."""
