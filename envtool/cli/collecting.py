"""Giving space back: `gc`, and what `store gc` shares with it."""

import os
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command
from envtool.cli.quantities import age, byte_count, positive
from envtool.cli.render import plural
from envtool.cli.session import Session
from envtool.cli.terminal import size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envtool.machine.collecting.retention import Pruned
    from envtool.workspace.workspace import Workspace

__all__ = ["add_collection_options", "add_commands", "collect"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    parser = add_command(
        commands,
        "gc",
        _run_gc,
        summary="delete what nothing needs any more",
        text="""
        Deletes the store paths that no generation, no running shell or kernel and no other root
        leads to. Generations are roots: every one that is listed can still be gone back to.
        Old ones are deleted first if you ask for it, those of all environments of this root, or of
        one that -f or -e names. The current generation always stays; of several rules, what one
        of them keeps stays. Of the cache goes what is about store paths that are gone, and what
        was not used for 30 days; with --offline not what the network would be needed for.
        """,
        examples=[
            ("envtool gc --dry-run", "what would be deleted"),
            ("envtool gc", "delete it; every generation stays"),
            ("envtool gc --older-than 30d", "first the generations of more than 30 days ago"),
            ("envtool gc --keep 3 --max 5G", "all but the 3 newest; stop when 5 GiB are free"),
            ("envtool -e ci gc -d", "all but the current generation of one environment"),
        ],
    )
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=age,
        help="delete generations older than 12h, 30d or 4w; what was current then stays",
    )
    parser.add_argument(
        "--keep", metavar="N", type=positive, help="delete all but the N newest generations"
    )
    parser.add_argument(
        "-d",
        "--delete-old",
        action="store_true",
        help="delete all generations but the current ones",
    )
    parser.add_argument(
        "--gone",
        action="store_true",
        help="delete all generations of environments whose declaration is not there any more",
    )
    add_collection_options(parser)


def add_collection_options(parser: Parser) -> None:
    """Add the options of whatever collects garbage."""
    parser.add_argument(
        "--max",
        metavar="SIZE",
        type=byte_count,
        dest="max_freed",
        help="stop when SIZE (such as 5G, 700M) is free; what is longest in the store goes first",
    )
    parser.add_argument(
        "--keep-free",
        metavar="SIZE",
        type=byte_count,
        help="stop as soon as the disk has SIZE free; nothing happens if it has",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, do nothing")


def _run_gc(session: Session, arguments: Namespace) -> int:
    workspace = session.workspace()
    return collect(session, workspace, arguments, _prune(session, workspace, arguments))


def _prune(session: Session, workspace: "Workspace", arguments: Namespace) -> "list[Pruned]":
    """Forget the generations that the words mean."""
    from envtool.machine.collecting.retention import Retention

    pruned: list[Pruned] = []
    if arguments.gone:
        pruned += workspace.forget_gone(dry_run=arguments.dry_run)
        _remove_kernels(session, workspace, arguments)
    if arguments.older_than is None and arguments.keep is None and not arguments.delete_old:
        return pruned
    named = hasattr(arguments, "file") or hasattr(arguments, "environment")
    project = session.project() if named else None
    retention = Retention(arguments.older_than, arguments.keep)
    found = workspace.prune(retention, project, dry_run=arguments.dry_run)
    return pruned + [each for each in found if each not in pruned]


def _remove_kernels(session: Session, workspace: "Workspace", arguments: Namespace) -> None:
    """Take kernels away from Jupyter whose declaration is gone."""
    from envtool.kernel.specs.registered import remove_gone

    for info in remove_gone(workspace, dry_run=arguments.dry_run):
        would = "would remove" if arguments.dry_run else "removed"
        session.terminal.say(f"{would} kernel {info.name}: {info.project} is gone")


def collect(
    session: Session, workspace: "Workspace", arguments: Namespace, pruned: "Sequence[Pruned]" = ()
) -> int:
    """Collect garbage as the options say, and tell what went."""
    limit = _limit(workspace, arguments)
    if arguments.dry_run:
        done: Any = workspace.gc_plan(pruned, max_freed=limit)
        idle = workspace.idle_caches(path for path, _ in done.dead)
    else:
        done = workspace.collect(max_freed=limit)
        idle = workspace.drop_caches()
    freed = done.freed + sum(each.size for each in idle)
    terminal = session.terminal
    if terminal.json:
        terminal.result_json(
            {
                "dry_run": arguments.dry_run,
                "generations": [_pruned_json(each) for each in pruned],
                "dead": [{"path": path.full(), "size": size} for path, size in done.dead],
                "junk": list(done.junk),
                "caches": [{"path": each.path, "size": each.size} for each in idle],
                "live": done.live_count,
                "freed": freed,
            }
        )
        return 0
    would = "would delete" if arguments.dry_run else "deleted"
    if arguments.dry_run or terminal.verbose:
        lines = [f"generation {each.number} of {_name(each)}" for each in pruned]
        lines += [f"{path}  {size_text(size)}" for path, size in done.dead]
        lines += done.junk
        lines += [f"{each.path}  {size_text(each.size)}" for each in idle]
        if lines:
            terminal.result("\n".join(lines))
    if limit == 0 and arguments.keep_free is not None and not pruned:
        terminal.result(f"nothing to delete: {size_text(_free(workspace.settings.root))} are free")
        return 0
    counted = plural(len(done.dead), "store path")
    if pruned:
        counted = f"{plural(len(pruned), 'generation')}, {counted}"
    if done.junk:
        counted += f", {plural(len(done.junk), 'leftover')}"
    if idle:
        counted += f", {len(idle)} of the cache"
    terminal.result(f"{would} {counted}, {size_text(freed)}; {done.live_count} are needed")
    return 0


def _limit(workspace: "Workspace", arguments: Namespace) -> int | None:
    """Return how many bytes to free at most; None: all there are."""
    limits = [] if arguments.max_freed is None else [arguments.max_freed]
    if arguments.keep_free is not None:
        limits.append(max(0, arguments.keep_free - _free(workspace.settings.root)))
    return min(limits, default=None)


def _free(folder: str) -> int:
    """Return the bytes that the disk of `folder`, which need not be there yet, has free."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _name(pruned: "Pruned") -> str:
    if pruned.environment == "default":
        return pruned.declaration
    return f"{pruned.environment} of {pruned.declaration}"


def _pruned_json(pruned: "Pruned") -> dict[str, Any]:
    return {
        "declaration": pruned.declaration,
        "environment": pruned.environment,
        "number": pruned.number,
    }
