"""The commands for notebooks as files: `notebook init|add|lock|show|run|verify|clean`."""

import os
import shlex
from argparse import Action, Namespace
from typing import TYPE_CHECKING, Any

from envtool.cli.arguments import Commands, Parser, add_command, add_family, completed_by
from envtool.cli.declaring import add_system_option
from envtool.cli.options import UsageError
from envtool.cli.realising import perform_switch
from envtool.cli.render import changes_json, counts_text, plural
from envtool.cli.session import Session, working_directory
from envtool.cli.several import each_of
from envtool.errors import EnvtoolError

if TYPE_CHECKING:
    from envtool.cli.several import Answer
    from envtool.kernel.state import State
    from envtool.machine.project import Project

__all__ = ["add_commands"]


def add_commands(commands: "Commands[Parser]") -> None:
    """Add the commands of this family."""
    from envtool.cli import executing

    family = add_family(
        commands,
        "notebook",
        summary="notebooks that carry their environment: declare, lock, run, verify",
        text="A notebook may carry its declaration and its lock; it then needs no other file.",
    )
    _add_init(family)
    _add_add(family)
    _add_lock(family)
    _add_show(family)
    executing.add_commands(family)
    _add_clean(family)


def _add_init(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "init",
        _run_init,
        summary="write a notebook, or a declaration into one",
        text="""
        Puts a `# /// script` block (PEP 723), which uv and juv read too, into a first cell of its
        own. Nothing else in the file changes, and a notebook that declares already is left alone.
        """,
        examples=[
            ("envtool notebook init analysis.ipynb", "a new one, or one that is there"),
            ("envtool notebook init --python 3.12 analysis.ipynb", "for a certain Python"),
        ],
    )
    parser.add_argument("--python", metavar="VERSION", help="such as 3.12 (default: envtool's own)")
    _take_notebook(parser)


def _add_add(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "add",
        _run_add,
        summary="declare packages in a notebook and switch to an environment with them",
        text="""
        As `envtool -f NB add`: writes the requirements into the notebook's declaration and the lock
        into its metadata, and changes nothing else in the file.
        """,
        examples=[
            ("envtool notebook add analysis.ipynb numpy 'pandas>=2'", ""),
            ("envtool notebook add analysis.ipynb --system graphviz", "packages of Debian"),
        ],
    )
    _take_notebook(parser)
    parser.add_argument("requirements", metavar="REQ", nargs="*", help="such as 'numpy>=2'")
    completed_by(add_system_option(parser), "debian packages")


def _add_lock(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "lock",
        _run_lock,
        summary="pin every package of notebooks inside them",
        text="""
        Writes the lock into the metadata of each notebook that declares something. Versions that
        are locked stay unless the declaration forbids them or --upgrade asks for newer ones.
        """,
        examples=[
            ("envtool notebook lock analysis.ipynb", ""),
            ("envtool notebook lock --check *.ipynb", "in CI: fail when a lock is stale"),
        ],
    )
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    parser.add_argument("--upgrade", action="store_true", help="take newer versions of everything")
    _take_notebook(parser, several=True)


def _add_show(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "show",
        _run_show,
        summary="show what notebooks carry",
        text="""
        Says what each declares, whether its lock answers that, and which environment made its
        outputs: by the lock that it has, or by another one.
        """,
        examples=[
            ("envtool notebook show analysis.ipynb", ""),
            ("envtool notebook show --json *.ipynb", "for a script"),
        ],
    )
    _take_notebook(parser, several=True)


def _add_clean(family: "Commands[Parser]") -> None:
    parser = add_command(
        family,
        "clean",
        _run_clean,
        summary="take outputs out of notebooks",
        text="""
        Removes outputs, execution counts, and the record of the run, and changes no other byte.
        Declaration and lock stay, unless --lock asks for the lock to go, too.
        """,
        examples=[
            ("envtool notebook clean *.ipynb", "before a commit"),
            ("envtool notebook clean --check *.ipynb", "in CI: fail when one has outputs"),
        ],
    )
    parser.add_argument("--check", action="store_true", help="only say which are not clean")
    parser.add_argument("--lock", action="store_true", help="remove the lock as well")
    _take_notebook(parser, several=True)


def _take_notebook(parser: Parser, *, several: bool = False) -> None:
    settings: dict[str, Any] = {"nargs": "+", "dest": "notebooks"} if several else {}
    name = "notebooks" if several else "notebook"
    settings.pop("dest", None)
    action: Action = parser.add_argument(name, metavar="NB", help="a notebook", **settings)
    completed_by(action, "files")


def _project(session: Session, path: str) -> "Project":
    if session.options.file is not None:
        raise UsageError("the notebook itself is named, without --file")
    project = session.project(path)
    if not project.kind.startswith("notebook"):
        raise EnvtoolError(f"{project.path} is not a notebook", hint="a notebook ends in .ipynb")
    return project


