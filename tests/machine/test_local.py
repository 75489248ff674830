"""Local projects: their needs are part of what a lock answers, their looks are not."""

from pathlib import Path

import pytest

from envtool.errors import DeclarationError
from envtool.formats.declarations.declaration import lock_digest
from envtool.formats.declarations.reading import parse
from envtool.machine import local

DECLARATION = """\
dependencies = ["thing"]
[sources]
thing = { path = "thing", editable = true }
"""
PROJECT = '[project]\nname = "thing"\nversion = "1"\n'


def digest(folder: Path, pyproject: str | None) -> str:
    (folder / "thing").mkdir(exist_ok=True)
    path = folder / "thing/pyproject.toml"
    if pyproject is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(pyproject)
    declared = folder / "envtool.toml"
    return local.answered_digest(parse(DECLARATION, path=str(declared), kind="envtool.toml"))


def test_the_needs_of_a_local_project_change_the_digest(tmp_path: Path) -> None:
    texts = [
        None,
        PROJECT,
        PROJECT + 'dependencies = ["numpy"]\n',
        PROJECT + 'requires-python = ">=3.12"\n',
        PROJECT + '[build-system]\nrequires = ["hatchling"]\n',
    ]
    assert len({digest(tmp_path, text) for text in texts}) == len(texts)


def test_the_looks_of_a_local_project_do_not(tmp_path: Path) -> None:
    one = digest(tmp_path, PROJECT)
    assert digest(tmp_path, f"# a comment\n{PROJECT}\n[tool.ruff]\nline-length = 100\n") == one
    (tmp_path / "thing/module.py").write_text("x = 1\n")
    assert digest(tmp_path, PROJECT) == one
    (tmp_path / "thing/setup.py").write_text("import setuptools\n")
    assert digest(tmp_path, PROJECT) != one


def test_without_local_projects_it_is_the_declarations_own(tmp_path: Path) -> None:
    declaration = parse(
        'dependencies = ["numpy"]\n', path=str(tmp_path / "envtool.toml"), kind="envtool.toml"
    )
    assert local.answered_digest(declaration) == lock_digest(declaration)


def test_metadata_that_cannot_be_read_is_left_to_the_resolver(tmp_path: Path) -> None:
    assert digest(tmp_path, "= 1") == digest(tmp_path, "[")


def test_the_name_of_a_project_is_that_of_its_pyproject(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\nname = "My.App"\n')
    assert local.project_name(str(tmp_path)) == "my-app"
    for text in ("project = 1", "[project]\nname = 1", "[project]\nname = 'a b'", "= 1"):
        path.write_text(text)
        with pytest.raises(DeclarationError, match=r"no valid name|not TOML"):
            local.project_name(str(tmp_path))
