"""Write docs/reference/commands.md from the program's own parser.

    python3 docs/reference/generate.py

tests/test_docs.py holds the file equal to what this renders.
"""

import sys
from argparse import Action
from collections.abc import Iterator
from pathlib import Path

from envtool.cli.arguments import Parser
from envtool.cli.parser import make_parser

PATH = Path(__file__).with_name("commands.md")
HEAD = """\
# Commands

<!-- Written by docs/reference/generate.py from the program's parser; edit the help texts there. -->

`envtool COMMAND --help` shows the same in a terminal. Exit codes: 0 done, 1 an error of envtool's,
2 wrong usage, 70 a bug in envtool, 130 interrupted (129 and 143: by SIGHUP and SIGTERM); `run` and
`shell` end with the code of what they start (126: cannot be executed, 127: not found). What
`--json` prints is in [json.md](json.md).

Ctrl-C, SIGTERM, and a terminal that is closed end a command within a second, whatever is being
fetched or built, and every process that it started. What is finished is kept, what is not is made
again the next time; declaration, lock and generation are as they were. `nohup` has it go on.
"""


def render() -> str:
    """Return the whole text of the reference."""
    parser = make_parser()
    everywhere = {action.dest for action in parser.options()}
    parts = [HEAD, "## Options of every command\n", _table(list(_shown(parser.options())))]
    for name, command in parser.commands().items():
        parts += _command(f"envtool {name}", command, everywhere, level=2)
    return "\n".join(parts)


def _command(name: str, parser: Parser, everywhere: set[str], level: int) -> Iterator[str]:
    operands = [] if parser.commands() else parser.operands()
    options = [one for one in _shown(parser.options()) if one.dest not in everywhere]
    yield f"{'#' * level} `{name}`\n"
    if not parser.commands():
        words = [name, *(f"[{_option(one)}]" for one in options), *map(_operand, operands)]
        yield f"    {' '.join(words)}\n"
    yield f"{parser.description}\n"
    if options or any(one.help for one in operands):
        yield _table([*operands, *options])
    if parser.epilog:
        examples = parser.epilog.split("\n", 1)[1]
        yield f"```text\n{examples}\n```\n"
    for below, command in parser.commands().items():
        yield from _command(f"{name} {below}", command, everywhere, level + 1)


def _shown(options: Iterator[Action]) -> Iterator[Action]:
    return (one for one in options if one.dest != "help")


def _table(actions: list[Action]) -> str:
    rows = [f"| `{_names(one)}` | {one.help or ''} |" for one in actions]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def _names(action: Action) -> str:
    if not action.option_strings:
        return _operand(action)
    return f"{', '.join(action.option_strings)}{_value(action)}"


def _option(action: Action) -> str:
    return f"{action.option_strings[-1]}{_value(action)}"


def _operand(action: Action) -> str:
    name = str(action.metavar or action.dest)
    forms = {"?": f"[{name}]", "*": f"[{name}…]", "+": f"{name}…", "...": f"{name}…"}
    return forms.get(str(action.nargs), name)


def _value(action: Action) -> str:
    if action.nargs == 0:
        return ""
    if action.metavar is None and action.choices:
        return f" {'|'.join(map(str, action.choices))}"
    name = str(action.metavar or action.dest.upper())
    return f" [{name}…]" if action.nargs == "*" else f" {name}"


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote {PATH}\n")
