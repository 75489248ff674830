"""`envtool hook`: have the prompt enter and leave; `allow` and `deny`: what it may enter."""

import os
import shlex
import sys
from argparse import Namespace

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.session import Session

__all__ = ["add_commands"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    parser = add_command(
        commands,
        "hook",
        _run_hook,
        summary="print what has your prompt enter environments by itself",
        text="""
        With the printed text in its start-up file, your shell enters the environment of an
        allowed project as soon as you stand in its folder, follows it from generation to
        generation, and leaves it, every variable as it was, when you go. Prompts where nothing
        changed start no program. Inside `envtool shell` it does nothing. A declaration is let in
        by `envtool allow`; until then, and when it has changed, the prompt says so in a line.
        """,
        examples=[
            ('eval "$(envtool hook bash)"', "as a line of ~/.bashrc"),
            ('eval "$(envtool hook zsh)"', "as a line of ~/.zshrc"),
            ("envtool hook fish | source", "as a line of ~/.config/fish/config.fish"),
            ("envtool hook direnv > ~/.config/direnv/lib/envtool.sh", "then `use envtool`"),
        ],
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "direnv"), help="for whom")
    add_command(
        commands,
        "allow",
        _run_allow,
        summary="let a declaration lead your shells and kernels",
        text="""
        Lets the prompt (`envtool hook`) enter the environment, and `envtool shell` apply the
        declaration's variables and run its hook; prints both. Lets a kernel that Jupyter starts
        for a notebook of somebody else build more than what its lock pins. It holds for the
        declaration as it stands, and its current generation: when somebody changes it you are
        asked again, but not for your own `envtool add` and `remove`.
        """,
        examples=[
            ("envtool allow", ""),
            ("envtool -C analysis allow", "of another folder"),
            ("envtool -f analysis.ipynb allow", "a notebook that you have read"),
        ],
    )
    add_command(
        commands,
        "deny",
        _run_deny,
        summary="never let a declaration lead your shells and kernels",
        text="""
        Takes back what `envtool allow` said, and has the prompt be silent about it from now on.
        """,
        examples=[("envtool deny", ""), ("envtool -f analysis.ipynb deny", "a notebook's")],
    )


def program() -> list[str]:
    """Return the words that start this envtool, whatever the variables say of other Pythons."""
    script = os.path.join(os.path.dirname(sys.executable), "envtool")
    if os.path.isfile(script):
        return [sys.executable, "-I", script]
    start = "import sys; from envtool.cli import main; sys.exit(main())"
    return [sys.executable, "-I", "-c", start]


def _run_hook(session: Session, arguments: Namespace) -> int:
    from envtool.cli.prompt.texts import DIRENV, hook_text

    if arguments.shell == "direnv":
        text = DIRENV.replace("@ASK@", shlex.join(program()))
    else:
        text = hook_text(arguments.shell, program())
    if session.terminal.json:
        session.terminal.result_json({"shell": arguments.shell, "text": text})
    else:
        session.terminal.result_bytes(os.fsencode(text))
    return 0


def _run_allow(session: Session, arguments: Namespace) -> int:  # noqa: ARG001 - it has no words
    project, workspace = session.project(), session.workspace()
    variables, hook = workspace.allow(project)
    if session.terminal.json:
        shape = {"declaration": project.path, "vars": variables, "hook": hook}
        session.terminal.result_json(shape)
        return 0
    lines = [f"allowed: {project.path}"]
    lines += [f"  {name}={shlex.quote(text)}" for name, text in sorted(variables.items())]
    lines += [f"  hook: {line}" for line in (hook or "").splitlines()]
    session.terminal.result("\n".join(lines))
    return 0


def _run_deny(session: Session, arguments: Namespace) -> int:  # noqa: ARG001 - it has no words
    project = session.project()
    session.workspace().deny(project)
    if session.terminal.json:
        session.terminal.result_json({"declaration": project.path})
    else:
        session.terminal.result(f"denied: {project.path}")
    return 0
