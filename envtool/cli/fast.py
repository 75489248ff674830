"""The fast lane of `envtool run`: from a Python that has just started to the command, at once.

For the everyday case only: no options, a declaration in TOML that is the one its current generation
came from, byte by byte. At the least doubt it returns, having done nothing, and `envtool.cli.run`
does the same the thorough way. tests/cli/test_fast.py holds the two equal. Nothing is imported that
the interpreter has not loaded anyway, but three rooms that import nothing either.
"""

from __future__ import annotations

import os

from envtool import signals
from envtool.formats import entry
from envtool.formats.plain_json import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DECLARATIONS = ("envtool.toml", "pyproject.toml")


def leave_system(words: Sequence[str]) -> None:
    """Inside of a system root, become the envtool that goes back to the host's root first."""
    program = "/.envtool/bin/envtool"
    if os.path.exists(program):
        os.execv(program, [program, *words])  # noqa: S606 - becoming it is the purpose


def enter(words: Sequence[str]) -> None:
    """Become the command of `run CMD…`, or return if that is not for the fast lane to do."""
    if len(words) < 2 or words[0] != "run" or words[1].startswith("-") or words[1].endswith(".py"):  # noqa: PLR2004
        return
    try:
        root, found = _root(os.environ), _declaration(os.getcwd())
        if root is None or found is None:
            return
        profile = f"{root}/var/profiles{found}"
        link = os.readlink(f"{profile}/default")
        environ = _environ(root, f"{profile}/{link}", found, link)
    except (OSError, ValueError, KeyError, TypeError):
        return
    program = _program(words[1], environ["PATH"]) if environ else None
    if environ and program:
        _become(program, words[1:], environ)


def _root(environ: Mapping[str, str]) -> str | None:
    """Return the root where `envtool.machine.settings` finds it, if it is plainly told."""
    root = environ.get("ENVTOOL_ROOT")
    if root is None:
        data = environ.get("XDG_DATA_HOME") or f"{environ.get('HOME', '')}/.local/share"
        root = f"{data}/envtool"
    is_plain = root == os.path.normpath(root) and root[:1] == "/" and ":" not in root
    return root if is_plain else None


def _declaration(folder: str) -> str | None:
    """Return the first declaration's path upwards; whether it counts, its generation tells."""
    while True:
        for name in _DECLARATIONS:
            path = f"{folder}/{name}" if folder != "/" else f"/{name}"
            if os.path.lexists(path):
                return path
        if folder == "/":
            return None
        folder = os.path.dirname(folder)


def _environ(root: str, generation: str, path: str, link: str) -> dict[str, str] | None:
    """Return the variables of the generation; None if the declaration is not the one it is of."""
    with open(path, "rb") as file, open(f"{generation}/declaration", "rb") as kept:
        if file.read() != kept.read():
            return None
    with open(f"{generation}/generation.json", "rb") as file:
        record = loads(file.read())
    environment = f"{root}/store/{record['environment']}"
    programs = entry.programs(environment)
    if record["format"] != 1 or "system" in record or not os.path.exists(f"{programs}/python"):
        return None
    number = link.removeprefix("default-").removesuffix("-link")
    after = {name: value for name, value in os.environ.items() if not _removed(name)}
    after |= entry.assigned(environment, number, os.path.dirname(path), record["variables"])
    rest = [each for each in after.get("PATH", "").split(":") if each != programs]
    after["PATH"] = ":".join([programs, *rest]) if after.get("PATH") else programs
    return after


def _removed(name: str) -> bool:
    return any(
        name.startswith(each[:-1]) if each[-1] == "*" else name == each for each in entry.REMOVED
    )


def _program(name: str, path: str) -> str | None:
    if "/" in name:
        return None
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    return None


def _become(program: str, words: Sequence[str], environ: Mapping[str, str]) -> None:
    signals.restore()
    try:
        os.execve(program, list(words), dict(environ))  # noqa: S606 - becoming it is the purpose
    except OSError:
        return
