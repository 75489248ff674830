"""Completion in bash, zsh and fish: a script for each, and the hidden command that they call.

`envtool __complete -- WORD… CURRENT` gets the words behind `envtool`, the unfinished one last, and
prints a candidate per line, its meaning behind a tab. A line `:files`, `:directories` or
`:commands` leaves the word to the shell. It never fails and never writes.
"""

from argparse import Action, Namespace
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.options import Options, start_in
from envtool.cli.session import Session
from envtool.cli.terminal import Terminal
from envtool.errors import EnvtoolError

__all__ = ["add_completion", "complete"]

LEFT_TO_THE_SHELL = ("files", "directories", "commands")

BASH = """\
_envtool() {
    local line word=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
            :directories) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
            :commands) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
            *) COMPREPLY+=("${line%%$'\\t'*}") ;;
        esac
    done < <(envtool __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _envtool envtool
"""

ZSH = """\
#compdef envtool
_envtool() {
    local line
    local -a found
    for line in "${(@f)$(envtool __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :files) _files ;;
            :directories) _files -/ ;;
            :commands) _command_names -e ;;
            *) found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}") ;;
        esac
    done
    (( $#found )) && _describe envtool found
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _envtool "$@"
else
    compdef _envtool envtool
fi
"""

FISH = """\
function __envtool_complete
    set --local words (commandline --tokenize --cut-at-cursor --current-process)
    set --local word (commandline --current-token --cut-at-cursor)
    for line in (envtool __complete -- $words[2..] "$word" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path $word
            case :directories
                __fish_complete_directories $word
            case :commands
                __fish_complete_command
            case '*'
                echo $line
        end
    end
end
complete --command envtool --no-files --arguments '(__envtool_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def add_completion(commands: "Commands[Parser]") -> None:
    """Add `completion`."""
    parser = add_command(
        commands,
        "completion",
        _run_completion,
        summary="print the script that completes envtool's words in a shell",
        text="""
        Commands, options, environments, generations, and the names of locked packages are
        completed from then on.
        """,
        examples=[
            ('eval "$(envtool completion bash)"', "in ~/.bashrc"),
            ('eval "$(envtool completion zsh)"', "in ~/.zshrc, behind compinit"),
            ("envtool completion fish | source", "in ~/.config/fish/config.fish"),
        ],
    )
    parser.add_argument("shell", choices=SCRIPTS, help="the shell it is for")


def _run_completion(session: Session, arguments: Namespace) -> int:
    if session.terminal.json:
        shape = {"shell": arguments.shell, "script": SCRIPTS[arguments.shell]}
        session.terminal.result_json(shape)
    else:
        session.terminal.result(SCRIPTS[arguments.shell].rstrip("\n"))
    return 0


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
        from envtool.cli.parser import make_parser

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
            self.waiting = self.waiting if self.waiting.nargs == "*" else None
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
            for found, meaning in _values(_option(self.parser, name), session):
                yield found if found.startswith(":") else f"{name}={found}", meaning
        elif current.startswith("-"):
            for option in self.parser.options():
                yield option.option_strings[-1], option.help or ""
        elif self.waiting is not None:
            yield from _values(self.waiting, session)
        elif self.parser.commands():
            for name, parser in self.parser.commands().items():
                yield name, (parser.description or "").partition(".\n")[0]
        else:
            yield from _values(self._operand(), session)

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


def _values(action: Action | None, session: Session) -> Iterator[tuple[str, str]]:
    if action is None:
        return
    kind = getattr(action, "completed_by", None)
    if action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif kind in LEFT_TO_THE_SHELL:
        yield f":{kind}", ""
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


def _kernels(session: Session) -> Iterator[tuple[str, str]]:
    from envtool.kernel.kernelspec import list_kernels

    for info in list_kernels(session.workspace()):
        yield info.name, info.display_name


_SOURCES = {
    "environments": _environments,
    "generations": _generations,
    "packages": _packages,
    "kernels": _kernels,
}
