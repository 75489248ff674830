"""`pip install` in a cell: it cannot reach the environment, and another Python's pip would obey.

The store is read-only, and the pip that PATH leads to is that of the host, or of envtool itself. So
a cell that asks for what is there already goes on, and any other is told the word for it.
"""

import os
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from envtool.magics.shown import Refused

__all__ = ["answer_installers"]

_INSTALLERS = ("pip", "conda", "mamba", "micromamba", "uv")
_PROGRAM = re.compile(r"pip[\d.]*|conda|mamba|micromamba")
_NAMED = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?(?:==([^\s;]+))?")
_ELSEWHERE = {"-t", "--target", "--prefix", "--root", "-p", "-n", "--name"}
"""Options that install into another place, which is a user's own affair."""
_VALUED = {"-r", "--requirement", "-c", "--constraint", "--channel", "-i", "--index-url"}
_VALUED |= {"-f", "--find-links", "--extra-index-url"}
_OPERATORS = {"&&", "||", ";", "|", "&"}
_REDIRECTION = re.compile(r"[\d&]?>{1,2}.*")


def answer_installers(ipython: Any) -> None:
    """Have `%pip install`, `!pip install` and their like answered, in an environment of ours."""
    if "ENVTOOL_ENVIRONMENT" not in os.environ:
        return
    ipython.system = _guarded(ipython.system)
    magics = ipython.magics_manager.magics["line"]
    for name in _INSTALLERS:
        if name in magics:
            magics[name] = _guarded(magics[name], lead=f"{name} ")


def _guarded(plain: Callable[[str], object], lead: str = "") -> Callable[[str], object]:
    def guarded(line: str) -> object:
        asked = _asked(f"{lead}{line}")
        if asked is None:
            return plain(line)
        wanted, is_all = asked
        there = [_present(each) for each in wanted]
        if not wanted or None in there:
            raise Refused(_instead(wanted))
        if not is_all:
            raise Refused(f"{', '.join(map(str, there))}: there already; take that out of the line")
        print(f"{', '.join(map(str, there))}: there already, nothing is installed")  # noqa: T201
        return None

    guarded.__doc__ = plain.__doc__
    return guarded


def _instead(wanted: Sequence[str]) -> str:
    words = shlex.join(wanted) if wanted else "NAME"
    return (
        "an environment of envtool's is never written to; to have another one with it:\n"
        f"%envtool add {words}"
    )


def _asked(command: str) -> tuple[list[str], bool] | None:
    """Return what an installer is asked for, and whether that is all that the line asks.

    None when the command is something else.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    words = words[1:] if words[:1] == ["sudo"] else words
    if words[1:3] == ["-m", "pip"] and os.path.basename(words[0]).startswith("python"):
        words = words[2:]
    elif words[:2] == ["uv", "pip"]:
        words = words[1:]
    if words[1:2] != ["install"] or not _PROGRAM.fullmatch(os.path.basename(words[0])):
        return None
    asked, found = iter(words[2:]), list[str]()
    for word in asked:
        if word.partition("=")[0] in _ELSEWHERE:
            return None
        if word in _OPERATORS:
            return found, False
        if word in ("-e", "--editable"):
            found += ["--editable", next(asked, ".")]
        elif word in _VALUED or word in (">", ">>", "2>", "&>"):
            next(asked, None)
        elif not word.startswith("-") and not _REDIRECTION.fullmatch(word):
            found.append(word)
    return found, True


def _present(requirement: str) -> str | None:
    """Return name and version of what answers a requirement; None when nothing is known to."""
    from importlib.metadata import PackageNotFoundError, version

    named = _NAMED.fullmatch(requirement)
    if named is None:
        return None
    try:
        found = version(named[1])
    except PackageNotFoundError:
        return None
    return f"{named[1]} {found}" if named[2] in (None, found) else None
