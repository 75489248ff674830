"""Becoming an interactive bash, zsh or fish that an environment leads.

The user's own start-up files run first and may put what they like in front of PATH; then the
change is applied once more, so that the environment leads. Nothing stays behind on the disk:
bash reads its start-up text from a file in memory, fish from its arguments, and zsh from a
folder that the text itself removes.
"""

import os
from collections.abc import Callable, Mapping
from typing import NoReturn, cast

from envtool.cli.becoming import execute, locate
from envtool.cli.prompt.texts import Shell
from envtool.errors import EnvtoolError
from envtool.formats.activation import EnvironmentChange, change, compose

__all__ = ["SHELLS", "Shell", "enter", "find_shell", "run_in_shell"]

SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")


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
