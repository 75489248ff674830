"""The commands that write what is wanted: `init`, `declare`, `add`, `remove`, `lock`."""

import os
import sys
from argparse import Action, Namespace
from typing import Any

from envtool.cli.arguments import Commands, Parser, add_command, completed_by
from envtool.cli.options import UsageError
from envtool.cli.realising import perform_switch
from envtool.cli.render import changes_json, changes_lines, counts_text, plural
from envtool.cli.session import Session, working_directory
from envtool.cli.upgrading import add_exclude_newer
from envtool.errors import EnvtoolError

__all__ = ["add_commands", "add_system_option"]

NOT_OF_PYTHON = "(not a package of Python)"
NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789._-"


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    _add_init(commands)
    _add_declare(commands)
    _add_add(commands)
    _add_remove(commands)
    _add_lock(commands)


def _add_init(commands: "Commands[Parser]") -> None:
    parser = add_command(
        commands,
        "init",
        _run_init,
        summary="write a declaration, envtool.toml",
        text="""
        Writes a short envtool.toml with comments that say what may stand in it. Nothing is
        overwritten; a pyproject.toml with [project] is a declaration already and needs no other.
        With --from it asks for what another tool's file does, and says what it had to leave:
        requirements.txt, environment.yml, poetry.lock, uv.lock, Pipfile.lock, a virtual
        environment, or what a notebook or script imports.
        """,
        examples=[
            ("envtool init", "in this folder, named after it"),
            ("envtool init --python 3.12", "for a certain Python"),
            ("envtool -C analysis init", "in another folder"),
            ("envtool init --from requirements.txt", "from what another tool was told"),
            ("envtool init --from .venv", "from a virtual environment as it is"),
        ],
    )
    parser.add_argument("--name", help="the project's name (default: the folder's)")
    parser.add_argument("--python", metavar="VERSION", help="such as 3.12 (default: envtool's own)")
    carried = parser.add_argument("--from", metavar="PATH", dest="origin", help="take over from")
    completed_by(carried, "files")


def _add_declare(commands: "Commands[Parser]") -> None:
    add_command(
        commands,
        "declare",
        _run_declare,
        summary="replace the declaration by what is read, and switch",
        text="""
        Reads a declaration from standard input, puts it in the place of the present one, locks,
        and switches: the block of a notebook or a script, or a whole envtool.toml. When anything
        fails the file is as it was. `%%envtool` in a notebook does this with its cell.
        """,
        examples=[
            ("envtool declare < envtool.toml.new", ""),
            ("echo 'dependencies = [\"six\"]' | envtool -f plot.ipynb declare", "into a notebook"),
        ],
    )


def _add_add(commands: "Commands[Parser]") -> None:
    parser = add_command(
        commands,
        "add",
        _run_add,
        summary="declare packages and switch to an environment with them",
        text="""
        Writes the requirements (PEP 508) into the declaration, keeping its comments and order,
        locks, and switches. A package that is declared already gets the new requirement. When
        anything fails the declaration is as it was. --system adds packages of Debian in the same
        way; `envtool search` finds their names.
        """,
        examples=[
            ("envtool add numpy 'pandas>=2,<3'", "two packages"),
            ("envtool add 'torch; platform_machine == \"x86_64\"'", "with a marker"),
            ("envtool add --editable ../mylib", "a local project, as it is now and will be"),
            ("envtool add --system graphviz", "programs of Debian, for the environment's /usr"),
            ("envtool -f plot.py add requests", "into a script's block"),
        ],
    )
    parser.add_argument("requirements", metavar="REQ", nargs="*", help="such as 'numpy>=2'")
    editable = parser.add_argument(
        "--editable", metavar="PATH", action="append", default=[], help="a local project's folder"
    )
    completed_by(editable, "directories")
    completed_by(add_system_option(parser), "debian packages")


def add_system_option(parser: Parser) -> Action:
    """Add `--system PKG…` to a command that edits a declaration."""
    return parser.add_argument(
        "--system",
        metavar="PKG",
        nargs="+",
        action="extend",
        default=[],
        help="packages of Debian, such as graphviz",
    )


def _add_remove(commands: "Commands[Parser]") -> None:
    parser = add_command(
        commands,
        "remove",
        _run_remove,
        summary="take packages out of the declaration and switch",
        text="""
        Removes the requirements of these names, keeping the rest as it stands, locks, and
        switches. What only they required goes too; `envtool why NAME` says what keeps a package.
        With --system the names are packages of Debian that are declared.
        """,
        examples=[
            ("envtool remove pandas", ""),
            ("envtool remove --system graphviz", "a package of Debian"),
            ("envtool -e docs remove sphinx", ""),
        ],
    )
    names = parser.add_argument("names", metavar="NAME", nargs="*", help="name of a package")
    completed_by(names, "packages")
    completed_by(add_system_option(parser), "system packages")


def _add_lock(commands: "Commands[Parser]") -> None:
    parser = add_command(
        commands,
        "lock",
        _run_lock,
        summary="pin every package of the declaration in pylock.toml",
        text="""
        Finds versions that fit together and writes them, with a SHA-256 for each file, into
        pylock.toml (PEP 751; pip and uv read it too). Versions already locked stay unless the
        declaration forbids them or --upgrade asks for newer ones.
        """,
        examples=[
            ("envtool lock", "after editing the declaration"),
            ("envtool lock --check", "in CI: fail when the lock is stale"),
            ("envtool lock --upgrade", "newest of everything"),
            ("envtool lock --upgrade numpy", "newest of one package"),
            ("envtool lock --exclude-newer 2025-06-01", "as the index was on a day"),
        ],
    )
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    upgrade = parser.add_argument(
        "--upgrade", metavar="NAME", nargs="*", help="take newer versions, of all or of these"
    )
    add_exclude_newer(parser)
    completed_by(upgrade, "packages")


