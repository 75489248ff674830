"""What the locks of other tools have in common: tables of packages with names and versions."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.requirement import normalised
from envtool.formats.foreign.carried import pinned

__all__ = [
    "fault_of",
    "from_elsewhere",
    "group_line",
    "packages_of",
    "pin_locked",
    "read_toml",
    "tables",
    "text_of",
    "versions_of",
]


def pin_locked(
    name: str, versions: Mapping[str, set[str]], table: Mapping[str, Any], left: list[str]
) -> str:
    """Return the requirement at its locked version, if the lock has just one."""
    found = versions.get(normalised(name), set())
    if len(found) != 1:
        left.append(f"the version of {name}: the lock has {', '.join(sorted(found)) or 'none'}")
    version = next(iter(found)) if len(found) == 1 else None
    extras = table.get("extras", table.get("extra")) or ()
    marker = table.get("markers", table.get("marker")) or ""
    return pinned(name, version, [str(each) for each in extras], str(marker))


def versions_of(packages: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Return the versions of each package, by normalised name."""
    found: dict[str, set[str]] = {}
    for each in packages:
        if "version" in each:
            found.setdefault(normalised(str(each["name"])), set()).add(str(each["version"]))
    return found


def from_elsewhere(name: str, extras: Sequence[str], url: str, *, git: bool = False) -> str:
    """Return the requirement of a package that comes from a URL, or from a commit."""
    asked = f"[{','.join(sorted(extras))}]" if extras else ""
    return f"{name}{asked} @ {'git+' if git else ''}{url}"


def group_line(kind: str, name: str, packages: Iterable[object]) -> str:
    """Return what is said of a group of requirements that stays behind."""
    return f"{kind} {name}: {', '.join(map(str, packages))}"


def packages_of(document: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """Return the tables `package` of a lock.

    :raises DeclarationError: there are none, or one has no name.
    """
    packages = tables(document.get("package"))
    if not packages or not all(isinstance(each.get("name"), str) for each in packages):
        raise fault_of(path, "expected tables `package` with names")
    return packages


def tables(found: object) -> list[dict[str, Any]]:
    """Return the tables of an array; none if it is something else."""
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def read_toml(text: str, path: str) -> dict[str, Any]:
    """Return what the text says.

    :raises DeclarationError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise fault_of(path, f"not TOML: {error}") from error


def text_of(found: object) -> str | None:
    """Return a text that is not empty; None for anything else."""
    return found if isinstance(found, str) and found else None


def fault_of(path: str, message: str) -> DeclarationError:
    """Return the error of a file that is not what its name says."""
    return DeclarationError([Fault(path, None, "", message)])
