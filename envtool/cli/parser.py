"""The whole tree of commands, and doing what a command line asks."""

from argparse import SUPPRESS, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from envtool import __version__
from envtool.cli.arguments import Commands, Parser, add_global_options
from envtool.cli.options import Options, UsageError, leading, start_in
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.cli.terminal import Terminal

__all__ = ["FAMILIES", "OVERVIEW", "make_parser", "perform"]

OVERVIEW = """\
envtool {version}: Python and Jupyter environments, declared, locked and never overwritten.

start here:
  envtool init             write a declaration, envtool.toml
  envtool add numpy        declare a package, lock it, switch to the new environment
  envtool shell            enter it

declare:      init  declare  add  remove  lock  upgrade
build:        switch  build
use:          run  shell  kernel  notebook  fetch
in a prompt:  hook  allow  deny  print-env  completion
look:         search  tree  why  check  outdated  audit  generations  diff
go back:      rollback
hand over:    export
tidy up:      gc  doctor
underneath:   store

`envtool COMMAND --help` explains a command, with examples."""


def _declaring(commands: "Commands[Parser]") -> None:
    from envtool.cli import declaring

    declaring.add_commands(commands)


def _switching(commands: "Commands[Parser]") -> None:
    from envtool.cli import switching

    switching.add_commands(commands)


def _upgrading(commands: "Commands[Parser]") -> None:
    from envtool.cli import upgrading

    upgrading.add_commands(commands)


def _carrying(commands: "Commands[Parser]") -> None:
    from envtool.cli import carrying

    carrying.add_commands(commands)


def _auditing(commands: "Commands[Parser]") -> None:
    from envtool.cli import auditing

    auditing.add_commands(commands)


def _doctor(commands: "Commands[Parser]") -> None:
    from envtool.cli import doctor

    doctor.add_commands(commands)


def _running(commands: "Commands[Parser]") -> None:
    from envtool.cli import running

    running.add_run(commands)


def _shell(commands: "Commands[Parser]") -> None:
    from envtool.cli import shell

    shell.add_shell(commands)


def _printing(commands: "Commands[Parser]") -> None:
    from envtool.cli import printing

    printing.add_print_env(commands)


def _prompting(commands: "Commands[Parser]") -> None:
    from envtool.cli.prompt import hook

    hook.add_commands(commands)


def _looking(commands: "Commands[Parser]") -> None:
    from envtool.cli import looking

    looking.add_commands(commands)


def _checking(commands: "Commands[Parser]") -> None:
    from envtool.cli import checking

    checking.add_check(commands)


def _searching(commands: "Commands[Parser]") -> None:
    from envtool.cli import searching

    searching.add_commands(commands)


def _history(commands: "Commands[Parser]") -> None:
    from envtool.cli import history

    history.add_commands(commands)


def _collecting(commands: "Commands[Parser]") -> None:
    from envtool.cli import collecting

    collecting.add_commands(commands)


def _kernels(commands: "Commands[Parser]") -> None:
    from envtool.cli import kernels

    kernels.add_commands(commands)


def _notebooks(commands: "Commands[Parser]") -> None:
    from envtool.cli import notebooks

    notebooks.add_commands(commands)


def _data(commands: "Commands[Parser]") -> None:
    from envtool.cli import data

    data.add_commands(commands)


def _store(commands: "Commands[Parser]", below: str | None = None) -> None:
    from envtool.cli.plumbing import family

    family.add_store(commands, below)


def _completion(commands: "Commands[Parser]") -> None:
    from envtool.cli import completion

    completion.add_completion(commands)


FAMILIES: Mapping[Callable[["Commands[Parser]"], None], tuple[str, ...]] = {
    _declaring: ("init", "declare", "add", "remove", "lock"),
    _switching: ("switch", "build"),
    _upgrading: ("upgrade", "outdated"),
    _carrying: ("export",),
    _auditing: ("audit",),
    _doctor: ("doctor",),
    _running: ("run",),
    _shell: ("shell",),
    _printing: ("print-env",),
    _prompting: ("hook", "allow", "deny"),
    _looking: ("tree", "why"),
    _searching: ("search",),
    _checking: ("check",),
    _history: ("generations", "diff", "rollback"),
    _collecting: ("gc",),
    _kernels: ("kernel",),
    _notebooks: ("notebook",),
    _data: ("fetch",),
    _store: ("store",),
    _completion: ("completion",),
}
"""What adds which commands, so that a command line costs the parser of its own family only."""


def make_parser(command: str | None = None, below: str | None = None) -> Parser:
    """Return the parser of every command, or of the family that one command belongs to.

    `below` is the command under `store` that is meant, if that is known.
    """
    parser = Parser(prog="envtool", usage="envtool [options] COMMAND …", description=_overview())
    parser.add_argument("--version", action="version", version=f"envtool {__version__}")
    add_global_options(parser)
    commands = parser.add_subparsers(
        metavar="COMMAND", help=SUPPRESS, prog="envtool", parser_class=Parser
    )
    if command == "store":
        _store(commands, below)
        return parser
    families = [add for add, names in FAMILIES.items() if command in names]
    for add in families or FAMILIES:
        add(commands)
    return parser


def perform(words: Sequence[str], terminal: "Terminal") -> int:
    """Do what the words ask and return the exit code.

    :raises UsageError: when they are no command line of envtool.
    """
    _, command, rest = leading(words)
    parser = make_parser(command, rest[0] if rest else None)
    if command is None and not rest:
        terminal.result(_overview())
        return 0
    arguments = _parsed(parser, words, command, rest)
    if arguments is None:
        return 0
    options = Options.of(vars(arguments))
    start_in(options)
    code: int = arguments.run(Session(options, terminal), arguments)
    return code


def _parsed(
    parser: Parser, words: Sequence[str], command: str | None, rest: Sequence[str]
) -> Namespace | None:
    """Return the arguments, with the function to run; None when help or the version was shown."""
    if command is not None:
        parser.choose(command)
        family = parser.commands()[command]
        if family.commands() and rest and not rest[0].startswith("-"):
            family.choose(rest[0])
    try:
        arguments, unknown = parser.parse_known_args(words)
    except SystemExit:
        return None  # argparse's way to say that it has printed help or the version
    chosen: Parser = getattr(arguments, "parser", parser)
    if unknown:
        chosen.refuse(unknown)
    if not hasattr(arguments, "run"):
        names = ", ".join(chosen.commands())
        raise UsageError(f"{chosen.prog} needs a command: {names}", hint=f"{chosen.prog} --help")
    return arguments


def _overview() -> str:
    return OVERVIEW.format(version=__version__)
