"""Trees as NARs and hashes: `store add`, `dump`, `restore`, `hash`."""

from argparse import Namespace

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.session import Session

__all__ = ["add_commands"]


def add_commands(family: "Commands[Parser]") -> None:
    """Add the commands of this theme."""
    parser = add_command(
        family,
        "add",
        _run_add,
        summary="add files or folders to the store",
        text="""
        Copies each and prints where it lies then. The same contents under the same name get the
        same store path on every machine; what is there already is not copied again.
        """,
        examples=[
            ("envtool store add data/", "a folder, by the hash of its NAR"),
            ("envtool store add --name data.csv big.csv", "under another name"),
        ],
    )
    files = parser.add_argument("files", metavar="FILE", nargs="+", help="a file or a folder")
    completed_by(files, "files")
    parser.add_argument("--name", help="how it is called in the store (default: as the file)")


def _run_add(session: Session, arguments: Namespace) -> int:
    import os

    store = session.workspace().store
    paths = [
        store.add_tree(file, arguments.name or os.path.basename(os.path.abspath(file)))
        for file in arguments.files
    ]
    if session.terminal.json:
        shown = [{"path": path.full(), "physical": store.physical(path)} for path in paths]
        session.terminal.result_json({"paths": shown})
    else:
        session.terminal.result("\n".join(map(store.physical, paths)))
    return 0