def _run_init(session: Session, arguments: Namespace) -> int:
    from envtool.formats.declarations.editing.template import template
    from envtool.formats.declarations.reading import parse
    from envtool.machine.project import write_declaration

    folder = working_directory()
    path = os.path.join(folder, "envtool.toml")
    if os.path.lexists(path):
        raise EnvtoolError(f"{path} exists and is not overwritten", hint="envtool add NAME")
    if arguments.origin is None and _is_project(os.path.join(folder, "pyproject.toml")):
        return _report_init(session, os.path.join(folder, "pyproject.toml"), written=False)
    name = _project_name(arguments.name or os.path.basename(folder))
    python = arguments.python or f"{sys.version_info.major}.{sys.version_info.minor}"
    left: tuple[str, ...] = ()
    if arguments.origin is None:
        text = template(name, python, "envtool.toml")
    else:
        from envtool.cli.carrying import taken_over

        text, left = taken_over(arguments.origin, name, arguments.python, python, folder)
    parse(text, path=path, kind="envtool.toml")  # --python may be nonsense
    write_declaration(path, text)
    return _report_init(session, path, written=True, left=left, full=arguments.origin is not None)


def _report_init(
    session: Session,
    path: str,
    *,
    written: bool,
    left: tuple[str, ...] = (),
    full: bool = False,
) -> int:
    for line in left:
        session.terminal.say(f"not carried over: {line}")
    if any(NOT_OF_PYTHON in line for line in left):
        session.terminal.say(
            "`envtool search NAME` looks in Debian, `add --system` adds from there"
        )
    if session.terminal.json:
        shape = {"declaration": path, "written": written, "left": list(left)}
        session.terminal.result_json(shape)
    elif full:
        session.terminal.result(f"wrote {path}\nnext: look at it, then `envtool switch`")
    elif written:
        session.terminal.result(f"wrote {path}\nnext: `envtool add numpy`, then `envtool shell`")
    else:
        session.terminal.result(
            f"{path} is a declaration already; nothing to write\n"
            "next: `envtool add numpy`, then `envtool shell`"
        )
    return 0


def _is_project(path: str) -> bool:
    from envtool.machine.project import find

    return os.path.lexists(path) and find(os.path.dirname(path))[0] == path


def _project_name(text: str) -> str:
    """Return the name as a declaration may hold it: lower case, digits, dots, dashes."""
    kept = "".join(c if c in NAME_CHARACTERS else "-" for c in text.lower())
    return kept.strip("._-") or "project"


def _run_add(session: Session, arguments: Namespace) -> int:
    if not (arguments.requirements or arguments.editable or arguments.system):
        raise UsageError("add needs a requirement", hint="envtool add numpy")
    if arguments.requirements and arguments.editable:
        raise UsageError("add takes requirements or --editable, one kind at a time")
    project, workspace = session.found_project(), session.workspace()
    editable = bool(arguments.editable)
    words = arguments.editable or arguments.requirements
    return perform_switch(
        session,
        project,
        lambda: workspace.add(project, words, editable=editable, system=arguments.system),
    )


def _run_remove(session: Session, arguments: Namespace) -> int:
    if not (arguments.names or arguments.system):
        raise UsageError("remove needs the name of a package", hint="envtool tree lists them")
    project, workspace = session.found_project(), session.workspace()
    return perform_switch(
        session,
        project,
        lambda: workspace.remove(project, arguments.names, system=arguments.system),
    )


def _run_declare(session: Session, arguments: Namespace) -> int:  # noqa: ARG001 - it has no words
    if sys.stdin.isatty():
        raise UsageError(
            "declare reads a declaration from standard input, which is a terminal",
            hint="envtool declare < FILE",
        )
    project, workspace = session.found_project(), session.workspace()
    try:
        declared = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise EnvtoolError(f"the declaration is no text: {error.reason}") from error
    return perform_switch(session, project, lambda: workspace.declare(project, declared))


def _run_lock(session: Session, arguments: Namespace) -> int:
    project, workspace, terminal = session.found_project(), session.workspace(), session.terminal
    if arguments.check:
        workspace.check_lock(project)
        return _report_lock(session, {"up_to_date": True}, ["the lock is up to date"])
    upgrade = arguments.upgrade or arguments.upgrade is not None
    lock, changes = workspace.lock(project, upgrade=upgrade, exclude_newer=arguments.exclude_newer)
    count = len(lock.packages)
    shape: dict[str, Any]
    if changes is None:
        shape = {"changed": False, "packages": count, "changes": None}
        return _report_lock(
            session, shape, [f"the lock stays as it is: {plural(count, 'package')}"]
        )
    shape = {"changed": True, "packages": count, "changes": changes_json(changes)}
    locked = f"locked {plural(count, 'package')} ({counts_text(changes)})"
    return _report_lock(session, shape, [locked, *changes_lines(changes, terminal)])


def _report_lock(session: Session, shape: dict[str, Any], lines: list[str]) -> int:
    if session.terminal.json:
        session.terminal.result_json(shape)
    else:
        session.terminal.result("\n".join(lines))
    return 0
