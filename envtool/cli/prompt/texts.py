"""The text that a shell evaluates to have its prompt enter and leave environments.

Before each prompt the shell looks itself, without starting any program: which declarations are
in this folder and above, and whether what was found the last time is the same still
(`__envtool_same`, which the last answer of envtool defined). Only when something differs it asks
envtool (`envtool.cli.prompt.step`) and evaluates the answer. Inside `envtool shell` it rests.

What is typed meanwhile is the shell's: envtool, and a hook that it runs, read from nothing.

A variable that the shell has but does not export is unknown to envtool: it is kept aside while the
environment has one of that name.
"""

import shlex
from typing import Literal

__all__ = ["DIRENV", "Shell", "hook_text"]

Shell = Literal["bash", "zsh", "fish"]


def hook_text(shell: Shell, program: list[str]) -> str:
    """Return the text for a shell; `program` are the words that start envtool."""
    ask = " ".join(_fish_word(word) if shell == "fish" else shlex.quote(word) for word in program)
    return _TEXTS[shell].replace("@ASK@", f"{ask} __hook {shell}")


def _fish_word(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"


# Every name begins with __envtool_, since a local variable would catch an export of its name.
_POSIX = """\
__envtool_look() {
    if [[ $PWD != "${__envtool_pwd-}" ]]; then
        __envtool_pwd=$PWD __envtool_folder=@PHYSICAL@
    fi
    __envtool_found=
    local __envtool_at=${__envtool_folder%/}
    while :; do
        if [[ -e $__envtool_at/envtool.toml || -h $__envtool_at/envtool.toml ]]; then
            __envtool_found+=$__envtool_at/envtool.toml:
        fi
        if [[ -e $__envtool_at/pyproject.toml || -h $__envtool_at/pyproject.toml ]]; then
            __envtool_found+=$__envtool_at/pyproject.toml:
        fi
        [[ -n $__envtool_at ]] || break
        __envtool_at=${__envtool_at%/*}
    done
}
__envtool_nowhere() { [[ -z $__envtool_found && -z ${ENVTOOL_HOOK-} ]]; }
__envtool_same() { __envtool_nowhere; }
__envtool_keep() {
    eval "if [[ -n \\${$1+x} ]]; then __envtool_own_$1=\\$$1; fi"
}
__envtool_give() {
    eval "if [[ -n \\${__envtool_own_$1+x} ]]; then
        $1=\\$__envtool_own_$1; unset __envtool_own_$1
    fi"
}
__envtool_ask() { @ASK@ < /dev/null; }
__envtool_hook() {
    local __envtool_status=$?@EMULATE@
    if [[ -z ${ENVTOOL_SHELL-} ]]; then
        __envtool_look
        if [[ $__envtool_found != "${__envtool_seen-}" ]] || ! __envtool_same; then
            eval "$(__envtool_ask)"
            __envtool_seen=$__envtool_found
        fi
    fi
    return $__envtool_status
}
"""

_BASH = """\
if [[ $(declare -p PROMPT_COMMAND 2>/dev/null) == 'declare -a'* ]]; then
    [[ " ${PROMPT_COMMAND[*]} " == *' __envtool_hook '* ]] ||
        PROMPT_COMMAND=(__envtool_hook "${PROMPT_COMMAND[@]}")
elif [[ ${PROMPT_COMMAND-} != *__envtool_hook* ]]; then
    PROMPT_COMMAND=__envtool_hook${PROMPT_COMMAND:+$'\\n'$PROMPT_COMMAND}
fi
"""

_ZSH = """\
typeset -ga precmd_functions
if [[ ${precmd_functions[(Ie)__envtool_hook]} -eq 0 ]]; then
    precmd_functions=(__envtool_hook $precmd_functions)
fi
"""

_FISH = """\
set --global __envtool_seen
function __envtool_nowhere
    test -z "$__envtool_found" -a -z "$ENVTOOL_HOOK"
end
function __envtool_same
    __envtool_nowhere
end
function __envtool_look
    set --global __envtool_found
    set --local at (pwd -P | string trim --right --chars=/)
    while true
        for name in envtool.toml pyproject.toml
            if test -e $at/$name -o -L $at/$name
                set --append __envtool_found $at/$name
            end
        end
        test -n "$at"; or break
        set at (string replace --regex '/[^/]*$' '' -- $at)
    end
end
function __envtool_keep
    if set --query --global $argv[1]
        set --global __envtool_own_$argv[1] $$argv[1]
    end
end
function __envtool_give
    set --local own __envtool_own_$argv[1]
    if set --query $own
        set --global $argv[1] $$own
        set --erase --global $own
    end
end
function __envtool_ask
    @ASK@ < /dev/null
end
function __envtool_hook --on-event fish_prompt
    test -z "$ENVTOOL_SHELL"; or return
    __envtool_look
    if test "$__envtool_found" != "$__envtool_seen"; or not __envtool_same
        __envtool_ask | source
        set __envtool_seen $__envtool_found
    end
end
"""

_TEXTS: dict[Shell, str] = {
    "bash": _POSIX.replace("@PHYSICAL@", "$(pwd -P)").replace("@EMULATE@", "") + _BASH,
    "zsh": _POSIX.replace("@PHYSICAL@", "${PWD:A}").replace("@EMULATE@", "\n    emulate -L zsh")
    + _ZSH,
    "fish": _FISH,
}

DIRENV = """\
use_envtool() {
    local text
    text=$(@ASK@ "$@" print-env --shell direnv) || return
    eval "$text"
}
"""
"""What direnv reads from its library folder, for a line `use envtool` in an .envrc."""
