"""Poetry's lock: what the project itself asks for, at its locked version."""

from collections.abc import Mapping, Sequence
from typing import Any

from envtool.formats.declarations.requirement import normalised, why_not_requirement
from envtool.formats.foreign.carried import Carried, sorted_out
from envtool.formats.foreign.tables import (
    from_elsewhere,
    group_line,
    packages_of,
    pin_locked,
    read_toml,
    tables,
    versions_of,
)

__all__ = ["parse_poetry_lock"]

_MAIN = "main"
_Asked = dict[str, Mapping[str, Any]]


def parse_poetry_lock(
    text: str, pyproject: str | None = None, path: str = "poetry.lock"
) -> Carried:
    """Return what the project of a poetry.lock asks for.

    `pyproject` is the text of its pyproject.toml: without it, what no other package of the lock
    requires counts as asked for.
    """
    document = read_toml(text, path)
    packages = packages_of(document, path)
    left: list[str] = []
    asked = _dependencies(pyproject, left) if pyproject else None
    if asked is None:
        asked = _leading(packages, left)
    sources = {normalised(each["name"]): each.get("source") for each in packages}
    requirements, projects = list[str](), list[tuple[str, bool]]()
    for name, table in asked.items():
        source = sources.get(normalised(name))
        found = _elsewhere(name, table, source if isinstance(source, dict) else {})
        if isinstance(found, tuple):
            projects.append(found)
        else:
            pin = found or pin_locked(name, versions_of(packages), _with_marker(table, left), left)
            requirements.append(pin)
    good, wrong = sorted_out(requirements)
    metadata = document.get("metadata")
    python = metadata.get("python-versions") if isinstance(metadata, dict) else None
    return Carried(good, _python(python, left), tuple(projects), left=(*left, *wrong))


def _dependencies(pyproject: str, left: list[str]) -> _Asked | None:
    """Return what a pyproject.toml of Poetry asks for by name; None if it is not of Poetry.

    What [project] asks for counts; [tool.poetry.dependencies] then only says more about it.
    """
    document = read_toml(pyproject, "pyproject.toml")
    tool, project = document.get("tool"), document.get("project")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    poetry = poetry if isinstance(poetry, dict) else {}
    table = poetry.get("dependencies")
    own: _Asked = {
        normalised(name): wish if isinstance(wish, dict) else {}
        for name, wish in (table if isinstance(table, dict) else {}).items()
        if name != "python"
    }
    listed = project.get("dependencies") if isinstance(project, dict) else None
    if not own and not listed:
        return None
    _tell_groups(document, poetry, left)
    if not isinstance(listed, list):
        return own
    named = dict(_named(str(each), left) for each in listed)
    return {name: {**wish, **own.get(name, {})} for name, wish in named.items() if name}


def _named(requirement: str, left: list[str]) -> tuple[str, Mapping[str, Any]]:
    """Return name, extras and marker of a requirement of [project]; no name if it is none."""
    reason = why_not_requirement(requirement)
    if reason is not None:
        left.append(reason)
        return "", {}
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    table: dict[str, Any] = {"extras": sorted(parsed.extras)}
    if parsed.marker:
        table["markers"] = str(parsed.marker)
    if parsed.url:
        table["url"] = parsed.url
    return normalised(parsed.name), table


def _tell_groups(document: Mapping[str, Any], poetry: Mapping[str, Any], left: list[str]) -> None:
    groups = poetry.get("group")
    for name, group in groups.items() if isinstance(groups, dict) else ():
        below = group.get("dependencies") if isinstance(group, dict) else None
        if isinstance(below, dict):
            left.append(group_line("group", name, below))
    if isinstance(poetry.get("dev-dependencies"), dict):
        left.append(group_line("group", "dev", poetry["dev-dependencies"]))
    project = document.get("project")
    extras = poetry.get("extras") or (
        project.get("optional-dependencies") if isinstance(project, dict) else None
    )
    for name, below in extras.items() if isinstance(extras, dict) else ():
        left.append(group_line("extra", name, below if isinstance(below, list) else ()))
    left += [
        f"source {source.get('name', '')}: {source.get('url', '')}"
        for source in tables(poetry.get("source"))
    ]


def _leading(packages: Sequence[Mapping[str, Any]], left: list[str]) -> _Asked:
    """Return what no other package of the lock requires, but for what is of other groups."""
    required = {normalised(name) for each in packages for name in each.get("dependencies", {})}
    leading = [each for each in packages if normalised(str(each["name"])) not in required]
    others = [each for each in leading if _MAIN not in each.get("groups", [_MAIN])]
    left += [
        group_line("group", "/".join(map(str, each["groups"])), [each["name"]]) for each in others
    ]
    return {normalised(str(each["name"])): {} for each in leading if each not in others}


def _elsewhere(
    name: str, table: Mapping[str, Any], source: Mapping[str, Any]
) -> str | tuple[str, bool] | None:
    """Return the requirement, or the project, of what does not come from an index; else None."""
    extras = table.get("extras") or ()
    if isinstance(table.get("path"), str):
        return table["path"], bool(table.get("develop"))
    if isinstance(table.get("git"), str):
        at = next((f"@{table[key]}" for key in ("rev", "tag", "branch") if key in table), "")
        return from_elsewhere(name, extras, f"{table['git']}{at}", git=True)
    if isinstance(table.get("url"), str):
        return from_elsewhere(name, extras, table["url"])
    kind, url = source.get("type"), str(source.get("url", ""))
    if kind == "git":
        commit = source.get("resolved_reference") or source.get("reference")
        return from_elsewhere(name, extras, f"{url}@{commit}" if commit else url, git=True)
    if kind == "url":
        return from_elsewhere(name, extras, url)
    return (url, False) if kind == "directory" else None


def _with_marker(table: Mapping[str, Any], left: list[str]) -> Mapping[str, Any]:
    """Return the table, its restriction to some versions of Python as a marker."""
    specifier = _python(table.get("python"), left)
    if specifier is None:
        return table
    terms = [f"python_version {_spaced(term)}" for term in specifier.split(",")]
    if table.get("markers"):
        terms.insert(0, f"({table['markers']})")
    return {**table, "markers": " and ".join(terms)}


def _spaced(term: str) -> str:
    """Return `>= '3.10'` for `>=3.10`; a bare release is that release."""
    version = term.lstrip("<>=!~")
    operator = term[: len(term) - len(version)] or "=="
    return f"{operator} '{version}'"


def _python(text: object, left: list[str]) -> str | None:
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
