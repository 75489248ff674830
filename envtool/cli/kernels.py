"""The commands for kernelspecs: `kernel install|list|remove`."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command, add_family, completed_by
from envtool.cli.options import UsageError
from envtool.cli.render import table
from envtool.cli.session import Session

if TYPE_CHECKING:
    from envtool.kernel.specs.specfolder import KernelSpecInfo

__all__ = ["add_commands"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    kernel = add_family(
        commands,
        "kernel",
        summary="show the environment to Jupyter as a kernel",
        text="""
        A kernelspec lets Jupyter, VS Code, nbclient and papermill start kernels. One serves every
        notebook: it runs each in what the notebook or its project declares.
        """,
    )
    _add_install(kernel)
    add_command(
        kernel,
        "list",
        _run_list,
        summary="list the kernels that envtool wrote",
        text="""
        Names, declarations, the generations that kernels started now would run in, and what is
        wrong with those that no longer work.
        """,
        examples=[("envtool kernel list", ""), ("envtool kernel list --json", "for a script")],
    )
    parser = add_command(
        kernel,
        "remove",
        _run_remove,
        summary="take a kernel away from Jupyter",
        text="Removes the kernelspec only; the environment and its generations stay.",
        examples=[("envtool kernel remove demo", "")],
    )
    completed_by(parser.add_argument("name", metavar="NAME", help="name of a kernel"), "kernels")


def _add_install(commands: "Commands[Parser]") -> None:
    parser = add_command(
        commands,
        "install",
        _run_install,
        summary="register a kernel for every notebook, or for one declaration",
        text="""
        Without FILE: writes the kernelspec `envtool` where Jupyter looks for it. A kernel of it
        runs in what the notebook declares, else in the environment of the project whose folder
        the notebook lies in, else in what the first cell declares that is executed. What is not
        there yet is built meanwhile, and the cell shows how far it is.

        With FILE (or -f, -e): a kernel of that declaration, for clients that do not say which
        notebook they start it for. It follows the declaration's current generation.
        """,
        examples=[
            ("envtool kernel install", "one for every notebook"),
            ("envtool kernel install plot.ipynb", "one for this notebook"),
            ("envtool kernel install envtool.toml --display-name 'My analysis'", ""),
        ],
    )
    completed_by(
        parser.add_argument(
            "declaration", metavar="FILE", nargs="?", help="a notebook, or a project's declaration"
        ),
        "files",
    )
    parser.add_argument("--name", help="name of the kernelspec (default: the declaration's)")
    parser.add_argument("--display-name", metavar="TEXT", help="what Jupyter shows")
    prefix = parser.add_argument(
        "--prefix", metavar="DIR", help="write below DIR/share/jupyter instead of the user's folder"
    )
    completed_by(prefix, "directories")


def _run_install(session: Session, arguments: Namespace) -> int:
    from envtool.kernel.specs.kernelspec import install, install_generic

    options, prefix = session.options, arguments.prefix
    named = arguments.declaration or options.file or options.environment != "default"
    if named:
        info = install(
            session.workspace(),
            session.project(arguments.declaration),
            name=arguments.name,
            display_name=arguments.display_name,
            prefix=prefix,
        )
    elif arguments.name is not None:
        raise UsageError("the kernel for every notebook has a name: --name goes with FILE")
    else:
        info = install_generic(
            session.workspace(), display_name=arguments.display_name, prefix=prefix
        )
    return _show(session, info, f"kernel {info.name} ({info.display_name}) in {info.directory}")


def _run_list(session: Session, arguments: Namespace) -> int:  # noqa: ARG001 - it has no words
    from envtool.kernel.specs.registered import list_kernels

    kernels, terminal = list_kernels(session.workspace()), session.terminal
    if terminal.json:
        terminal.result_json({"kernels": [_kernel_json(info) for info in kernels]})
    elif kernels:
        terminal.result("\n".join(table([_row(info) for info in kernels])))
        for info in kernels:
            if info.stale is not None:
                terminal.say(f"to take {info.name} away: envtool kernel remove {info.name}")
    else:
        terminal.result("no kernels yet; `envtool kernel install` registers one")
    return 0


def _run_remove(session: Session, arguments: Namespace) -> int:
    from envtool.kernel.specs.registered import remove

    info = remove(arguments.name)
    return _show(session, info, f"removed kernel {info.name} from {info.directory}")


def _show(session: Session, info: "KernelSpecInfo", text: str) -> int:
    if session.terminal.json:
        session.terminal.result_json({"kernel": _kernel_json(info)})
    else:
        session.terminal.result(text)
    return 0


def _kernel_json(info: "KernelSpecInfo") -> dict[str, Any]:
    return {
        "name": info.name,
        "display_name": info.display_name,
        "directory": info.directory,
        "project": info.project,
        "environment": info.environment,
        "generation": info.generation,
        "drifted": info.drifted,
        "stale": info.stale,
    }


def _row(info: "KernelSpecInfo") -> list[str]:
    if info.project is None:
        return [info.name, info.display_name, "every notebook", "", info.stale or ""]
    number = "none yet" if info.generation is None else f"generation {info.generation}"
    drifted = "declaration or lock has changed since" if info.drifted else ""
    return [info.name, info.display_name, info.project, number, info.stale or drifted]
