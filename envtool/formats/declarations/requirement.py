"""Requirements (PEP 508), names (PEP 503) and Python versions (PEP 440) as users write them.

`packaging` is the judge, but importing it takes longer than `envtool run` may: what is plainly a
requirement, such as `numpy>=2,<3`, is recognised without it.
"""

import re

from envtool.values import value

__all__ = [
    "NAME",
    "Parts",
    "canonical",
    "identity",
    "name_of",
    "normalised",
    "parts_of",
    "python_specifier",
    "why_not_requirement",
]

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
"""A package's or group's name before normalisation (PEP 508)."""
_PLAIN_SPECIFIER = r"(?:(?:==|!=|<=|>=|<|>)\d{1,9}(?:\.\d{1,9})*)"
_PLAIN_SPECIFIERS = rf"{_PLAIN_SPECIFIER}(?:, ?{_PLAIN_SPECIFIER})*"
_PLAIN = re.compile(rf"({NAME.pattern}) ?({_PLAIN_SPECIFIERS})?")
_RELEASE = r"\d+(?:\.\d+)*"
_FULL_RELEASE_PARTS = 3


@value
class Parts:
    """What a valid requirement consists of."""

    text: str
    name: str
    """Normalised."""
    extras: tuple[str, ...] = ()
    """Sorted."""
    url: str | None = None
    marker: str | None = None


def normalised(name: str) -> str:
    """Return the name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """Return the normalised name that a valid requirement begins with."""
    match = NAME.match(requirement.strip())
    return normalised(match[0]) if match else ""


def why_not_requirement(requirement: str) -> str | None:
    """Return why the string is no PEP 508 requirement; None when it is one."""
    if _PLAIN.fullmatch(requirement):
        return None
    from packaging.requirements import InvalidRequirement, Requirement

    if not requirement.isprintable():
        return f"{requirement!r} is not a requirement: it holds a control character or line end"
    try:
        Requirement(requirement)
    except InvalidRequirement as error:
        reason = str(error).partition("\n")[0]
        return f"'{requirement}' is not a requirement: {_advice(requirement) or reason}"
    except RecursionError:
        return f"'{requirement[:40]}…' is not a requirement: its marker is nested too deeply"
    return None


def _advice(requirement: str) -> str | None:
    if requirement.startswith("-"):
        return "options of pip have no place here (a local project goes into [sources])"
    if requirement.startswith((".", "/", "~")):
        return "name the package and give its path in [sources]"
    if "://" in requirement and " @ " not in requirement:
        return "write a URL as 'name @ URL'"
    return None


def canonical(requirement: str) -> str:
    """Return one spelling for all spellings of a valid requirement."""
    plain = _PLAIN.fullmatch(requirement)
    if plain:
        return normalised(plain[1]) + _sorted_specifiers(plain[2] or "")
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    parsed.name = normalised(parsed.name)
    return str(parsed)


def parts_of(requirement: str) -> Parts:
    """Take a valid requirement apart."""
    plain = _PLAIN.fullmatch(requirement)
    if plain:
        return Parts(requirement, normalised(plain[1]))
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    marker = None if parsed.marker is None else str(parsed.marker)
    extras = tuple(sorted(parsed.extras))
    return Parts(str(parsed), normalised(parsed.name), extras, parsed.url, marker)


def _sorted_specifiers(plain: str) -> str:
    return ",".join(sorted(set(plain.replace(" ", "").split(","))))


def identity(requirement: str) -> tuple[str, str]:
    """Return what tells one entry of a list from another: normalised name and marker."""
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    return normalised(parsed.name), str(parsed.marker or "")


def python_specifier(text: str, *, bare: bool) -> str | None:
    """Return the PEP 440 specifier for a Python version; None for an empty one, which means any.

    With `bare`, a release stands for itself: `3.11` is `==3.11.*`, `3.11.2` is `==3.11.2`.

    :raises ValueError: it is no specifier; the message says why.
    """
    release = re.fullmatch(_RELEASE, text)
    if release:
        exact = text if text.count(".") + 1 >= _FULL_RELEASE_PARTS else f"{text}.*"
        if not bare:
            raise ValueError(f"'{text}' is not a specifier: write '=={exact}'")
        return f"=={exact}"
    if not text or re.fullmatch(_PLAIN_SPECIFIERS, text):
        return _sorted_specifiers(text) or None
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return str(SpecifierSet(text)) or None
    except InvalidSpecifier:
        what = "a release such as '3.11' or a specifier" if bare else "a specifier"
        raise ValueError(f"'{text}' is not {what} such as '>=3.11,<3.14' (PEP 440)") from None
