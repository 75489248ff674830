"""What the shells' completion scripts ask: the candidates for an unfinished word.

`envtool __complete -- WORD… CURRENT` gets the words behind `envtool`, the unfinished one last, and
prints a candidate per line, its meaning behind a tab. A line `:files`, `:directories` or
`:commands` leaves the word to the shell. It never fails and never writes.
"""

from argparse import Action
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from envtool.cli.arguments import Parser
from envtool.cli.options import Options, start_in
from envtool.cli.parser import make_parser
from envtool.cli.session import Session
from envtool.cli.terminal import Terminal
from envtool.errors import EnvtoolError

__all__ = ["complete"]

LEFT_TO_THE_SHELL = ("files", "directories", "commands")


def complete(words: Sequence[str], terminal: Terminal) -> int:
    """Print the candidates for the last of the words; for bad input print nothing."""
    given = list(words[1:] if words[:1] == ["--"] else words) or [""]
    try:
        for candidate, meaning in _candidates(given[:-1], given[-1], terminal):
            terminal.result(f"{candidate}\t{meaning}" if meaning else candidate)
    except EnvtoolError:
        pass  # a half-written command line is no place for a complaint
    return 0


class _Place:
    """Where in the tree of commands the words so far have led."""

    def __init__(self, words: Iterable[str]) -> None:
        self.parser = make_parser()
        self.waiting: Action | None = None
        """The option that takes the next word."""
        self.operands = 0
        self.values: dict[str, Any] = {}
        for word in words:
            self._step(word)

    def _step(self, word: str) -> None:
        if self._is_whole():
            self.operands += 1
        elif word.startswith("-"):
            name, sign, value = word.partition("=")
            option = _option(self.parser, name)
            self.waiting = None if sign else _taking(option)
            if sign and option is not None:
                self.values[option.dest] = value
        elif self.waiting is not None:
            self.values[self.waiting.dest] = word
            self.waiting = self.waiting if self.waiting.nargs in ("*", "+") else None
        elif word in self.parser.commands():
            self.parser = self.parser.commands()[word]
        else:
            self.operands += 1

    def _is_whole(self) -> bool:
        """Return whether the words belong to the command that `run` starts."""
        return self.operands > 0 and any(one.nargs == "..." for one in self.parser.operands())

    def candidates(self, current: str, session: Session) -> Iterator[tuple[str, str]]:
        if self._is_whole():
            yield ":files", ""
        elif current.startswith("--") and "=" in current:
            name = current.partition("=")[0]
            typed = current.partition("=")[2]
            for found, meaning in _values(_option(self.parser, name), typed, session):
                yield found if found.startswith(":") else f"{name}={found}", meaning
        elif current.startswith("-"):
            for option in self.parser.options():
                yield option.option_strings[-1], option.help or ""
        elif self.waiting is not None:
            yield from _values(self.waiting, current, session)
        elif self.parser.commands():
            for name, parser in self.parser.commands().items():
                yield name, (parser.description or "").partition(".\n")[0]
        else:
            yield from _values(self._operand(), current, session)

    def _operand(self) -> Action | None:
        operands = self.parser.operands()
        if self.operands < len(operands):
            return operands[self.operands]
        return operands[-1] if operands and operands[-1].nargs in ("*", "+") else None


def _candidates(
    words: Sequence[str], current: str, terminal: Terminal
) -> Iterator[tuple[str, str]]:
    place = _Place(words)
    options = Options.of(place.values)
    start_in(options)
    for candidate, meaning in place.candidates(current, Session(options, terminal)):
        if candidate.startswith((current, ":")):
            yield candidate, meaning


def _option(parser: Parser, name: str) -> Action | None:
    return next((one for one in parser.options() if name in one.option_strings), None)


def _taking(option: Action | None) -> Action | None:
    return option if option is not None and option.nargs != 0 else None


def _values(action: Action | None, current: str, session: Session) -> Iterator[tuple[str, str]]:
    if action is None:
        return
    kind = getattr(action, "completed_by", None)
    if action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif kind in LEFT_TO_THE_SHELL:
        yield f":{kind}", ""
    elif kind == "store paths":
        # A store may have 100,000: only those that begin so are asked for.
        from envtool.cli.plumbing.places import beginnings

        yield ":files", ""
        yield from beginnings(session, current)
    elif kind == "debian packages":
        # A suite has 60,000.
        from envtool.cli.searching import beginnings as names

        yield from names(session, current)
    elif kind is not None:
        yield from _SOURCES[kind](session)


def _environments(session: Session) -> Iterator[tuple[str, str]]:
    """Read the names off the declaration's headings, so that an unfinished file serves too."""
    import re

    from envtool.machine.project import read_text

    text = read_text(session.project().path)
    heading = r"^[# ]*\[(?:tool\.envtool\.)?env\.\"?([a-z0-9._-]+?)\"?[.\]]"
    found = re.findall(heading, text, re.MULTILINE)
    yield from ((name, "") for name in dict.fromkeys(["default", *found]))


def _generations(session: Session) -> Iterator[tuple[str, str]]:
    import time

    profile = session.workspace().profile(session.project())
    for generation in profile.generations():
        yield str(generation.number), time.strftime("%c", time.localtime(generation.created))


def _packages(session: Session) -> Iterator[tuple[str, str]]:
    from envtool.formats.lock import parse
    from envtool.machine.project import read_lock_text

    project = session.project()
    text = read_lock_text(project.path, project.kind, project.environment)
    if text is not None:
        for package in parse(text, path=project.path).packages:
            yield package.name, package.version or ""


def _system_packages(session: Session) -> Iterator[tuple[str, str]]:
    """Return the packages of Debian that the lock answers for."""
    from envtool.formats.lock_head import read_system
    from envtool.machine.project import read_lock_text

    project = session.project()
    text = read_lock_text(project.path, project.kind, project.environment)
    system = None if text is None else read_system(text, project.path)
    for package in system.requested if system else ():
        yield package.partition(" ")[0], ""


def _kernels(session: Session) -> Iterator[tuple[str, str]]:
    from envtool.kernel.specs.registered import list_kernels

    for info in list_kernels(session.workspace()):
        yield info.name, info.display_name


def _suites(session: Session) -> Iterator[tuple[str, str]]:
    import os

    folder = f"{session.workspace().settings.cache}/debian"
    archives = (each for each in _listed(folder) if not each.endswith(".part"))
    kept = [name for each in archives for name in _listed(os.path.join(folder, each))]
    yield from ((name, "") for name in dict.fromkeys(["stable", "oldstable", "testing", *kept]))


def _listed(folder: str) -> list[str]:
    import os

    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


_SOURCES = {
    "suites": _suites,
    "environments": _environments,
    "generations": _generations,
    "packages": _packages,
    "system packages": _system_packages,
    "kernels": _kernels,
}
