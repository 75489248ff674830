"""A project that is locked against an index on loopback."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envtool.formats.declarations.declaration import Declaration
from envtool.formats.lock import Lock
from envtool.plan.resolving.resolve import resolve
from envtool.sources.interpreter import Interpreter, find
from envtool.values import replace

if TYPE_CHECKING:
    from fixtures.index import Index

from fixtures.locks import HOST, Lockdown


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    return find(None, prefer=None, environ=os.environ)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def lock(tmp_path: Path, project: Path, index: "Index", interpreter: Interpreter) -> Lockdown:
    """Lock some requirements against the index; keywords are the declaration's or resolve's."""

    def make(*requirements: str, **changes: Any) -> Lock:
        plain = Declaration(
            path=str(project / "envtool.toml"),
            kind="envtool.toml",
            name="project",
            environment="default",
            python=None,
            requirements=requirements,
            sources=(),
            index=None,
            exclude_newer=None,
            sdists=(),
            variables=(),
            hook=None,
            kernel=None,
        )
        both = {"index", "exclude_newer", "interpreter"}
        own = {name: changes.pop(name) for name in {*changes} - both if hasattr(plain, name)}
        if "own_index" in changes:
            own["index"] = changes.pop("own_index")
        options: dict[str, Any] = {
            "digest": "sha256-of-the-declaration",
            "interpreter": interpreter,
            "index": index.url,
            "cache_dir": str(tmp_path / "cache"),
            "environ": {**HOST, "HOME": str(tmp_path)},
            "timeout": 5.0,
            "retries": 0,
        }
        return resolve(replace(plain, **own), **(options | changes))

    return make
