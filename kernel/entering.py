"""A kernel's command and variables: what the launcher becomes and what a headless run starts.

ipykernel runs in the environment's own Python; of envtool nothing is importable there but the
magics, which lie in a store object of their own.
"""

from __future__ import annotations

import os
import sys

import envtool
from envtool.errors import KernelError, StoreError
from envtool.formats.entry import assigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from envtool.formats.generation import Record
    from envtool.machine.project import Project
    from envtool.workspace.entering import Entering

__all__ = [
    "MAGICS",
    "command",
    "inside",
    "magics_folder",
    "program",
    "terminal_variables",
    "variables",
]

_START = (
    "import gc, sys; usual = gc.get_threshold(); gc.set_threshold(1000000); "
    "sys.path[:1] == [''] and sys.path.pop(0); "
    "import ipykernel_launcher; sys.argv[0] = ipykernel_launcher.__file__; "
    "from ipykernel.kernelapp import IPKernelApp; "
    "app = IPKernelApp.instance(); app.initialize(); "
    "gc.get_threshold()[0] == 1000000 and (gc.set_threshold(*usual), gc.freeze(), gc.unfreeze()); "
    "app.start()"
)
"""What `-m ipykernel_launcher` does, without looking for garbage among what is loaded.

That takes an eighth of a kernel's start, and there is none: modules stay. Freezing and unfreezing
makes of all there is the collector's old generation, which it would have become by then; so the
first thing that a user does is not held up by it either. A threshold of the user's own, set by a
start-up file of IPython, stays."""
MAGICS = "envtool.magics"
"""The extension of IPython that a kernel begins with."""
_ROOT = "envtool-magics"
_BEYOND = b"""
# An environment may have envtool itself among its packages.
__path__ = __import__("pkgutil").extend_path(__path__, __name__)
"""


def command(workspace: Entering, project: Project, record: Record) -> list[str]:
    """Return the words that start ipykernel in a generation, without the connection file.

    :raises KernelError: the environment has no ipykernel.
    """
    if record.kernel is None:
        raise KernelError(
            f"the environment of {project.path} has no ipykernel, so no kernel can run in it",
            hint=_spelled(project, "add ipykernel"),
        )
    python = f"{workspace.physical(record.environment)}/bin/python"
    return [python, "-c", _START, f"--IPKernelApp.extra_extensions={MAGICS}"]


def inside(workspace: Entering, record: Record, argv: list[str]) -> list[str]:
    """Return the words that start a program of a generation from outside of its system root."""
    system = workspace.system(record)
    if system is None:
        return argv
    # Envtool itself may be found by a hook of site, as editable projects are, which -S leaves out.
    here = os.path.dirname(os.path.dirname(envtool.__file__))
    paths = [here, *filter(None, sys.path)]
    return [sys.executable, "-I", "-S", "-c", _INSIDE, *paths, "--", system, *argv]


_INSIDE = (
    "import sys; at = sys.argv.index('--'); sys.path[:] = sys.argv[1:at]; "
    "from envtool.machine.isolating.system import become; become(*sys.argv[at + 1:])"
)


def variables(
    workspace: Entering,
    project: Project,
    number: int,
    record: Record,
    environ: Mapping[str, str],
) -> dict[str, str]:
    """Return the variables of a kernel in a generation that is started from `environ`."""
    entered = workspace.activation(record, number, project).apply(environ)
    entered |= _for_magics(workspace, project, record, entered.get("PYTHONPATH", ""))
    entered.pop("ENVTOOL_NOTEBOOK", None)  # of a run that this one is started from
    return entered


def terminal_variables(workspace: Entering, project: Project, record: Record) -> dict[str, str]:
    """Return what a shell sets beside, so that an IPython of its environment has the magics.

    Empty when there is none in it.
    """
    if all(package.name != "ipython" for package in record.packages):
        return {}
    environment = workspace.physical(record.environment)
    led = assigned(environment, "", project.folder, record.variables)["PYTHONPATH"]
    return _for_magics(workspace, project, record, led)


def _for_magics(
    workspace: Entering, project: Project, record: Record, pinned: str
) -> dict[str, str]:
    """Return the variables that let magics be found, and let them find us."""
    parts = [pinned, magics_folder(workspace) or ""]
    found = {
        "PYTHONPATH": ":".join(part for part in parts if part),
        "ENVTOOL_DECLARATION": project.path,
        "ENVTOOL_NAME": project.environment,
    }
    if record.system is not None:
        from envtool.machine.isolating.system import PROGRAM

        found["ENVTOOL_PROGRAM"] = PROGRAM
    elif (own := program()) is not None:
        found["ENVTOOL_PROGRAM"] = own
    return found


def program() -> str | None:
    """Return the path of the `envtool` program beside this Python; None when there is none."""
    path = os.path.join(os.path.dirname(sys.executable), "envtool")
    return path if os.access(path, os.X_OK) else None


def magics_folder(workspace: Entering) -> str | None:
    """Return the store object to be put on PYTHONPATH; None when the store takes no new object.

    A root of its own keeps it and says, without the database, that it is there.
    """
    files = _files()
    link = f"{workspace.settings.gcroots}/{_ROOT}-{_digest(files)}"
    if os.path.isdir(link):
        return os.readlink(link)
    try:
        return _add_magics(workspace, files, link)
    except StoreError:
        # A store that may only be read still has the environment: a kernel without magics.
        return None


def _files() -> dict[str, bytes]:
    """Return the magics' modules by their places: the package itself, which is tiny, and theirs."""
    # Found, not imported: what is needed there is more than a kernel's start may cost.
    folder = f"{os.path.dirname(envtool.__file__)}/magics"
    names = sorted(name for name in os.listdir(folder) if name.endswith(".py"))
    found = {f"envtool/magics/{name}": _contents(f"{folder}/{name}") for name in names}
    return {"envtool/__init__.py": _contents(envtool.__file__) + _BEYOND, **found}


def _add_magics(workspace: Entering, files: Mapping[str, bytes], link: str) -> str:
    from tempfile import TemporaryDirectory

    from envtool.machine.collecting.roots import add_direct
    from envtool.machine.disk import disk_errors

    with (
        disk_errors("add the magics to the store"),
        TemporaryDirectory(prefix="envtool-magics-") as folder,
        workspace.store.using(),
    ):
        os.makedirs(f"{folder}/envtool/magics")
        for place, contents in files.items():
            with open(f"{folder}/{place}", "wb") as file:
                file.write(contents)
        path = workspace.store.add_tree(folder, _ROOT)
        with workspace.store.shared():
            add_direct(workspace.settings, os.path.basename(link), path)
    return workspace.physical(path)


def _contents(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _digest(files: Mapping[str, bytes]) -> str:
    from envtool.formats.digest import sha256

    digest = sha256()
    for place, contents in files.items():
        digest.update(f"{place}\0{len(contents)}\0".encode() + contents)
    return digest.hexdigest()[:16]


def _spelled(project: Project, words: str) -> str:
    import shlex

    named = "" if project.environment == "default" else f"-e {project.environment} "
    return f"envtool -f {shlex.quote(project.path)} {named}{words}"
