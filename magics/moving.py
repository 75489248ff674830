"""Leading a running kernel into another generation: its imports, its programs, its variables.

That is right only where nothing that is loaded would be another thing there. Which store objects
an environment is made of stands in its manifest; where a loaded module comes from, its real path
says.
"""

import importlib
import json
import os
import sys
from typing import Any

__all__ = ["move", "obstacles"]

MANIFEST = "manifest.json"
_held: list[int] = []
"""Descriptors of the environments we moved to: what a process has open is no garbage."""


def obstacles(environment: str) -> list[str]:
    """Return what of the loaded is another thing, or gone, in an environment; sorted.

    `environment` is its logical store path. Names are those of modules; `python` for the
    interpreter.
    """
    old, new = _current(), _physical(environment)
    if old == new:
        return []
    before, after = _manifest(old), _manifest(new)
    if before["interpreter"] != after["interpreter"] or not _same_file(old, new):
        return ["python"]
    kept = {package["object"] for package in after["packages"]}
    gone = {package["object"] for package in before["packages"]} - kept
    return sorted({name for name, base in _loaded(os.path.dirname(old)) if base in gone})


def move(environment: str, number: int) -> None:
    """Let imports, programs and variables be those of an environment, from now on."""
    old, new = _current(), _physical(environment)
    os.environ["ENVTOOL_GENERATION"] = str(number)
    if old == new:
        return
    _held.append(os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    os.environ["ENVTOOL_ENVIRONMENT"] = new
    for name in ("PATH", "PYTHONPATH"):
        parts = os.environ.get(name, "").split(os.pathsep)
        os.environ[name] = os.pathsep.join(_moved(part, old, new) for part in parts)
    site = _site(old)
    sys.path[:] = [_moved(entry, old, new) for entry in sys.path]
    for name in ("prefix", "exec_prefix", "executable"):
        setattr(sys, name, _moved(getattr(sys, name), old, new))
    if sys.pycache_prefix and os.path.basename(sys.pycache_prefix) == os.path.basename(old):
        folder = os.path.dirname(sys.pycache_prefix)
        sys.pycache_prefix = f"{folder}/{os.path.basename(new)}"
    _open_packages(old, new)
    importlib.invalidate_caches()
    _follow_pth(site, _moved(site, old, new))


def _current() -> str:
    return os.environ["ENVTOOL_ENVIRONMENT"]


def _physical(environment: str) -> str:
    return f"{os.path.dirname(_current())}/{os.path.basename(environment)}"


def _manifest(environment: str) -> dict[str, Any]:
    with open(f"{environment}/{MANIFEST}", "rb") as file:
        found: dict[str, Any] = json.load(file)
    return found


def _same_file(old: str, new: str) -> bool:
    """Say whether both have the same Python, whose own library paths are part of it."""
    first, second = (os.path.realpath(f"{each}/bin/python") for each in (old, new))
    if first == second:
        return True
    with open(first, "rb") as one, open(second, "rb") as other:
        return one.read() == other.read()


def _loaded(store: str) -> "list[tuple[str, str]]":
    """Return the top name and the store object of each loaded module that lies in the store."""
    store = os.path.realpath(store) + os.sep
    found = []
    for name, module in list(sys.modules.items()):
        # Of a lazy module, any other way of asking would load it.
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str):
            real = os.path.realpath(file)
            if real.startswith(store):
                base = real[len(store) :].partition(os.sep)[0]
                found.append((name.partition(".")[0], base))
    return found


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if path == old or path.startswith(old + os.sep) else path


def _site(environment: str) -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return f"{environment}/lib/{version}/site-packages"


def _open_packages(old: str, new: str) -> None:
    """Let loaded packages whose folder several wheels share find what the new ones put there."""
    for module in list(sys.modules.values()):
        folders = getattr(module, "__dict__", {}).get("__path__")
        if isinstance(folders, list):
            folders[:] = [
                moved if os.path.isdir(moved := _moved(each, old, new)) else each
                for each in folders
                if isinstance(each, str)
            ]


def _follow_pth(old: str, new: str) -> None:
    """Do what the start of Python would have done with `.pth` files that are new."""
    import site

    def texts(folder: str) -> dict[str, str]:
        names = [name for name in sorted(os.listdir(folder)) if name.endswith(".pth")]
        return {name: os.path.realpath(f"{folder}/{name}") for name in names}

    before = texts(old)
    for name, real in texts(new).items():
        # Ours says where bytecode lies, and is moved already.
        if before.get(name) != real and not name.startswith("0-envtool"):
            site.addpackage(new, name, set(sys.path))
