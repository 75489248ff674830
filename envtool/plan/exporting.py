"""A lock in the form of another tool, whichever is asked for."""

from typing import Literal

from envtool import __version__
from envtool.errors import LockError
from envtool.formats.declarations.declaration import Declaration
from envtool.formats.exports import conda, cyclonedx, dockerfile, requirements_txt
from envtool.formats.lock import Lock, render

__all__ = ["ExportForm", "export", "left_behind"]

ExportForm = Literal["requirements", "pylock", "environment", "dockerfile", "cyclonedx"]


def export(lock: Lock, declaration: Declaration, form: ExportForm, *, hashes: bool = True) -> str:
    """Return the text; `hashes` is for requirements only.

    :raises LockError: the form cannot hold this lock.
    """
    name, variables = declaration.name, dict(declaration.variables)
    match form:
        case "requirements":
            return requirements_txt.render(lock, hashes=hashes)
        case "pylock":
            return render(lock)
        case "environment":
            return conda.render(lock, name, variables)
        case "cyclonedx":
            return cyclonedx.render(lock, name, __version__)
        case "dockerfile":
            try:
                return dockerfile.render(lock, name, variables)
            except ValueError as error:
                raise LockError(
                    f"no Dockerfile can be made: {error}",
                    hint="build from a folder that holds them all",
                ) from error


def left_behind(lock: Lock, form: ExportForm) -> tuple[str, ...]:
    """Return what of the lock a form has no words for, a line each."""
    names = ", ".join(dockerfile.system_names(lock))
    left = []
    if names and form in ("requirements", "environment"):
        left.append(f"packages of Debian: {names}")
    if names and form == "dockerfile":
        left.append(f"the versions of packages of Debian: {names}")
    if lock.python.source != "host" and form in ("requirements", "environment", "dockerfile"):
        left.append(f"where the interpreter comes from ({lock.python.source})")
    return tuple(left)
