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
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import envtool
from envtool.errors import EnvtoolError, KernelError
from envtool.machine.disk import disk_errors
from envtool.machine.settings import load
from envtool.values import replace, value
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from envtool.formats.generation import Record
    from envtool.machine.project import Project

__all__ = [
    "GENERIC",
    "KernelSpecInfo",
    "install",
    "install_generic",
    "list_kernels",
    "remove",
    "remove_gone",
]

SPEC = "kernel.json"
GENERIC = "envtool"
"""Name of the kernel that finds out which notebook it is for."""
_LONGEST_HEAD = 127
"""Bytes of a script's first line that every Linux reads."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_OTHER = re.compile(r"[^a-z0-9._-]+")


@value
class KernelSpecInfo:
    """One kernelspec of ours."""

    name: str
    display_name: str
    directory: str
    """Absolute folder that holds its `kernel.json`."""
    project: str | None
    """Absolute path of the declaration; None: it is found out at each start."""
    environment: str
    generation: int | None
    """Number of the generation that a kernel started now would run in; None: it makes the first."""
    drifted: bool
    """Whether the declaration has changed since that generation."""
    stale: str | None
    """Why it cannot work any more; None when it can."""


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
    drifted = workspace.drifted(project, record)
    name, display_name = _names(project, record, name, display_name)
    directory = f"{_folder(prefix)}/kernels/{name}"
    _refuse_other(directory, name, project)
    words, own = _words(project)
    spec = _spec(workspace, words, own, display_name)
    generic = f"{_folder(prefix)}/kernels/{GENERIC}/{SPEC}"
    if project.kind.startswith("notebook") and os.path.exists(generic):
        # VS Code saves the generic name in the notebook, which every machine of ours knows.
        spec["metadata"]["vscode"] = {"originalSpecFile": generic}
    _write(directory, name, spec)
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
    directory, shown = f"{_folder(prefix)}/kernels/{GENERIC}", display_name or GENERIC
    _refuse_other(directory, GENERIC, None)
    _write(directory, GENERIC, _spec(workspace, [], {"generic": True}, shown))
    return KernelSpecInfo(
        GENERIC, shown, directory, None, "default", None, drifted=False, stale=None
    )


def _folder(prefix: str | None) -> str:
    return _data_folder(os.environ) if prefix is None else f"{_absolute(prefix)}/share/jupyter"


def _write(directory: str, name: str, spec: dict[str, Any]) -> None:
    """Write a spec, whose launcher is put first; atomically."""
    with disk_errors(f"write the kernelspec {name}", raising=KernelError):
        os.makedirs(directory, exist_ok=True)
        spec["argv"].insert(0, _launcher(directory))
        _replace(f"{directory}/{SPEC}", json.dumps(spec, indent=1) + "\n", 0o644)


def list_kernels(workspace: Workspace) -> list[KernelSpecInfo]:
    """Return the kernelspecs of ours that Jupyter finds for this user, sorted by name."""
    found: dict[str, KernelSpecInfo] = {}
    for folder in _search_path(os.environ):
        for name in _entries(f"{folder}/kernels"):
            directory = f"{folder}/kernels/{name}"
            spec = _read(directory)
            if name not in found and spec is not None and _own(spec) is not None:
                found[name] = _info(workspace, name, directory, spec)
    return [found[name] for name in sorted(found)]


def remove(name: str) -> KernelSpecInfo:
    """Delete a kernelspec of ours and return what it was.

    :raises KernelError: there is none of that name, or it is not ours.
    """
    for folder in _search_path(os.environ):
        directory = f"{folder}/kernels/{name}"
        if not _NAME.fullmatch(name) or not os.path.isdir(directory):
            continue
        spec = _read(directory)
        if spec is None or _own(spec) is None:
            raise KernelError(
                f"{directory} was not written by envtool", hint=f"jupyter kernelspec remove {name}"
            )
        info = _info(Workspace(load(os.environ)), name, directory, spec)
        with disk_errors(f"remove the kernelspec {name}", raising=KernelError):
            shutil.rmtree(directory)
        return info
    raise KernelError(f"there is no kernel {name}", hint="envtool kernel list")


def remove_gone(workspace: Workspace, *, dry_run: bool = False) -> list[KernelSpecInfo]:
    """Delete the kernelspecs of this root whose declaration is gone, and return what they were."""
    gone = [
        info
        for info in list_kernels(workspace)
        if info.project is not None
        and not os.path.lexists(info.project)
        and _root(info.directory) == workspace.settings.root
    ]
    for info in gone:
        if not dry_run:
            with disk_errors(f"remove the kernelspec {info.name}", raising=KernelError):
                shutil.rmtree(info.directory)
    return gone


def _root(directory: str) -> str | None:
    spec = _read(directory)
    root = None if spec is None else spec["metadata"]["envtool"].get("root")
    return root if isinstance(root, str) else None


# What is written


def _current(workspace: Workspace, project: "Project") -> tuple[int, "Record"]:
    current = workspace.current(project)
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
    project: "Project", record: "Record", name: str | None, display_name: str | None
) -> tuple[str, str]:
    """Return the spec's name and what Jupyter shows: as asked, else as declared, else derived."""
    from envtool.machine.project import read

    declared = read(project.path, project.kind, project.environment).kernel
    chosen = name or (declared.name if declared else None) or _derived(record.name)
    if not _NAME.fullmatch(chosen):
        raise KernelError(
            f"{chosen!r} cannot name a kernel: a-z, 0-9 and ._- only, a letter or digit first",
            hint=f"{_command(project)} --name {_derived(chosen)}",
        )
    shown = display_name or (declared.display_name if declared else None) or record.kernel
    return chosen, shown or chosen


