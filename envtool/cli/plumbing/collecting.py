"""Collecting garbage without touching generations: `store gc`."""

from argparse import Namespace

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.collecting import add_collection_options, collect
from envtool.cli.session import Session

__all__ = ["add_commands"]


def add_commands(family: "Commands[Parser]") -> None:
    """Add the commands of this theme."""
    parser = add_command(
        family,
        "gc",
        _run_gc,
        summary="delete what no root leads to",
        text="""
        Deletes the store paths that no root leads to, and what is in the store directory without
        being a store path; of the cache what is about paths that are gone, and what was not used
        for 30 days. Generations stay; `envtool gc` can delete old ones, too. It may run beside
        anything else: what is in use is a root.
        """,
        examples=[
            ("envtool store gc --dry-run", "what would be deleted"),
            ("envtool store gc --max 5G", "no more than frees 5 GiB"),
            ("envtool store gc --keep-free 20G", "only while less than 20 GiB are free"),
        ],
    )
    add_collection_options(parser)


def _run_gc(session: Session, arguments: Namespace) -> int:
    return collect(session, session.workspace(), arguments)
