"""Kernelspecs: the folders by which Jupyter, VS Code, nbclient and papermill find our kernels.

There is the generic one, which finds out at each start which notebook it is for, and those of one
declaration, for clients that tell nothing. A spec works by its argv alone (DESIGN 6): an absolute
launcher that is not called python, since Jupyter and VS Code put an interpreter of their own in the
place of one that is; no provisioner, since a spec that asks for one is invisible wherever it is not
importable.
"""

import json
import os
import re
import shlex
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import envtool
from envtool.errors import KernelError
from envtool.kernel.specs.specfolder import (
    NAME,
    SPEC,
    KernelSpecInfo,
    jupyter_folder,
    owner,
    read_spec,
)
from envtool.machine.disk import disk_errors
from envtool.machine.project import declaration_text, read
from envtool.machine.settings import load
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from envtool.formats.generation import Record
    from envtool.machine.project import Project

__all__ = ["GENERIC", "install", "install_generic"]

GENERIC = "envtool"
"""Name of the kernel that finds out which notebook it is for."""
_LONGEST_HEAD = 127
"""Bytes of a script's first line that every Linux reads."""
_OTHER = re.compile(r"[^a-z0-9._-]+")


def install(
    workspace: Workspace,
    project: "Project",
    *,
    name: str | None = None,
    display_name: str | None = None,
    prefix: str | None = None,
) -> KernelSpecInfo:
    """Write the kernelspec of a project's environment, atomically; its own older one is replaced.

    It lies in the user's Jupyter folder, or in `<prefix>/share/jupyter`.

    :raises KernelError: the environment has no kernel, or the name is another project's.
    """
    number, record = _current(workspace, project)
    name, display_name = _names(project, record, name, display_name)
    directory = f"{jupyter_folder(prefix)}/kernels/{name}"
    _refuse_other(directory, name, project)
    words, own = _words(project)
    spec = _spec(workspace, words, own, display_name)
    generic = f"{jupyter_folder(prefix)}/kernels/{GENERIC}/{SPEC}"
    if project.kind.startswith("notebook") and os.path.exists(generic):
        # VS Code saves the generic name in the notebook, which every machine of ours knows.
        spec["metadata"]["vscode"] = {"originalSpecFile": generic}
    _write(directory, name, spec)
    drifted = record is not None and workspace.drifted(project, record)
    return KernelSpecInfo(
        name, display_name, directory, project.path, project.environment, number, drifted, None
    )


def install_generic(
    workspace: Workspace, *, display_name: str | None = None, prefix: str | None = None
) -> KernelSpecInfo:
    """Write the kernelspec that serves every notebook, whatever declares its environment.

    :raises KernelError: a package is missing that it needs, or the name is another kernel's.
    """
    if find_spec("zmq") is None:
        raise KernelError(
            "a kernel that builds its environment needs the package pyzmq",
            hint=f"{shlex.quote(sys.executable)} -m pip install pyzmq",
        )
    directory, shown = f"{jupyter_folder(prefix)}/kernels/{GENERIC}", display_name or GENERIC
    _refuse_other(directory, GENERIC, None)
    _write(directory, GENERIC, _spec(workspace, [], {"generic": True}, shown))
    return KernelSpecInfo(
        GENERIC, shown, directory, None, "default", None, drifted=False, stale=None
    )


def _write(directory: str, name: str, spec: dict[str, Any]) -> None:
    """Write a spec, whose launcher is put first; atomically."""
    with disk_errors(f"write the kernelspec {name}", raising=KernelError):
        os.makedirs(directory, exist_ok=True)
        spec["argv"].insert(0, _launcher(directory))
        _replace(f"{directory}/{SPEC}", json.dumps(spec, indent=1) + "\n", 0o644)


# What is written


def _current(workspace: Workspace, project: "Project") -> "tuple[int | None, Record | None]":
    """Return number and record of the generation; None of a notebook, whose kernel makes it."""
    current = workspace.current(project)
    if current is None and project.kind.startswith("notebook"):
        if not declaration_text(project.path, project.kind):
            raise KernelError(
                f"{project.path} declares nothing that a kernel could run in",
                hint=f"envtool notebook init {shlex.quote(project.path)}",
            )
        return None, None
    if current is None:
        raise KernelError(
            f"{project.path} has no generation yet that a kernel could run in",
            hint="envtool switch",
        )
    if current[1].kernel is None:
        raise KernelError(
            f"the environment of {project.path} has no ipykernel",
            hint="envtool add ipykernel, or write a [kernel] table, which asks for it",
        )
    return current


