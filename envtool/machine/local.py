"""Local projects: what of their own metadata decides about a lock, and about a build."""

import json
import os
from collections.abc import Mapping
from typing import Any

from envtool.errors import DeclarationError, Fault
from envtool.formats.declarations.declaration import Declaration, lock_digest
from envtool.formats.digest import sha256
from envtool.machine.project import read_text

_PROJECT_KEYS = (
    *("name", "version", "dynamic", "requires-python"),
    *("dependencies", "optional-dependencies"),
)
_LEGACY = ("setup.py", "setup.cfg")
_METADATA = ("pyproject.toml", *_LEGACY)


def answered_digest(declaration: Declaration) -> str:
    """Return the digest of what the declaration's lock answers, local projects' needs included."""
    folder = os.path.dirname(declaration.path)
    return lock_digest(
        declaration,
        {
            name: _needs(os.path.normpath(os.path.join(folder, source.path)))
            for name, source in declaration.sources
        },
    )


def fingerprint(project: str) -> str:
    """Return the SHA-256, in base 16, of the files that decide about a project's metadata."""
    digest = sha256()
    for name in _METADATA:
        data = _read(f"{project}/{name}")
        if data is not None:
            digest.update(f"{name}\0".encode() + data)
    return digest.hexdigest()


def project_name(folder: str) -> str:
    """Return the normalised name of the Python project in a folder, as its pyproject.toml has it.

    :raises DeclarationError: there is no pyproject.toml, or it does not say the name.
    """
    from envtool.formats.declarations.requirement import NAME, normalised
    from envtool.formats.declarations.toml_text import load

    path = os.path.join(folder, "pyproject.toml")
    table = load(read_text(path), path).get("project")
    name = table.get("name") if isinstance(table, dict) else None
    if isinstance(name, str) and NAME.fullmatch(name):
        return normalised(name)
    message = "the project has no valid name; a requirement needs one"
    raise DeclarationError([Fault(path, None, "project.name", message)])


def _needs(project: str) -> Mapping[str, Any]:
    """Return what of a project's metadata a resolver looks at; empty when it has none."""
    import tomllib

    found: dict[str, Any] = {}
    for name in _LEGACY:
        data = _read(f"{project}/{name}")
        if data is not None:
            found[name] = sha256(data).hexdigest()
    data = _read(f"{project}/pyproject.toml")
    try:
        document = tomllib.loads(data.decode()) if data is not None else {}
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return found  # the resolver says what is wrong with it
    table = document.get("project")
    if isinstance(table, dict):
        found |= {key: table[key] for key in _PROJECT_KEYS if key in table}
    found["build-system"] = document.get("build-system")
    return json.loads(json.dumps(found, default=str))  # type: ignore[no-any-return]


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None  # not there, or a wheel: whoever needs it says so