def _run_init(session: Session, arguments: Namespace) -> int:
    import sys

    from envtool.formats.declarations.editing.replacing import replace_declaration
    from envtool.formats.declarations.editing.template import template
    from envtool.formats.declarations.reading import parse
    from envtool.machine import project as projects

    path = os.path.join(working_directory(), arguments.notebook)
    if not path.endswith(".ipynb"):
        raise EnvtoolError(f"{path} is not a notebook", hint="a notebook ends in .ipynb")
    python = arguments.python or f"{sys.version_info.major}.{sys.version_info.minor}"
    is_new = not os.path.lexists(path)
    before = None if is_new else projects.read_text(path)
    project = None if is_new else _project(session, path)
    if project and projects.declaration_text(path, project.kind, text=before):
        return _report_init(session, path, written=False)
    text = template("notebook", python, "notebook-cell")
    if before is not None:
        block = template("notebook", python, "script")
        text = replace_declaration(before, block, kind="notebook-cell", file=path)
    parse(text, path=path, kind="notebook-cell")  # --python may be nonsense
    if before is None:
        projects.write_declaration(path, text)
    else:
        projects.replace_declaration(path, before, text)
    return _report_init(session, path, written=True)


def _report_init(session: Session, path: str, *, written: bool) -> int:
    if session.terminal.json:
        session.terminal.result_json({"notebook": path, "written": written})
        return 0
    shown = os.path.relpath(path)
    first = f"wrote {shown}" if written else f"{shown} declares already; nothing to write"
    session.terminal.result(f"{first}\nnext: `envtool notebook add {shown} numpy`")
    return 0


def _run_add(session: Session, arguments: Namespace) -> int:
    words, system = arguments.requirements, arguments.system
    if not (words or system):
        raise UsageError("add needs a requirement", hint="envtool notebook add NB numpy")
    project, workspace = _project(session, arguments.notebook), session.workspace()
    return perform_switch(session, project, lambda: workspace.add(project, words, system=system))


def _run_lock(session: Session, arguments: Namespace) -> int:
    workspace = session.workspace()

    def lock(project: "Project") -> "Answer":
        if arguments.check:
            workspace.check_lock(project)
            return {"up_to_date": True}, ["the lock is up to date"]
        lock, changes = workspace.lock(project, upgrade=arguments.upgrade)
        shape = {"changed": changes is not None, "packages": len(lock.packages)}
        count = plural(len(lock.packages), "package")
        if changes is None:
            return {**shape, "changes": None}, [f"the lock stays as it is: {count}"]
        told = f"locked {count} ({counts_text(changes)})"
        return {**shape, "changes": changes_json(changes)}, [told]

    return each_of(session, arguments.notebooks, lambda path: _project(session, path), lock)


def _run_show(session: Session, arguments: Namespace) -> int:
    from envtool.kernel.state import state_of

    workspace = session.workspace()

    def show(project: "Project") -> "Answer":
        state = state_of(workspace, project)
        return _state_json(state), _state_lines(state)

    return each_of(session, arguments.notebooks, lambda path: _project(session, path), show)


def _state_lines(state: "State") -> list[str]:
    required = ", ".join(state.requirements) or "no packages"
    python = f", python {state.python}" if state.python else ""
    declares = {
        "cell": f"in its first code cell: {required}{python}",
        "metadata": f"in its metadata: {required}{python}",
        "nothing": "nothing of its own: it runs in the environment of its folder's project",
    }
    again = shlex.join(["envtool", "notebook", "lock", os.path.relpath(state.notebook)])
    locks = {
        "answers": f"answers the declaration: {plural(len(state.packages), 'package')}",
        "stale": f"is not for the declaration as it is now: {again}",
        "none": _without_lock(state) or f"none yet: {again}",
    }
    outputs = f"{state.with_outputs} of {plural(state.cells, 'code cell')}"
    return [
        "",
        f"  declares  {declares[state.declares]}",
        f"  lock      {locks[state.lock]}",
        f"  outputs   {outputs}{_made_by(state)}",
    ]


def _without_lock(state: "State") -> str:
    """Return what is said of the lock of a notebook that declares nothing; empty for others."""
    if state.declares != "nothing":
        return ""
    count = plural(len(state.packages), "package")
    return f"that of the project it ran in: {count}" if state.packages else "none"


def _made_by(state: "State") -> str:
    if state.origin is None:
        return "" if not state.with_outputs else "; nobody noted what made them"
    by = {
        True: "by the lock it has",
        False: "by another lock than it has: run it again",
        None: "by a lock that nobody noted",
    }[state.is_current]
    here = "" if state.is_present else " (not in this store)"
    return f", made {by}, in {state.origin.environment}{here}"


def _state_json(state: "State") -> dict[str, Any]:
    origin = None if state.origin is None else state.origin.json()
    return {
        "declares": state.declares,
        "requirements": list(state.requirements),
        "python": state.python,
        "lock": state.lock,
        "packages": list(state.packages),
        "cells": state.cells,
        "with_outputs": state.with_outputs,
        "origin": origin,
        "is_present": state.is_present,
        "is_current": state.is_current,
    }


def _run_clean(session: Session, arguments: Namespace) -> int:
    from envtool.formats.notebooks.cleaning import cleaned
    from envtool.machine import project as projects

    dirty = []

    def clean(project: "Project") -> "Answer":
        path = project.path
        text = projects.read_text(path)
        clean = cleaned(text, lock=arguments.lock, file=path)
        if clean == text:
            return {"changed": False}, ["is clean"]
        dirty.append(path)
        if not arguments.check:
            projects.replace_declaration(path, text, clean)
        return {"changed": True}, ["is not clean" if arguments.check else "cleaned"]

    code = each_of(session, arguments.notebooks, lambda path: _project(session, path), clean)
    return 1 if arguments.check and dirty else code
