"""The entries of a list of requirements: which one is meant by a requirement or a name."""

from collections.abc import Sequence

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.checked import near
from envtool.formats.declarations.requirement import identity, why_not_requirement

__all__ = ["position", "refuse_absent"]


def position(entries: Sequence[str], requirement: str) -> int | None:
    """Return the number of the entry of the same name and marker; None when there is none."""
    sought = identity(requirement)
    for number, entry in enumerate(entries):
        if why_not_requirement(entry) is None and identity(entry) == sought:
            return number
    return None


def refuse_absent(
    names: Sequence[str],
    gone: Sequence[str],
    file: str,
    key: str,
    *,
    what: str = "requirement",
    hint: str | None = None,
) -> None:
    """Refuse to remove what is not there; `what` is what such an entry is called.

    :raises DeclarationError: with a fault for each absent name.
    """
    absent = [name for name in gone if name not in names]
    if absent:
        raise DeclarationError(
            [
                Fault(file, None, key, f"no {what} '{name}' to remove{near(name, names)}")
                for name in absent
            ],
            hint=hint,
        )
