"""`envtool completion`: the script for each shell, which asks `envtool.cli.completing`."""

from argparse import Namespace

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.session import Session

__all__ = ["add_completion"]

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
