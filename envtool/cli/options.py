"""The options that every command takes, read by hand: `run` cannot afford argparse."""

import os
from typing import TYPE_CHECKING

from envtool.errors import EnvtoolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = ["COLORS", "Options", "UsageError", "global_options", "leading", "start_in"]

COLORS = ("auto", "always", "never")

FLAGS = {
    "--json": "json",
    "--offline": "offline",
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
}
VALUED = {
    "-C": "directory",
    "--directory": "directory",
    "-f": "file",
    "--file": "file",
    "-e": "environment",
    "--env": "environment",
    "--color": "color",
}


class UsageError(EnvtoolError):
    """The words are none that envtool understands; exit code 2."""


class Options:
    """What was asked for beside the command itself.

    A plain class: `dataclasses` alone would take a fifth of the time of an `envtool run`.
    """

    __slots__ = (
        "color",
        "directory",
        "environment",
        "file",
        "json",
        "offline",
        "quiet",
        "verbose",
    )

    def __init__(
        self,
        *,
        directory: str | None = None,
        file: str | None = None,
        environment: str = "default",
        json: bool = False,
        offline: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        color: str = "auto",
    ) -> None:
        self.directory = directory
        """Where to act as if started there; None: where it was started."""
        self.file = file
        """Declaration, script or notebook; None: searched upward from the directory."""
        self.environment = environment
        self.json = json
        self.offline = offline
        self.quiet = quiet
        self.verbose = verbose
        self.color = color
        """One of `COLORS`."""

    @classmethod
    def of(cls, values: "Mapping[str, Any]") -> "Options":
        """Return the options among named values, the others at their defaults."""
        return cls(**{name: values[name] for name in cls.__slots__ if name in values})


def leading(words: "Sequence[str]") -> tuple[Options, str | None, list[str]]:
    """Return the global options, the command, and what follows it.

    Global options right behind the command are taken too, so that what is left begins with the
    command's own words. The reading ends without complaint at a word it does not know: the
    command is None when that happens before it, for argparse to explain.

    :raises UsageError: for an option without its value, or a colour there is not.
    """
    values, rest = _take(list(words), {})
    if not rest or rest[0].startswith("-"):
        return Options.of(values), None, rest
    values, behind = _take(rest[1:], values)
    return Options.of(values), rest[0], behind


def global_options(words: "Sequence[str]") -> Options:
    """Return how to speak (JSON, colours, quiet), wherever in the words it is said."""
    values: dict[str, Any] = {}
    own = words[: words.index("--")] if "--" in words else words
    if "run" in own:
        _, command, rest = leading(words)
        own = words[: len(words) - len(rest)] if command == "run" else own
    for at, word in enumerate(own):
        if word in FLAGS:
            values[FLAGS[word]] = True
        elif word.startswith("--color"):
            values["color"] = word[8:] or "".join(own[at + 1 : at + 2])
    if values.get("color") not in COLORS:
        values.pop("color", None)
    return Options.of(values)


def start_in(options: Options) -> None:
    """Act as if started in the directory of `-C`, as make and git do; without it, do nothing.

    :raises UsageError: when there is no such directory.
    """
    if options.directory is None:
        return
    try:
        os.chdir(options.directory)
    except OSError as error:
        raise UsageError(f"-C {options.directory}: {error.strerror}") from error
    os.environ["PWD"] = os.getcwd()


def _take(words: list[str], values: "dict[str, Any]") -> "tuple[dict[str, Any], list[str]]":
    at = 0
    while at < len(words) and words[at].startswith("-"):
        word, sign, value = words[at].partition("=")
        short = words[at][:2]
        if not sign and word in FLAGS:
            values[FLAGS[word]] = True
        elif word in VALUED and (sign == "=") <= word.startswith("--"):
            if not sign:
                at += 1
                value = _value(word, words, at)
            values[VALUED[word]] = _checked(word, value)
        elif short in VALUED and not word.startswith("--"):
            values[VALUED[short]] = words[at][2:]
        else:
            break
        at += 1
    return values, words[at:]


def _value(option: str, words: "Sequence[str]", at: int) -> str:
    if at >= len(words):
        raise UsageError(f"{option} needs a value behind it", hint="envtool --help")
    return words[at]


def _checked(option: str, value: str) -> str:
    if option == "--color" and value not in COLORS:
        raise UsageError(f"--color {value}: expected one of {', '.join(COLORS)}")
    return value
