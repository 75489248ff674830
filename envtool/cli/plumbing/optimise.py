"""Sharing identical files: `store optimise`."""

from argparse import Namespace
from typing import TYPE_CHECKING

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.render import plural
from envtool.cli.session import Session
from envtool.cli.terminal import size_text

if TYPE_CHECKING:
    from envtool.machine.sharing.optimise import Optimised

__all__ = ["add_commands"]


def add_commands(family: "Commands[Parser]") -> None:
    """Add the command of this theme."""
    parser = add_command(
        family,
        "optimise",
        _run_optimise,
        summary="make identical files of the store hard links to one",
        text="""
        Files with the same contents and the same executable bit take space only once afterwards,
        whichever store paths they are in; no store path changes. Objects that are added share
        files with an older version by themselves (ENVTOOL_OPTIMISE=0 turns that off, and with
        ENVTOOL_OPTIMISE=all they share with everything): this finds the rest. It may be
        interrupted, and run beside anything else.
        """,
        examples=[
            ("envtool store optimise --dry-run", "what it would save"),
            ("envtool store optimise", "save it"),
        ],
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, do nothing")


def _run_optimise(session: Session, arguments: Namespace) -> int:
    from envtool.cli.progress import Progress
    from envtool.machine.sharing.optimise import optimise

    terminal, store = session.terminal, session.workspace().store
    done = optimise(store, Progress(terminal), dry_run=arguments.dry_run)
    if terminal.json:
        terminal.result_json(
            {
                "dry_run": arguments.dry_run,
                "files": done.files,
                "saved": done.saved,
                "total": done.total,
                "damaged": done.damaged,
                "supported": done.supported,
            }
        )
    elif not done.supported:
        terminal.result(f"nothing done: there are no hard links where {store.settings.store} lies")
    else:
        terminal.result(_text(done, dry_run=arguments.dry_run))
    if done.damaged:
        terminal.say(
            f"{plural(done.damaged, 'shared file')} had been changed: "
            "`envtool store verify --contents` finds the store paths that have them"
        )
    return 0


def _text(done: "Optimised", *, dry_run: bool) -> str:
    all_links = f"hard links save {size_text(done.total)} in all"
    if not done.files:
        return f"nothing to link; {all_links}"
    files, saved = plural(done.files, "file"), size_text(done.saved)
    return f"{'would link' if dry_run else 'linked'} {files}, {saved}; {all_links}"
