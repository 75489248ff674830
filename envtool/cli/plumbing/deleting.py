"""Deleting single store paths: `store delete`."""

from argparse import Namespace
from typing import TYPE_CHECKING

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.plumbing.places import Asked, take_paths
from envtool.cli.plumbing.shown import path_json, show
from envtool.cli.session import Session
from envtool.errors import StoreError
from envtool.machine.asking import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envtool.formats.nix.storepath import StorePath
    from envtool.machine.collecting.roots import Root

__all__ = ["add_commands"]

_MOST_NAMED = 5


def add_commands(family: "Commands[Parser]") -> None:
    """Add the commands of this theme."""
    parser = add_command(
        family,
        "delete",
        _run_delete,
        summary="delete store paths that nothing needs",
        text="""
        Deletes each PATH and what refers to it, provided that no root leads to any of them;
        else it says what keeps them and deletes nothing. `envtool gc` deletes all such paths.
        """,
        examples=[
            ("envtool store delete --dry-run 0c5b8vw4", "what would go"),
            ("envtool store delete 0c5b8vw4", ""),
        ],
    )
    take_paths(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, do nothing")


def _run_delete(session: Session, arguments: Namespace) -> int:
    from envtool.cli.render import plural
    from envtool.cli.terminal import size_text
    from envtool.machine.collecting.roots import find_roots

    asked = Asked(session)
    paths = asked.paths(arguments.paths)
    _refuse_live(asked, paths, find_roots(asked.settings))
    found = queries.referrers_closure(asked.database, paths)
    infos = asked.database.infos(found)
    sizes = {path: infos[path].nar_size for path in found}
    if not arguments.dry_run:
        sizes = _deleted(asked, sizes)
    freed = sum(sizes.values())
    gone = [path_json(asked, path, size=size) for path, size in sizes.items()]
    would = "would delete" if arguments.dry_run else "deleted"
    lines = [f"{asked.physical(path)}  {size_text(size)}" for path, size in sizes.items()]
    lines.append(f"{would} {plural(len(sizes), 'store path')}, {size_text(freed)}")
    shape = {"dry_run": arguments.dry_run, "deleted": gone, "freed": freed}
    return show(asked, shape, lines)


def _refuse_live(asked: Asked, paths: "Sequence[StorePath]", roots: "Sequence[Root]") -> None:
    """Raise for paths that a root leads to, naming all of them."""
    lines = []
    for path in paths:
        kept_by = queries.keepers(asked.database, path)
        sources = [root.source for root in roots if root.path in kept_by]
        if sources:
            more = f" and {len(sources) - _MOST_NAMED} more" if len(sources) > _MOST_NAMED else ""
            lines.append(f"{path} is needed by {', '.join(sources[:_MOST_NAMED])}{more}")
    if lines:
        raise StoreError(
            "\n".join(["nothing was deleted:", *lines]) if len(lines) > 1 else lines[0],
            hint="envtool store roots PATH lists what keeps it; delete those links first",
        )


def _deleted(asked: Asked, sizes: "dict[StorePath, int]") -> "dict[StorePath, int]":
    """Delete the paths, but for what has got a root meanwhile; return what went."""
    from envtool.machine.collecting.gc import collect

    done = collect(asked.store, only=sizes, on_wait=asked.session.terminal.say)
    return dict(done.dead)
