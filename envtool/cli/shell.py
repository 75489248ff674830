"""`envtool shell`: become an interactive bash, zsh or fish that the environment leads.

The user's own start-up files run first and may put what they like in front of PATH; then the
change is applied once more, so that the environment leads. Nothing stays behind on the disk:
bash reads its start-up text from a file in memory, fish from its arguments, and zsh from a
folder that the text itself removes.
"""

import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn, cast

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.becoming import execute, locate
from envtool.cli.isolating import Isolation, add_isolation, plain_shell, start
from envtool.cli.options import UsageError
from envtool.cli.prompt.allowing import lets_in
from envtool.cli.prompt.entering import with_hook
from envtool.cli.prompt.texts import Shell
from envtool.cli.quantities import positive
from envtool.cli.session import Session
from envtool.errors import EnvtoolError
from envtool.formats import visit
from envtool.formats.activation import EnvironmentChange, change, compose

if TYPE_CHECKING:
    from envtool.formats.generation import Record
    from envtool.machine.project import Project
    from envtool.workspace.entering import Entering

__all__ = ["SHELLS", "Shell", "add_shell", "enter", "enter_generation", "run_in_shell"]

SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")


def add_shell(commands: "Commands[Parser]") -> None:
    """Add `shell`."""
    parser = add_command(
        commands,
        "shell",
        _run_shell,
        summary="enter the environment in a shell",
        text="""
        Starts your shell ($SHELL) with the environment's programs first on PATH, after your own
        start-up files have run. The host's PYTHON* variables are gone inside. The declaration's
        variables and its hook apply once you have said `envtool allow`. The prompt shows
        the environment's name; `exit` leads back. With no generation yet it makes the first one.
        """,
        examples=[
            ("envtool shell", "your own shell"),
            ("envtool shell --shell fish", "another one"),
            ("envtool shell -p numpy 'pandas>=2'", "just these, whatever folder you are in"),
            ("envtool shell --system graphviz -p pydot", "and programs of Debian"),
            ("envtool shell --generation 3", "as it was then; nothing is switched"),
            ("envtool shell --run 'python -V | tee version'", "one line of shell, then back"),
        ],
    )
    parser.add_argument("--shell", choices=SHELLS, help="which shell (default: $SHELL)")
    parser.add_argument(
        "--run", dest="line", metavar="CMD", help="run a line of shell instead of entering"
    )
    parser.add_argument(
        "-p",
        dest="requirements",
        metavar="REQ",
        nargs="+",
        action="extend",
        default=[],
        help="an environment of just these requirements, without a declaration",
    )
    system = parser.add_argument(
        "--system",
        metavar="PKG",
        nargs="+",
        action="extend",
        default=[],
        help="the same of packages of Debian, such as graphviz; goes with -p",
    )
    completed_by(system, "debian packages")
    number = parser.add_argument(
        "--generation", metavar="N", type=positive, help="another generation than the current one"
    )
    completed_by(number, "generations")
    add_isolation(parser)


def _run_shell(session: Session, arguments: Namespace) -> NoReturn:
    project, number, record, workspace = _meant(session, arguments)
    isolation = Isolation.of(vars(arguments))
    enter_generation(
        session,
        workspace,
        project,
        (number, record),
        shell=arguments.shell,
        line=arguments.line,
        isolation=isolation,
    )


