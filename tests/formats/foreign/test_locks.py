"""Locks of Poetry, uv and Pipenv."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import uv

from envtool.errors import DeclarationError
from envtool.formats.foreign import locks, poetry

VECTORS = Path(__file__).parent / "vectors"
POETRY = """\
[[package]]
name = "requests"
version = "2.32.3"
[package.dependencies]
Idna = ">=2.5,<4"

[[package]]
name = "idna"
version = "3.7"

[[package]]
name = "numpy"
version = "2.1.0"

[metadata]
python-versions = "^3.10"
"""
PYPROJECT = """\
[tool.poetry.dependencies]
python = "^3.10"
requests = {version = "^2.32", extras = ["socks"]}
numpy = {version = "*", markers = "sys_platform == 'linux'"}
mine = {path = "../mine", develop = true}
theirs = {git = "https://code.invalid/t.git", tag = "v1"}
"""


def test_poetry_with_its_pyproject() -> None:
    carried = poetry.parse_poetry_lock(POETRY, PYPROJECT)
    assert carried.requirements == (
        "requests[socks]==2.32.3",
        "numpy==2.1.0 ; sys_platform == 'linux'",
        "theirs @ git+https://code.invalid/t.git@v1",
    )
    assert carried.projects == (("../mine", True),)
    assert carried.python == ">=3.10,<4"
    assert carried.left == ()


def test_poetry_without_it_asks_for_what_nothing_else_requires() -> None:
    assert poetry.parse_poetry_lock(POETRY).requirements == ("requests==2.32.3", "numpy==2.1.0")


def test_uvs_own_lock(tmp_path: Path, index: object, make_wheel: Callable[..., Path]) -> None:
    index.add(make_wheel("alpha", "1.0", requires=["beta"]))  # type: ignore[attr-defined]
    index.add(make_wheel("beta", "2.0"))  # type: ignore[attr-defined]
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\n'
        "dependencies = [\"alpha>=1 ; sys_platform == 'linux'\"]\n"
    )
    subprocess.run(
        [uv.find_uv_bin(), "lock", "-q", "--default-index", index.url],  # type: ignore[attr-defined]
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "UV_CACHE_DIR": str(tmp_path / "cache"), "HOME": "/"},
        check=True,
    )
    carried = locks.parse_uv_lock((tmp_path / "uv.lock").read_text())
    assert carried.requirements == ("alpha==1.0 ; sys_platform == 'linux'",)
    assert carried.python == ">=3.11"
    assert carried.left == ()


def test_uvs_lock_with_what_does_not_come_from_an_index() -> None:
    carried = locks.parse_uv_lock((VECTORS / "uv.lock").read_text())
    assert carried.requirements == ("click @ git+https://code.invalid/click@874ca2bc",)
    assert carried.projects == (("lib", False),)
    assert carried.left == (
        "local: local-1-py3-none-any.whl (a file on this disk)",
        "extra plot: matplotlib",
        "group dev: pytest, ruff",
    )


def test_pipenv_with_what_does_not_come_from_an_index() -> None:
    default = {
        "click": {"git": "https://code.invalid/click", "ref": "874ca2bc"},
        "far": {"file": "https://h.invalid/far-1.tar.gz"},
        "mine": {"path": "./mine", "editable": True},
    }
    sources = [{"name": "first", "url": "https://a.invalid"}, {"name": "b", "url": "https://b"}]
    text = json.dumps({"_meta": {"sources": sources}, "default": default})
    carried = locks.parse_pipfile_lock(text)
    assert carried.requirements == (
        "click @ git+https://code.invalid/click@874ca2bc",
        "far @ https://h.invalid/far-1.tar.gz",
    )
    assert carried.projects == (("./mine", True),)
    assert carried.left == ("source b: https://b",)


PIPFILE_LOCK = json.dumps(
    {
        "_meta": {"requires": {"python_version": "3.11"}},
        "default": {
            "requests": {"version": "==2.32.3", "extras": ["socks"], "hashes": []},
            "idna": {"version": "==3.7", "markers": "python_version >= '3.5'"},
        },
        "develop": {"pytest": {"version": "==8.0"}},
    }
)


def test_pipenv_with_and_without_its_pipfile() -> None:
    carried = locks.parse_pipfile_lock(PIPFILE_LOCK, '[packages]\nrequests = "*"\n')
    assert carried.requirements == ("requests[socks]==2.32.3",)
    assert carried.python == "3.11"
    assert carried.left == ("develop: pytest",)
    everything = locks.parse_pipfile_lock(PIPFILE_LOCK)
    assert everything.requirements[1] == "idna==3.7 ; python_version >= '3.5'"


@pytest.mark.parametrize(
    "parse", [locks.parse_uv_lock, poetry.parse_poetry_lock, locks.parse_pipfile_lock]
)
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "package = 3", '{"default": 3}', "[[package]]\nx=1"]
)
def test_what_is_no_lock_is_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(DeclarationError, match=r"\.lock"):
        parse(text)


def test_two_versions_of_one_package_are_told() -> None:
    text = POETRY + '[[package]]\nname = "numpy"\nversion = "1.0"\n'
    carried = poetry.parse_poetry_lock(text)
    assert "numpy" in carried.requirements
    assert carried.left == ("the version of numpy: the lock has 1.0, 2.1.0",)
