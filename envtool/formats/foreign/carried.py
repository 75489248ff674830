"""What another tool's file asks for, in our words, and what of it has none."""

from collections.abc import Sequence

from envtool.formats.declarations.requirement import why_not_requirement
from envtool.values import value

__all__ = ["Carried", "pinned", "sorted_out"]


@value
class Carried:
    """What a declaration takes over from another tool's file."""

    requirements: tuple[str, ...] = ()
    """PEP 508."""
    python: str | None = None
    """A release (`3.11`) or specifier; None when the file does not say."""
    projects: tuple[tuple[str, bool], ...] = ()
    """Folders of local projects, relative to the file, and whether they are editable."""
    index: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    left: tuple[str, ...] = ()
    """What could not be carried over and why; a line each."""


def pinned(name: str, version: str | None, extras: Sequence[str] = (), marker: str = "") -> str:
    """Return the requirement of exactly this version; of any, if it is not known."""
    asked = f"[{','.join(sorted(extras))}]" if extras else ""
    public = f"=={version}" if version else ""
    return f"{name}{asked}{public}" + (f" ; {marker}" if marker else "")


def sorted_out(requirements: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the requirements that are valid, each once and in order, and why others are not."""
    good, left = dict[str, None](), []
    for requirement in requirements:
        reason = why_not_requirement(requirement)
        if reason is None:
            good[requirement] = None
        else:
            left.append(reason)
    return tuple(good), tuple(left)
