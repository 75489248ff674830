"""Kernelspecs of ours that Jupyter finds for this user: what each leads to, and its removal."""

import os
import shutil
from collections.abc import Mapping
from typing import Any

from envtool.errors import EnvtoolError, KernelError, ProfileError
from envtool.kernel.drift import difference
from envtool.kernel.specs.specfolder import (
    NAME,
    KernelSpecInfo,
    entries,
    owner,
    read_spec,
    search_path,
)
from envtool.machine.disk import disk_errors
from envtool.machine.settings import load
from envtool.values import replace
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

__all__ = ["list_kernels", "remove", "remove_gone"]


def list_kernels(workspace: Workspace) -> list[KernelSpecInfo]:
    """Return the kernelspecs of ours that Jupyter finds for this user, sorted by name."""
    found: dict[str, KernelSpecInfo] = {}
    for folder in search_path(os.environ):
        for name in entries(f"{folder}/kernels"):
            directory = f"{folder}/kernels/{name}"
            spec = read_spec(directory)
            if name not in found and spec is not None and owner(spec) is not None:
                found[name] = _info(workspace, name, directory, spec)
    return [found[name] for name in sorted(found)]


def remove(name: str) -> KernelSpecInfo:
    """Delete a kernelspec of ours and return what it was.

    :raises KernelError: there is none of that name, or it is not ours.
    """
    for folder in search_path(os.environ):
        directory = f"{folder}/kernels/{name}"
        if not NAME.fullmatch(name) or not os.path.isdir(directory):
            continue
        spec = read_spec(directory)
        if spec is None or owner(spec) is None:
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
    spec = read_spec(directory)
    root = None if spec is None else spec["metadata"]["envtool"].get("root")
    return root if isinstance(root, str) else None


def _info(
    workspace: Workspace, name: str, directory: str, spec: Mapping[str, Any]
) -> KernelSpecInfo:
    own = owner(spec)
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
    """Return the generation a kernel would enter, and whether it is not what is declared now."""
    project = open_project("/", file=declaration, environment=environment)
    try:
        current = workspace.profile(project).current()
        if current is None:
            return None, False
        record = workspace.record(current.path)
    except ProfileError:
        return None, False  # lost from the store: the next kernel makes it again
    if record.kernel is None:
        raise KernelError(f"the environment of {declaration} has no ipykernel")
    return current.number, difference(workspace, project, current, record) is not None