def enter_generation(
    session: Session,
    workspace: "Entering",
    project: "Project",
    generation: "tuple[int | None, Record]",
    *,
    shell: Shell | None = None,
    line: str | None = None,
    isolation: Isolation | None = None,
) -> NoReturn:
    """Replace this process by a shell in a generation, or in a trial, which has no number.

    :param line: what to run instead of entering.
    """
    number, record = generation
    declared = lets_in(session, workspace, project, record)
    entered = workspace.activation(record, number, project, declared=declared)
    if not isolation:
        entered = compose(entered, _with_magics(workspace, project, record))
    # What a prompt has entered it leaves in its own shell; this one is not its.
    entered = compose(entered, change(unset=[visit.VARIABLE]))
    shell, path = find_shell(shell, os.environ)
    hook = record.hook if declared else None
    session.terminal.flush()
    system = workspace.system(record)
    if system is not None:
        shell, path = _shell_of(system, shell)
    if shell == "fish" and not isolation:
        entered, hook = with_hook(entered, hook, os.environ), None
    if line is not None and hook:
        line = f"{hook}\n{line}"
    if isolation:
        words, environ = plain_shell(shell, path, record.name, entered.apply(os.environ))
        if line is not None:
            words = [path, "-c", line]
        start(
            isolation,
            words,
            environ,
            workspace=workspace,
            project=project,
            record=record,
            system=True,
        )
    if system is not None:
        _enter_system(system, f"{workspace.physical(record.environment)}/bin/python")
    if line is not None:
        run_in_shell(line, entered, record.name, shell=shell, path=path, environ=os.environ)
    enter(entered, record.name, shell=shell, path=path, environ=os.environ, hook=hook or "")


def _with_magics(workspace: "Entering", project: "Project", record: "Record") -> EnvironmentChange:
    """Return what lets an IPython of the environment load `%envtool`."""
    from envtool.kernel.entering import terminal_variables

    return change(assign=terminal_variables(workspace, project, record))


def _meant(session: Session, arguments: Namespace) -> "tuple[Project, int, Record, Entering]":
    """Return the project and the generation that the words mean."""
    if arguments.requirements or arguments.system:
        if arguments.generation is not None:
            option = "-p" if arguments.requirements else "--system"
            message = f"{option} and --generation do not go together"
            raise UsageError(message, hint="envtool shell --help")
        project = session.made_up(arguments.requirements, arguments.system)
    else:
        project = session.project() if arguments.line else session.found_project()
    if arguments.generation is None:
        return project, *session.current(project)
    workspace = session.quiet_workspace()
    return project, *workspace.generation(project, arguments.generation), workspace


def find_shell(wanted: Shell | None, environ: Mapping[str, str]) -> tuple[Shell, str]:
    """Return which shell to enter and its path: the wanted one, else $SHELL, else bash.

    :raises EnvtoolError: when it is not on this machine.
    """
    own = environ.get("SHELL", "")
    name = wanted or os.path.basename(own)
    if name not in SHELLS:
        name = "bash"
    path = own if os.path.basename(own) == name and os.path.exists(own) else locate(name, environ)
    if path is None:
        raise EnvtoolError(
            f"there is no shell {name} on PATH",
            hint="envtool shell --shell " + "|".join(SHELLS),
        )
    return cast("Shell", name), path


def _shell_of(system: str, wanted: Shell) -> tuple[Shell, str]:
    """Return the shell of a system root: the wanted one if it is there; bash always is."""
    shell: Shell = wanted if os.path.lexists(f"{system}/usr/bin/{wanted}") else "bash"
    return shell, f"/usr/bin/{shell}"


def _enter_system(system: str, python: str) -> None:
    # Imported now: afterwards the host's /usr is out of sight, and perhaps this Python's library.
    import tempfile  # noqa: F401

    import envtool.cli.failure  # noqa: F401
    from envtool.machine.isolating.system import enter_system

    enter_system(system, python)


def enter(
    entered: EnvironmentChange,
    name: str,
    *,
    shell: Shell,
    path: str,
    environ: Mapping[str, str],
    hook: str = "",
) -> NoReturn:
    """Replace this process by an interactive shell in the environment called `name`.

    :param hook: what the shell is to run when all else is in place; not for fish.
    """
    entered = compose(entered, change(assign={"ENVTOOL_SHELL": name}))
    led = entered.render(shell) + (f"{hook}\n" if hook else "")
    _STARTERS[shell](led, name, path, entered.apply(environ))


def run_in_shell(
    command: str,
    entered: EnvironmentChange,
    name: str,
    *,
    shell: Shell,
    path: str,
    environ: Mapping[str, str],
) -> NoReturn:
    """Replace this process by a shell that runs one line, led by the environment.

    Some shells read start-up files even then (zsh's .zshenv, fish's config.fish), so the change
    is applied behind them.
    """
    entered = compose(entered, change(assign={"ENVTOOL_SHELL": name}))
    if shell == "fish":
        words = [path, "--init-command", entered.render("fish"), "-c", command]
    else:
        words = [path, "-c", entered.render(shell) + command]
    execute(words, entered.apply(environ))


