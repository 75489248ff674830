"""The commands about newer versions: `upgrade` and `outdated`."""

import time
from argparse import Action, ArgumentTypeError, Namespace

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.realising import perform_switch
from envtool.cli.render import changes_json, table
from envtool.cli.session import Session

__all__ = ["add_commands", "add_exclude_newer"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    parser = add_command(
        commands,
        "upgrade",
        _run_upgrade,
        summary="take newer versions, of all packages or of some, and switch",
        text="""
        Locks the newest versions that the declaration allows and that fit together, and switches
        to them. With names only these move, and what they need to. `envtool outdated` says what
        there is; `envtool rollback` goes back.
        """,
        examples=[
            ("envtool upgrade", "all of them"),
            ("envtool upgrade numpy pandas", "these two, everything else as it is locked"),
            ("envtool upgrade --exclude-newer 7d", "nothing that is younger than a week"),
        ],
    )
    _add_operands(parser)
    parser = add_command(
        commands,
        "outdated",
        _run_outdated,
        summary="say which packages have newer versions",
        text="""
        Lists what `envtool upgrade` would change in the lock: newer versions that the declaration
        allows and that fit together. Nothing is fetched or written.
        """,
        examples=[
            ("envtool outdated", ""),
            ("envtool outdated numpy", "only this one may move"),
            ("envtool outdated --json", "for a script"),
        ],
    )
    _add_operands(parser)


def add_exclude_newer(parser: Parser) -> Action:
    """Add the option that pins in time."""
    return parser.add_argument(
        "--exclude-newer",
        metavar="DATE",
        type=_time,
        help="ignore what came after DATE (2026-01-31), or is younger than an age (36h, 7d, 2w)",
    )


def _add_operands(parser: Parser) -> None:
    names = parser.add_argument("names", metavar="NAME", nargs="*", help="name of a package")
    completed_by(names, "packages")
    add_exclude_newer(parser)


def _time(text: str) -> str:
    from envtool.formats.cutoff import cutoff

    try:
        return cutoff(text, time.time())
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _run_upgrade(session: Session, arguments: Namespace) -> int:
    project, workspace = session.found_project(), session.workspace()
    return perform_switch(
        session,
        project,
        lambda: workspace.upgrade(project, arguments.names, exclude_newer=arguments.exclude_newer),
    )


def _run_outdated(session: Session, arguments: Namespace) -> int:
    project, terminal = session.project(), session.terminal
    changes = session.workspace().outdated(
        project, arguments.names, exclude_newer=arguments.exclude_newer
    )
    if terminal.json:
        terminal.result_json({"outdated": bool(changes), "changes": changes_json(changes)})
        return 0
    rows = [
        (old.name, old.version or "", "->", new.version or "", "" if new.direct else "indirect")
        for old, new in changes.changed
    ]
    rows += [(new.name, "", "->", new.version or "", "comes with it") for new in changes.added]
    rows += [(old.name, old.version or "", "->", "", "goes") for old in changes.removed]
    before, after = changes.python
    if before != after:
        rows.append(("python", before or "", "->", after, ""))
    debs = [
        (old.name, old.version, "->", new.version, "Debian") for old, new in changes.debs_changed
    ]
    rows += dict.fromkeys(debs)
    if not rows:
        terminal.result("everything is at the newest versions that the declaration allows")
        return 0
    terminal.result("\n".join([*table(rows), f"next: `{session.program(project)} upgrade`"]))
    return 0
