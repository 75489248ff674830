"""The command for data: `fetch`."""

from argparse import Namespace

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.session import Session
from envtool.errors import DeclarationError

__all__ = ["add_commands"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "fetch",
        _run_fetch,
        summary="put a file of the network into the store, by its hash",
        text="""
        Prints where the file lies then. With its hash it is fetched once, and is the same for ever
        and everywhere; another file than that is refused. Without a hash it says which one to
        write. A project, notebook or script (-f) keeps its data as long as it is there.
        """,
        examples=[
            ("envtool fetch https://example.org/lake.csv", "once, to learn the hash"),
            ("envtool fetch https://example.org/lake.csv sha256-…", "from then on"),
        ],
    )
    parser.add_argument("url", metavar="URL", help="http, https or file")
    parser.add_argument("hash", metavar="HASH", nargs="?", help="SHA-256, such as sha256-…")


def _run_fetch(session: Session, arguments: Namespace) -> int:
    workspace, terminal = session.workspace(), session.terminal
    try:
        project = session.project()
    except DeclarationError:
        if session.options.file is not None:
            raise
        project = None
    path, found = workspace.fetch(arguments.url, arguments.hash, project=project)
    physical = workspace.physical(path)
    if terminal.json:
        shape = {"path": path.full(), "physical": physical, "hash": found}
        terminal.result_json({**shape, "declaration": project and project.path})
        return 0
    if arguments.hash is None:
        terminal.say(f"its hash is {found}\nfrom now on: envtool fetch {arguments.url} {found}")
    if project is None:
        terminal.say("note: no project keeps it, so that `envtool gc` may delete it")
    terminal.result(physical)
    return 0