def _command(project: "Project | None") -> str:
    file = "FILE" if project is None else shlex.quote(project.path)
    return f"envtool kernel install {file}"


def _derived(text: str) -> str:
    return _OTHER.sub("-", text.lower()).strip("-._") or "envtool"


def _refuse_other(directory: str, name: str, project: "Project | None") -> None:
    """Refuse to replace the spec of another project; None stands for the generic one."""
    if not os.path.lexists(directory):
        return
    spec = _read(directory)
    own = _own(spec) if spec is not None else None
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


# What is found


def _info(
    workspace: Workspace, name: str, directory: str, spec: Mapping[str, Any]
) -> KernelSpecInfo:
    own = _own(spec)
    assert own is not None, "only asked for our own"
    declaration, environment = own
    generation, drifted, stale = None, False, None
    if declaration is not None:
        root = spec["metadata"]["envtool"].get("root", workspace.settings.root)
        there = Workspace(replace(workspace.settings, root=root))
        try:
            generation, drifted = _state(there, declaration, environment)
        except EnvtoolError as error:
            stale = error.message
        if not os.path.lexists(declaration):
            stale = f"its declaration {declaration} is gone"
    if stale is None:
        stale = _lacks(spec)
    shown = spec.get("display_name", name)
    return KernelSpecInfo(
        name, shown, directory, declaration, environment, generation, drifted, stale
    )


def _lacks(spec: Mapping[str, Any]) -> str | None:
    """Return what of the spec's own program is gone; None when nothing is."""
    launcher, package = spec.get("argv", [""])[0], spec["metadata"]["envtool"].get("package")
    if not os.access(launcher, os.X_OK):
        return f"its launcher {launcher} is gone"
    if isinstance(package, str) and not os.path.isdir(f"{package}/envtool"):
        return f"envtool is not in {package} any more"
    return None


def _state(workspace: Workspace, declaration: str, environment: str) -> tuple[int | None, bool]:
    """Return the generation a kernel would enter, and whether the declaration changed since."""
    project = open_project("/", file=declaration, environment=environment)
    if workspace.current(project) is None:
        return None, False
    number, record = _current(workspace, project)
    return number, workspace.drifted(project, record)


def _read(directory: str) -> dict[str, Any] | None:
    """Return the spec in a folder; None when there is none that can be read."""
    try:
        with open(f"{directory}/{SPEC}", "rb") as file:
            spec = json.load(file)
    except (OSError, ValueError):
        return None
    return spec if isinstance(spec, dict) else None


def _own(spec: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """Return declaration (None: any) and environment of a spec of ours; None for another's."""
    metadata = spec.get("metadata")
    own = metadata.get("envtool") if isinstance(metadata, dict) else None
    if not isinstance(own, dict):
        return None
    if own.get("generic") is True:
        return None, "default"
    declaration, environment = own.get("declaration"), own.get("environment")
    if not isinstance(declaration, str) or not isinstance(environment, str):
        return None
    return declaration, environment


def _entries(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def _search_path(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield Jupyter's data folders that are the user's to change."""
    yield from (part for part in environ.get("JUPYTER_PATH", "").split(":") if part)
    yield _data_folder(environ)


def _data_folder(environ: Mapping[str, str]) -> str:
    """Return what `jupyter_core.paths.jupyter_data_dir()` does, whose package we may lack."""
    if own := environ.get("JUPYTER_DATA_DIR"):
        return _absolute(own)
    data = environ.get("XDG_DATA_HOME") or f"{os.path.expanduser('~')}/.local/share"
    return _absolute(f"{data}/jupyter")


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