def _start_bash(led: str, name: str, path: str, environ: dict[str, str]) -> NoReturn:
    # bash reads the whole file before it runs the first line, so the text can close it.
    memory = os.memfd_create("envtool-bashrc", 0)
    text = _BASH.format(change=led, name=name, memory=memory)
    with open(memory, "wb", closefd=False) as file:
        file.write(os.fsencode(text))
    execute([path, "--rcfile", f"/proc/self/fd/{memory}", "-i"], environ)


def _start_zsh(led: str, name: str, path: str, environ: dict[str, str]) -> NoReturn:
    import tempfile

    folder = tempfile.mkdtemp(prefix="envtool-zsh-")
    own = environ.get("ZDOTDIR")
    restore = "unset ZDOTDIR" if own is None else change(assign={"ZDOTDIR": own}).render("zsh")
    for file_name, template in ((".zshenv", _ZSHENV), (".zshrc", _ZSHRC)):
        text = template.format(change=led, name=name, folder=folder, restore=restore.strip())
        with open(os.path.join(folder, file_name), "wb") as file:
            file.write(os.fsencode(text))
    execute([path, "-i"], {**environ, "ZDOTDIR": folder})


def _start_fish(led: str, name: str, path: str, environ: dict[str, str]) -> NoReturn:
    text = _FISH.format(change=led, name=name)
    execute([path, "--interactive", "--init-command", text], environ)


_STARTERS: dict[Shell, Callable[[str, str, str, dict[str, str]], NoReturn]] = {
    "bash": _start_bash,
    "zsh": _start_zsh,
    "fish": _start_fish,
}

# Prompt themes write PS1 anew before each prompt, so the name is put back where it is missing.
_BASH = """\
exec {memory}<&-
if [ -f ~/.bashrc ]; then . ~/.bashrc; fi
{change}
__envtool_prompt() {{ case $PS1 in '({name}) '*) ;; *) PS1='({name}) '$PS1 ;; esac; }}
if [[ $(declare -p PROMPT_COMMAND 2>/dev/null) == 'declare -a'* ]]; then
    PROMPT_COMMAND+=(__envtool_prompt)
else
    PROMPT_COMMAND=${{PROMPT_COMMAND:+$PROMPT_COMMAND$'\\n'}}__envtool_prompt
fi
"""

# The user's .zshenv may choose a ZDOTDIR of its own; that one is then used for .zshrc.
_ZSHENV = """\
{restore}
[[ -f ${{ZDOTDIR:-$HOME}}/.zshenv ]] && . "${{ZDOTDIR:-$HOME}}/.zshenv"
typeset -g __envtool_zdotdir=${{ZDOTDIR-}}
export ZDOTDIR='{folder}'
"""

_ZSHRC = """\
command rm -rf -- '{folder}'
if [[ -n $__envtool_zdotdir ]]; then export ZDOTDIR=$__envtool_zdotdir; else unset ZDOTDIR; fi
unset __envtool_zdotdir
[[ ${{HISTFILE-}} == '{folder}'/* ]] && HISTFILE=${{ZDOTDIR:-$HOME}}/${{HISTFILE:t}}
[[ -f ${{ZDOTDIR:-$HOME}}/.zshrc ]] && . "${{ZDOTDIR:-$HOME}}/.zshrc"
{change}
__envtool_prompt() {{ [[ $PROMPT == '({name}) '* ]] || PROMPT='({name}) '$PROMPT }}
precmd_functions+=(__envtool_prompt)
"""

# The user's prompt may show the status of the last command, so it is given back to it.
_FISH = """\
{change}
if functions --query fish_prompt
    functions --copy fish_prompt __envtool_fish_prompt
else
    function __envtool_fish_prompt; echo '> '; end
end
function __envtool_status; return $argv[1]; end
function fish_prompt
    set --local before $status
    echo -n '({name}) '
    __envtool_status $before
    __envtool_fish_prompt
end
"""
