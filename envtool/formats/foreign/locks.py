"""Locks of Poetry, uv and Pipenv: what the project itself asks for, at its locked version.

What that needs in turn is left to be found again, in our own lock.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.requirement import normalised
from envtool.formats.foreign.carried import Carried, pinned, sorted_out

__all__ = ["parse_pipfile_lock", "parse_poetry_lock", "parse_uv_lock"]

_LOCAL = ("virtual", "editable", "directory")


def parse_uv_lock(text: str, path: str = "uv.lock") -> Carried:
    """Return what the project of a uv.lock asks for."""
    document = _toml(text, path)
    packages = _packages(document, path)
    roots = [each for each in packages if _source(each, *_LOCAL) == "."]
    versions = _versions(packages)
    requirements, left, projects = list[str](), list[str](), list[tuple[str, bool]]()
    for root in roots:
        for dependency in _tables(root.get("dependencies")):
            name = str(dependency.get("name", ""))
            places = [_source(each, *_LOCAL) for each in packages if each.get("name") == name]
            if places and places[0]:
                projects.append((places[0], True))
                continue
            requirements.append(_pin(name, versions, dependency, left))
    good, wrong = sorted_out(requirements)
    if not roots:
        left.append(f"{path} does not say which project it is of")
    return Carried(
        good, _text(document.get("requires-python")), tuple(projects), left=(*left, *wrong)
    )


def parse_poetry_lock(
    text: str, pyproject: str | None = None, path: str = "poetry.lock"
) -> Carried:
    """Return what the project of a poetry.lock asks for.

    `pyproject` is the text of its pyproject.toml: without it, what no other package of the lock
    requires counts as asked for.
    """
    document = _toml(text, path)
    packages = _packages(document, path)
    versions = _versions(packages)
    left: list[str] = []
    asked = _poetry_dependencies(pyproject) if pyproject else None
    if asked is None:
        required = {normalised(name) for each in packages for name in each.get("dependencies", {})}
        asked = {name: {} for name in versions if name not in required}
    requirements, projects = list[str](), list[tuple[str, bool]]()
    for name, table in asked.items():
        if isinstance(table.get("path"), str):
            projects.append((table["path"], bool(table.get("develop"))))
        elif isinstance(table.get("git"), str):
            at = next((f"@{table[key]}" for key in ("rev", "tag", "branch") if key in table), "")
            requirements.append(f"{name} @ git+{table['git']}{at}")
        else:
            requirements.append(_pin(name, versions, table, left))
    good, wrong = sorted_out(requirements)
    metadata = document.get("metadata")
    python = metadata.get("python-versions") if isinstance(metadata, dict) else None
    return Carried(good, _poetry_python(python, left), tuple(projects), left=(*left, *wrong))


def parse_pipfile_lock(
    text: str, pipfile: str | None = None, path: str = "Pipfile.lock"
) -> Carried:
    """Return what a Pipfile.lock pins; of `pipfile`, its Pipfile's text, only what that names."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _fault(path, f"not JSON: {error}") from error
    default = document.get("default") if isinstance(document, dict) else None
    if not isinstance(default, dict):
        raise _fault(path, "expected a table `default`")
    asked = _toml(pipfile, "Pipfile").get("packages", {}) if pipfile else default
    names = {normalised(name) for name in asked}
    left = [f"develop: {name}" for name in document.get("develop") or {} if name not in default]
    requirements = []
    for name, entry in default.items():
        if normalised(name) in names and isinstance(entry, dict):
            version = str(entry.get("version", "")).removeprefix("==") or None
            marker = str(entry.get("markers", "")) if entry.get("markers") else ""
            requirements.append(pinned(name, version, entry.get("extras") or (), marker))
    good, wrong = sorted_out(requirements)
    requires = (document.get("_meta") or {}).get("requires") or {}
    return Carried(good, _text(requires.get("python_version")), left=(*left, *wrong))


def _poetry_dependencies(pyproject: str) -> dict[str, Mapping[str, Any]] | None:
    """Return what a pyproject.toml of Poetry asks for by name; None if it is not of Poetry."""
    tool = _toml(pyproject, "pyproject.toml").get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    asked = poetry.get("dependencies") if isinstance(poetry, dict) else None
    if not isinstance(asked, dict):
        return None
    return {
        normalised(name): wish if isinstance(wish, dict) else {}
        for name, wish in asked.items()
        if name != "python"
    }


def _poetry_python(text: object, left: list[str]) -> str | None:
    """Return Poetry's constraint on Python as a specifier; `^3.10` is `>=3.10,<4`."""
    if not isinstance(text, str) or text == "*":
        return None
    terms = []
    for term in text.replace(" ", "").split(","):
        if term.startswith("^"):
            terms.append(f">={term[1:]},<{int(term[1:].split('.')[0] or 0) + 1}")
        elif term.startswith("~") and not term.startswith("~="):
            parts = term[1:].split(".")[:2]
            terms.append(f"=={'.'.join(parts)}.*")
        elif "|" in term:
            left.append(f"python {text}")
            return None
        else:
            terms.append(term)
    return ",".join(terms)


def _pin(
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


def _versions(packages: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in packages:
        if "version" in each:
            found.setdefault(normalised(str(each["name"])), set()).add(str(each["version"]))
    return found


def _source(package: Mapping[str, Any], *kinds: str) -> str | None:
    source = package.get("source")
    if not isinstance(source, dict):
        return None
    return next((str(source[kind]) for kind in kinds if kind in source), None)


def _packages(document: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    packages = _tables(document.get("package"))
    if not packages or not all(isinstance(each.get("name"), str) for each in packages):
        raise _fault(path, "expected tables `package` with names")
    return packages


def _tables(found: object) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _toml(text: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _fault(path, f"not TOML: {error}") from error


def _text(found: object) -> str | None:
    return found if isinstance(found, str) and found else None


def _fault(path: str, message: str) -> DeclarationError:
    return DeclarationError([Fault(path, None, "", message)])
