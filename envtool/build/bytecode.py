"""The shared bytecode cache: compiled on first import, once per package, for all environments.

`sys.pycache_prefix` of an environment is `<cache>/bytecode/environments/<environment>`; below it
Python looks for bytecode under the absolute path of the source's folder. There lies a symlink
forest that maps each package's folder to `<cache>/bytecode/objects/<store object>/…`, so that an
environment made a minute ago starts with bytecode. A source in the store never changes under its
path, so the timestamps that Python checks always hold. The host interpreter's own bytecode, made by
its distribution, is linked in the same way, file by file.

All of it is a cache: what is missing Python compiles again, and `gc` drops what belongs to nothing.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from envtool.build.layout import MANIFEST
from envtool.machine.metadata import delete_tree


def prefix(cache: str, environment: str) -> str:
    """Return the `sys.pycache_prefix` of the environment with this base name."""
    return f"{cache}/bytecode/environments/{environment}"


def prepare(cache: str, store: str, environment: str, stdlib: str) -> None:
    """Make the forest of one environment; a second call changes nothing.

    `stdlib` is the interpreter's standard library folder. A cache that cannot be written is no
    fault: Python then compiles in memory.
    """
    with open(f"{store}/{environment}/{MANIFEST}", "rb") as file:
        manifest = json.load(file)
    with contextlib.suppress(OSError):
        _prepare(cache, store, environment, stdlib, manifest)


def _prepare(
    cache: str, store: str, environment: str, stdlib: str, manifest: Mapping[str, Any]
) -> None:
    root = prefix(cache, environment)
    library = _standard_library(cache, manifest["interpreter"], stdlib)
    _link(library, f"{root}{stdlib}")
    made: set[str] = set()
    for place, source in manifest["folders"].items():
        compiled = f"{cache}/bytecode/objects/{source}"
        os.makedirs(compiled, exist_ok=True)
        link = f"{root}{store}/{environment}/{place}"
        parent = os.path.dirname(link)
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        _symlink(compiled, link)


def _link(target: str, link: str) -> None:
    os.makedirs(os.path.dirname(link), exist_ok=True)
    _symlink(target, link)


def _symlink(target: str, link: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.symlink(target, link)


def _standard_library(cache: str, interpreter: str, stdlib: str) -> str:
    """Return the folder with the standard library's bytecode, making it of links at first use."""
    target = f"{cache}/bytecode/objects/{interpreter}/stdlib"
    if os.path.isdir(target):
        return target
    import tempfile

    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = tempfile.mkdtemp(prefix="stdlib.", dir=os.path.dirname(target))
    os.chmod(temporary, 0o755)  # noqa: S103 - as the folders of the cache are
    for folder, names, _ in os.walk(stdlib):
        names[:] = [
            n for n in names if n not in {"site-packages", "dist-packages", "test", "tests"}
        ]
        if "__pycache__" not in names:
            continue
        names.remove("__pycache__")
        mirror = f"{temporary}{folder[len(stdlib) :]}"
        os.makedirs(mirror, exist_ok=True)
        with os.scandir(f"{folder}/__pycache__") as entries:
            for entry in entries:
                if ".opt-" not in entry.name:
                    os.symlink(entry.path, f"{mirror}/{entry.name}")
    try:
        os.rename(temporary, target)
    except OSError:
        delete_tree(temporary)
        if not os.path.isdir(target):  # else another process was first
            raise
    return target
