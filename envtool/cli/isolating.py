"""`--isolated`, `--read-only`, `--no-network`, `--pure`: a command kept from the machine.

For `run`, whose words are read by hand, and for `shell`. What the kernel denies is an error that
names the setting; nothing then starts with less than was asked for.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from envtool.cli.options import UsageError
from envtool.errors import SandboxError
from envtool.formats import entry

if TYPE_CHECKING:
    from envtool.cli.arguments import Parser
    from envtool.formats.generation import Record
    from envtool.machine.isolating.sandbox import View
    from envtool.machine.project import Project
    from envtool.workspace.entering import Entering

__all__ = [
    "FLAGS",
    "Isolation",
    "add_isolation",
    "closure_views",
    "plain_shell",
    "start",
    "taken",
]

FLAGS = {
    "--isolated": "show the closure, the project and a private /tmp; no HOME, no other processes",
    "--read-only": "with --isolated: the project may be read, not written",
    "--no-network": "no network but the command's own 127.0.0.1",
    "--pure": "only the declared PATH and variables, and HOME, USER, LOGNAME, TERM",
}
_PURE = ("HOME", "LOGNAME", "TERM", "USER")
_OURS = (
    *("ENVTOOL_ENVIRONMENT", "ENVTOOL_GENERATION", "ENVTOOL_PROJECT", "ENVTOOL_SHELL"),
    *("PYTHONPATH", "PS1", "PROMPT"),
)
_FONTS = "/etc/fonts"
_SOCKETS = ("SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XAUTHORITY")
"""Variables that lead to what is not there."""


class Isolation:
    """What was asked for; plain, for the sake of `run`."""

    __slots__ = ("isolated", "no_network", "pure", "read_only")

    def __init__(
        self,
        *,
        isolated: bool = False,
        read_only: bool = False,
        no_network: bool = False,
        pure: bool = False,
    ) -> None:
        self.isolated = isolated
        self.read_only = read_only
        self.no_network = no_network
        self.pure = pure
        if read_only and not isolated:
            raise UsageError(
                "--read-only needs --isolated", hint="envtool run --isolated --read-only CMD"
            )

    @classmethod
    def of(cls, named: "Mapping[str, Any]") -> "Isolation":
        """Return what is asked for by named values, as argparse gives them."""
        return cls(**{name: named[name] for name in cls.__slots__})

    def __bool__(self) -> bool:
        """Say whether anything was asked for."""
        return self.isolated or self.no_network or self.pure


def taken(words: Sequence[str]) -> tuple[Isolation, list[str]]:
    """Return what the leading words ask for, and the others.

    :raises UsageError: they do not go together.
    """
    at = 0
    while at < len(words) and words[at] in FLAGS:
        at += 1
    flags = {word[2:].replace("-", "_"): True for word in words[:at]}
    return Isolation(**flags), list(words[at:])


def add_isolation(parser: "Parser") -> None:
    """Add the options to a command that argparse reads."""
    for flag, text in FLAGS.items():
        parser.add_argument(flag, action="store_true", help=text)


def purified(environ: Mapping[str, str], record: "Record") -> dict[str, str]:
    """Return, of an environment's variables, what is declared and who the user is."""
    own = {*_PURE, *_OURS, *record.variables}
    kept = {name: text for name, text in environ.items() if name in own}
    declared = record.variables.get("PATH", "")
    leading = [entry.programs(environ["ENVTOOL_ENVIRONMENT"])]
    leading += entry.SYSTEM_PROGRAMS if record.system is not None else ()
    kept["PATH"] = ":".join(filter(None, (*leading, declared)))
    return kept


