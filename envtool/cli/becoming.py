"""Become another program: found as a shell finds it, with exit code, signals and terminal its own.

On the way of every `envtool run`: nothing here may import what that does not need.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from envtool import signals

__all__ = ["execute", "locate"]


def execute(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    fresh: bool = False,
    system: str | None = None,
) -> NoReturn:
    """Replace this process by a program found on the new PATH.

    :param fresh: whether to suggest adding a package when the program is not found.
    :param system: where the system root lies that is entered first; None: it is the host's.
    :raises CommandError: when it is not found (127) or cannot be executed (126).
    :raises SandboxError: when the kernel denies what entering a system root needs.
    """
    path = locate(words[0], environ, system=system)
    if path is None:
        _not_found(words[0], suggest=fresh, system=system)
    if system is not None:
        # What may be needed to tell of a failure; afterwards the host's /usr is out of sight.
        import envtool.cli.failure  # noqa: F401
        from envtool.machine.isolating.system import enter_system

        enter_system(system, f"{environ['ENVTOOL_ENVIRONMENT']}/bin/python")
    signals.restore()
    sys.stdout.flush()
    try:
        os.execve(path, list(words), dict(environ))  # noqa: S606 - to become it is the point
    except OSError as error:
        _not_executable(path, error, environ)


def locate(name: str, environ: Mapping[str, str], *, system: str | None = None) -> str | None:
    """Return the program's path as a shell would find it; None when there is none.

    `system` is where the system root lies that will be entered.
    """
    if "/" in name:
        return name if os.path.exists(name) or _is_inside(system, name) else None
    for folder in environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder or ".", name)
        if system is not None and path.startswith(_REPLACED):
            if _is_inside(system, path):
                return path
        elif os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


_REPLACED = ("/usr/", "/bin/", "/sbin/", "/lib")


def _is_inside(system: str | None, path: str) -> bool:
    """Say whether the system root has a file; links such as those of alternatives lead inside."""
    return system is not None and path.startswith(_REPLACED) and os.path.lexists(system + path)


_ASIDE = ("/usr/games", "/usr/sbin")
"""Where Debian has programs that are not on everybody's PATH."""


def _not_found(name: str, *, suggest: bool, system: str | None) -> NoReturn:
    from envtool.cli.failure import CommandError

    if "/" in name or not suggest:
        raise CommandError(f"there is no program {name}", code=127)
    if name.endswith(".py"):
        message = f"there is no file {name} here, nor a command of that name on PATH"
        raise CommandError(message, code=127)
    aside = (f"{folder}/{name}" for folder in _ASIDE)
    place = next((path for path in aside if _is_inside(system, path)), None)
    if place is not None:
        raise CommandError(
            f"{name} is {place} in the environment, and {os.path.dirname(place)} is not on PATH",
            hint=f"envtool run {place}",
            code=127,
        )
    raise CommandError(
        f"there is no command {name} in the environment, nor elsewhere on PATH",
        hint=f"if a package provides it: `envtool add {name}`",
        code=127,
    )


def _not_executable(path: str, error: OSError, environ: Mapping[str, str]) -> NoReturn:
    from envtool.cli.failure import CommandError

    why, hint = error.strerror, None
    if isinstance(error, FileNotFoundError):
        why = "the interpreter that its first line names does not exist"
        if _is_elf(path):
            why = "the dynamic loader that it names does not exist"
            if path.startswith(environ.get("ENVTOOL_ENVIRONMENT", path) + "/"):
                hint = "realise it again: envtool switch"
    raise CommandError(f"{path} cannot be executed: {why}", hint=hint, code=126) from error


def _is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"
