"""Locks of uv and Pipenv: what the project itself asks for, at its locked version.

What that needs in turn is left to be found again, in our own lock.
"""

import json
from collections.abc import Mapping
from typing import Any

from envtool.formats.declarations.requirement import normalised
from envtool.formats.foreign.carried import Carried, pinned, sorted_out
from envtool.formats.foreign.tables import (
    fault_of,
    from_elsewhere,
    group_line,
    packages_of,
    pin_locked,
    read_toml,
    tables,
    text_of,
    versions_of,
)

__all__ = ["parse_pipfile_lock", "parse_uv_lock"]

_LOCAL = ("virtual", "editable", "directory")


def parse_uv_lock(text: str, path: str = "uv.lock") -> Carried:
    """Return what the project of a uv.lock asks for."""
    document = read_toml(text, path)
    packages = packages_of(document, path)
    sources = {each["name"]: _source(each) for each in packages}
    roots = [each for each in packages if _local(sources[each["name"]]) == "."]
    versions = versions_of(packages)
    requirements, left, projects = list[str](), list[str](), list[tuple[str, bool]]()
    for root in roots:
        for dependency in tables(root.get("dependencies")):
            name = str(dependency.get("name", ""))
            source = sources.get(name, {})
            place = _local(source)
            if place:
                projects.append((place, "directory" not in source))
            elif "path" in source:
                left.append(f"{name}: {source['path']} (a file on this disk)")
            else:
                pin = pin_locked(name, versions, dependency, left)
                requirements.append(_elsewhere(name, dependency, source) or pin)
        _tell_groups(root, left)
    good, wrong = sorted_out(requirements)
    if not roots:
        left.append(f"{path} does not say which project it is of")
    return Carried(
        good, text_of(document.get("requires-python")), tuple(projects), left=(*left, *wrong)
    )


def _source(package: Mapping[str, Any]) -> Mapping[str, Any]:
    source = package.get("source")
    return source if isinstance(source, dict) else {}


def _local(source: Mapping[str, Any]) -> str | None:
    return next((str(source[kind]) for kind in _LOCAL if kind in source), None)


def _elsewhere(name: str, dependency: Mapping[str, Any], source: Mapping[str, Any]) -> str | None:
    """Return the requirement of what does not come from an index; None for what does."""
    extras = [str(each) for each in dependency.get("extra") or ()]
    if "git" in source:
        # Such as `https://host/project?tag=v1#the-commit`.
        place, _, commit = str(source["git"]).partition("#")
        url = place.partition("?")[0]
        return from_elsewhere(name, extras, f"{url}@{commit}" if commit else url, git=True)
    return from_elsewhere(name, extras, str(source["url"])) if "url" in source else None


def _tell_groups(root: Mapping[str, Any], left: list[str]) -> None:
    for key, kind in (("optional-dependencies", "extra"), ("dev-dependencies", "group")):
        groups = root.get(key)
        for name, below in groups.items() if isinstance(groups, dict) else ():
            left.append(group_line(kind, name, (each.get("name") for each in tables(below))))


def parse_pipfile_lock(
    text: str, pipfile: str | None = None, path: str = "Pipfile.lock"
) -> Carried:
    """Return what a Pipfile.lock pins; of `pipfile`, its Pipfile's text, only what that names."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise fault_of(path, f"not JSON: {error}") from error
    default = document.get("default") if isinstance(document, dict) else None
    if not isinstance(default, dict):
        raise fault_of(path, "expected a table `default`")
    asked = read_toml(pipfile, "Pipfile").get("packages", {}) if pipfile else default
    names = {normalised(name) for name in asked}
    left = [f"develop: {name}" for name in document.get("develop") or {} if name not in default]
    requirements, projects = list[str](), list[tuple[str, bool]]()
    for name, entry in default.items():
        if normalised(name) not in names or not isinstance(entry, dict):
            continue
        extras = [str(each) for each in entry.get("extras") or ()]
        if isinstance(entry.get("path"), str):
            projects.append((entry["path"], bool(entry.get("editable"))))
        elif isinstance(entry.get("git"), str):
            url = f"{entry['git']}@{entry['ref']}" if entry.get("ref") else entry["git"]
            requirements.append(from_elsewhere(name, extras, url, git=True))
        elif isinstance(entry.get("file"), str):
            requirements.append(from_elsewhere(name, extras, entry["file"]))
        else:
            version = str(entry.get("version", "")).removeprefix("==") or None
            requirements.append(pinned(name, version, extras, str(entry.get("markers") or "")))
    good, wrong = sorted_out(requirements)
    meta = document.get("_meta") or {}
    left += [
        f"source {each.get('name', '')}: {each.get('url', '')}"
        for each in tables(meta.get("sources"))[1:]
    ]
    python = text_of((meta.get("requires") or {}).get("python_version"))
    return Carried(good, python, tuple(projects), left=(*left, *wrong))