def plain_shell(
    shell: str, path: str, name: str, environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Return the words and variables of an interactive shell that reads no start-up file."""
    prompts = {"bash": ("PS1", r"(%s) \w\$ "), "zsh": ("PROMPT", "(%s) %%~%%# ")}
    options = {"bash": ["--noprofile", "--norc"], "zsh": ["-f"], "fish": ["--no-config"]}
    after = {**environ, "ENVTOOL_SHELL": name}
    if shell in prompts:
        variable, prompt = prompts[shell]
        after[variable] = prompt % name
        return [path, *options[shell], "-i"], after
    prompt = f"function fish_prompt; echo -n '({name}) > '; end"
    return [path, *options[shell], "--init-command", prompt, "-i"], after


def start(
    isolation: Isolation,
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    workspace: "Entering",
    project: "Project",
    record: "Record",
    system: bool = False,
) -> NoReturn:
    """Become a command, isolated as asked; `system` lets the host's /usr be seen.

    :raises SandboxError: the kernel denies what that needs.
    :raises CommandError: the command is not found, or cannot be executed.
    """
    from envtool.cli.becoming import execute

    if isolation.pure:
        environ = purified(environ, record)
    if not isolation.isolated:
        if isolation.no_network:
            from envtool.machine.isolating.isolation import leave_network

            leave_network()
        execute(words, environ, fresh=True, system=workspace.system(record))
    from envtool.machine.isolating.isolation import Isolated, become_isolated

    shown = closure_views(workspace, project, record, isolation=isolation, system=system)
    inside = {name: text for name, text in environ.items() if name not in _SOCKETS}
    inside["HOME"] = _home()
    folder = os.getcwd()
    if not (folder + "/").startswith(project.folder + "/"):
        folder = project.folder
    program = _located(words[0], inside, shown, workspace.system(record))
    become_isolated(
        Isolated(shown, folder, not isolation.no_network), [program, *words[1:]], inside
    )


def _home() -> str:
    from envtool.machine.isolating.sandbox import HOME

    return HOME


def _located(
    name: str, environ: Mapping[str, str], views: "Sequence[View]", system: str | None
) -> str:
    """Return the program's path.

    :raises CommandError: it is not found, or nothing shows it inside.
    """
    from envtool.cli.becoming import locate
    from envtool.cli.failure import CommandError

    seen = [view.path for view in views]
    for folder in [""] if "/" in name else environ["PATH"].split(":"):
        wanted = os.path.abspath(f"{folder}/{name}" if folder else name)
        if system is not None and wanted.startswith("/usr/"):
            if os.path.lexists(system + wanted):
                return wanted
            continue
        path = locate(wanted, environ)
        if path and os.access(path, os.X_OK) and not os.path.isdir(path):
            real = os.path.realpath(path)
            if any(f"{real}/".startswith(f"{os.path.realpath(each)}/") for each in seen):
                return path
    raise CommandError(
        f"there is no command {name} in the environment's closure",
        hint="--isolated shows nothing else; to see the machine: envtool run, without it",
        code=127,
    )


def closure_views(
    workspace: "Entering",
    project: "Project",
    record: "Record",
    *,
    isolation: Isolation,
    system: bool,
) -> "tuple[View, ...]":
    """Return what `--isolated` shows: closure, project's folder, and what a host's Python needs.

    :raises SandboxError: the project's folder is the root of all.
    """
    from envtool.machine.isolating.sandbox import View

    folder = project.folder
    if folder == "/":
        raise SandboxError(
            "--isolated shows the project's folder, which is / here",
            hint="put the declaration into a folder of its own",
        )
    views = [
        *_system_views(workspace.system(record), host=record.impure or system),
        *_interpreter_views(workspace, record, system=system),
        View(folder, writable=not isolation.read_only),
    ]
    with workspace.store.using():
        closure = workspace.store.closure([record.environment])
    views += [View(workspace.physical(path)) for path in sorted(closure)]
    bytecode = f"{workspace.settings.cache}/bytecode"
    if os.path.isdir(bytecode):
        views.append(View(bytecode))
    return tuple(views)


def _system_views(own: str | None, *, host: bool) -> "Sequence[View]":
    """Return what shows the environment's own system root, or else, for a `host`'s, the host's."""
    if own is not None:
        from envtool.machine.isolating.system import views_of

        return views_of(own)
    from envtool.machine.isolating.sandbox import View, host_system

    if not host:
        return ()
    # Programs of the host's /usr that look for fonts complain where nothing says which there are.
    return [*host_system(), *([View(_FONTS)] if os.path.isdir(_FONTS) else [])]


def _interpreter_views(
    workspace: "Entering", record: "Record", *, system: bool
) -> "Sequence[View]":
    """Return what its interpreter reads beside the store: a host's itself, data, the GPU."""
    python = f"{workspace.physical(record.environment)}/bin/python"
    if record.impure:
        return _interpreter(python)
    from envtool.machine.isolating.data import data_views
    from envtool.machine.isolating.gpu import gpu_views

    has_data = system or workspace.system(record) is not None
    return [*(() if has_data else data_views(python)), *gpu_views(python)]


def _interpreter(program: str) -> "list[View]":
    """Return the views of a host's interpreter, and of links to it, that do not lie in /usr."""
    from envtool.machine.isolating.sandbox import View

    views = []
    while os.path.islink(program):
        program = os.path.normpath(os.path.join(os.path.dirname(program), os.readlink(program)))
        views.append(View(program))
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(program)))
    shown = [*views[:-1], View(prefix)]
    return [view for view in shown if not f"{view.path}/".startswith("/usr/")]