def _names(
    project: "Project", record: "Record | None", name: str | None, display_name: str | None
) -> tuple[str, str]:
    """Return the spec's name and what Jupyter shows: as asked, else as declared, else derived."""
    declared = read(project.path, project.kind, project.environment).kernel
    own = record.name if record else os.path.splitext(os.path.basename(project.path))[0]
    chosen = name or (declared.name if declared else None) or _derived(own)
    if not NAME.fullmatch(chosen):
        raise KernelError(
            f"{chosen!r} cannot name a kernel: a-z, 0-9 and ._- only, a letter or digit first",
            hint=f"{_command(project)} --name {_derived(chosen)}",
        )
    shown = display_name or (declared.display_name if declared else None)
    return chosen, shown or (record.kernel if record else None) or chosen


def _command(project: "Project | None") -> str:
    file = "FILE" if project is None else shlex.quote(project.path)
    return f"envtool kernel install {file}"


def _derived(text: str) -> str:
    return _OTHER.sub("-", text.lower()).strip("-._") or "envtool"


def _refuse_other(directory: str, name: str, project: "Project | None") -> None:
    """Refuse to replace the spec of another project; None stands for the generic one."""
    if not os.path.lexists(directory):
        return
    spec = read_spec(directory)
    own = owner(spec) if spec is not None else None
    if own == ((project.path, project.environment) if project else (None, "default")):
        return
    holder = "not written by envtool"
    if own is not None:
        holder = f"of {own[0]}" if own[0] else "for every notebook"
    wanted = f"that of {project.path}" if project else "the one for every notebook"
    raise KernelError(
        f"a kernel {name} is there already, {holder}; it cannot also be {wanted}",
        hint=f"choose another name: {_command(project)} --name NAME",
    )


def _words(project: "Project") -> tuple[list[str], dict[str, Any]]:
    """Return the launcher's words for a project, and what the spec notes of it."""
    words = ["--declaration", project.path]
    if project.environment != "default":
        words += ["--environment", project.environment]
    return words, {"declaration": project.path, "environment": project.environment}


def _spec(
    workspace: Workspace, words: list[str], own: dict[str, Any], display_name: str
) -> dict[str, Any]:
    root = workspace.settings.root
    by_default = load({**os.environ, "ENVTOOL_ROOT": ""}).root
    # Jupyter expands `$NAME` in these values; a doubled sign stands for itself.
    env = {} if root == by_default else {"ENVTOOL_ROOT": root.replace("$", "$$")}
    return {
        "argv": [*words, "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        "interrupt_mode": "message",
        "env": env,
        "metadata": {"debugger": True, "envtool": {**own, "root": root, "package": _package()}},
    }


def _launcher(directory: str) -> str:
    """Write the program that starts kernels of a spec, and return its path.

    One of our own: it leaves out `site`, whose work would take as long as the launcher's, and what
    PYTHON* variables say. It finds envtool where it lies now.
    """
    place, package = f"{directory}/envtool-kernel", _package()
    head = f"#!{sys.executable} -IS\n"
    if len(os.fsencode(head)) > _LONGEST_HEAD or re.search(r"\s", sys.executable):
        # Two programs in one: a shell's first line is a string to Python.
        head = f"#!/bin/sh\n'''exec' {shlex.quote(sys.executable)} -IS \"$0\" \"$@\"\n' '''\n"
    gone = f"envtool is not in {package} any more; remove this kernel: {directory}"
    body = (
        f"import sys\n\nsys.path.insert(0, {package!r})\n"
        "try:\n    from envtool.kernel.launcher import main\n"
        f"except ImportError:\n    sys.exit({gone!r})\nsys.exit(main())\n"
    )
    _replace(place, head + body, 0o755)
    return place


def _package() -> str:
    """Return the folder that envtool is imported from."""
    return os.path.dirname(os.path.dirname(os.path.abspath(envtool.__file__)))


def _replace(path: str, text: str, mode: int) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
        os.rename(temporary, path)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)
