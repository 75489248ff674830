"""How a command is declared: its words, its help that teaches, and what completes them."""

import argparse
import os
from argparse import (
    SUPPRESS,
    Action,
    ArgumentParser,
    Namespace,
    RawDescriptionHelpFormatter,
    _SubParsersAction,
)
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from envtool.cli.options import COLORS, UsageError

if TYPE_CHECKING:
    from envtool.cli.session import Session

__all__ = ["Commands", "Parser", "add_command", "add_family", "add_global_options", "completed_by"]

# Our words are English; looking for translations of argparse's own costs each command 2 ms.
argparse._ = lambda text: text  # type: ignore[attr-defined]

Run = Callable[["Session", Namespace], int]
"""Do what a command's words ask and return the exit code."""


class _Formatter(RawDescriptionHelpFormatter):
    """Leaves the options that every command takes out of the usage line."""

    def __init__(self, prog: str) -> None:
        # argparse makes one for every argument, and would load shutil to ask for the width.
        super().__init__(prog, width=_width())

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[Action],
        groups: Any,
        prefix: str | None = None,
    ) -> None:
        own = [action for action in actions if not hasattr(action, "everywhere")]
        super().add_usage(usage, own, groups, prefix)


@cache
def _width() -> int:
    """Return how wide help may be: as argparse has it, 2 less than the terminal."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns) - 2
    try:
        found = os.get_terminal_size(1).columns
    except OSError:
        found = 0
    return (found or 80) - 2  # a terminal that nobody sized has 0


class Parser(ArgumentParser):
    """argparse that raises `UsageError`, naming the near word for a typo."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise the fault with the place where help is."""
        raise UsageError(message, hint=f"{self.prog} --help")

    def commands(self) -> dict[str, "Parser"]:
        """Return the commands below this one, by name; none for a command without."""
        for action in self._actions:
            if isinstance(action, _SubParsersAction):
                return dict(action.choices)
        return {}

    def options(self) -> Iterator[Action]:
        """Return the options of this command, the global ones included."""
        return (action for action in self._actions if action.option_strings)

    def operands(self) -> list[Action]:
        """Return the arguments without a dash, in order."""
        return [action for action in self._actions if not action.option_strings]

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Raise for words that no argument took."""
        import difflib

        known = [name for action in self.options() for name in action.option_strings]
        near = difflib.get_close_matches(words[0].partition("=")[0], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"{self.prog} --help"
        raise UsageError(f"{self.prog} does not know {words[0]}", hint=hint)

    def choose(self, word: str) -> None:
        """Raise when a word is not one of the commands below this one."""
        names = self.commands()
        if word not in names:
            import difflib

            near = difflib.get_close_matches(word, names, 1)
            hint = f"did you mean `{self.prog} {near[0]}`?" if near else f"{self.prog} --help"
            raise UsageError(f"there is no command {self.prog} {word}", hint=hint)


Commands = _SubParsersAction  # [Parser]; argparse's class takes no parameter at run time


def add_command(
    commands: "Commands[Parser]",
    name: str,
    run: Run,
    *,
    summary: str,
    text: str,
    examples: Sequence[tuple[str, str]],
) -> Parser:
    """Add a command whose help has a one-line summary, a paragraph and examples."""
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{_paragraph(text)}",
        epilog=_examples(examples),
    )
    parser.set_defaults(run=run, parser=parser)
    add_global_options(parser)
    return parser


def add_family(
    commands: "Commands[Parser]", name: str, *, summary: str, text: str
) -> "Commands[Parser]":
    """Add a word such as `kernel` that has commands below it, and return where they go."""
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{_paragraph(text)}",
    )
    parser.set_defaults(parser=parser)
    below = parser.add_subparsers(
        metavar="COMMAND", title="commands", prog=parser.prog, parser_class=Parser
    )
    add_global_options(parser)
    return below


def completed_by(action: Action, kind: str) -> None:
    """Let the shell complete an argument with files, environments, store paths or the like."""
    action.completed_by = kind  # type: ignore[attr-defined] # argparse's own way to carry more


def add_global_options(parser: Parser) -> None:
    """Add the options that stand before or behind any command."""
    group = parser.add_argument_group("everywhere")

    def add(*names: str, **settings: Any) -> Action:
        # Without a default, one given before the command is not undone behind it.
        action = group.add_argument(*names, default=SUPPRESS, **settings)
        action.everywhere = True  # type: ignore[attr-defined] # argparse's own way to carry more
        return action

    directory = add("-C", "--directory", metavar="DIR", help="act as if started in DIR")
    file = add("-f", "--file", metavar="PATH", help="declaration, script or notebook to use")
    named = add("-e", "--env", metavar="NAME", dest="environment", help="a named environment")
    add("--json", action="store_true", help="print one JSON object, errors too")
    add("--offline", action="store_true", help="never use the network")
    add("-q", "--quiet", action="store_true", help="no progress, no notes")
    add("-v", "--verbose", action="store_true", help="a line for each step")
    add("--color", choices=COLORS, metavar="WHEN", help="auto (default), always or never")
    completed_by(directory, "directories")
    completed_by(file, "files")
    completed_by(named, "environments")


def _paragraph(text: str) -> str:
    # Not textwrap's dedent: its module costs more than the help of one command.
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _examples(examples: Sequence[tuple[str, str]]) -> str:
    width = max(len(command) for command, _ in examples)
    lines = [f"  {command:<{width}}  {meaning}".rstrip() for command, meaning in examples]
    return "\n".join(["examples:", *lines])
