"""`[system] packages` edited in place: comments, order and layout are the user's."""

import json

import pytest

from envtool.errors import DeclarationError
from envtool.formats.declarations.declaration import Kind
from envtool.formats.declarations.editing.requirements import remove_requirements
from envtool.formats.declarations.editing.system import add_system_packages, remove_system_packages
from envtool.formats.declarations.reading import parse

TOML = """\
dependencies = ["pydot"]  # draws

[system]
# what draws
packages = [
    "graphviz",  # dot
    # "inkscape",
    'git (>= 1:2.39)',
]
suite = "bookworm"

[vars]
A = "b"
"""
PLACES: dict[Kind, tuple[str, str]] = {
    "envtool.toml": ("dependencies = []\n", "system"),
    "pyproject.toml": ('[project]\nname = "a"\nversion = "1"\n', "tool.envtool.system"),
    "script": ("# /// script\n# dependencies = []\n# ///\nprint()\n", "tool.envtool.system"),
}


def add(text: str, *packages: str, kind: Kind = "envtool.toml", env: str = "default") -> str:
    return add_system_packages(text, kind=kind, packages=packages, environment=env, file="file")


def remove(text: str, *names: str, kind: Kind = "envtool.toml", env: str = "default") -> str:
    return remove_system_packages(text, kind=kind, names=names, environment=env, file="file")


def test_a_new_package_goes_to_the_end_in_the_layout_there_is() -> None:
    last = "    'git (>= 1:2.39)',\n"
    assert add(TOML, "tini") == TOML.replace(last, f"{last}    'tini',\n")


def test_one_that_is_there_is_replaced_in_its_place() -> None:
    assert add(TOML, "git") == TOML.replace("git (>= 1:2.39)", "git")
    assert add(TOML, "graphviz") == TOML


def test_removal_takes_the_line_and_its_comment_and_nothing_else() -> None:
    assert remove(TOML, "graphviz") == TOML.replace('    "graphviz",  # dot\n', "")
    assert remove(TOML, "git") == TOML.replace("    'git (>= 1:2.39)',\n", "")


@pytest.mark.parametrize("kind", PLACES)
def test_every_kind_of_file_has_its_place(kind: Kind) -> None:
    text, key = PLACES[kind]
    changed = add(text, "git", "graphviz", kind=kind)
    assert f"[{key}]" in changed
    found = parse(changed, path="/project/file.py", kind=kind).system
    assert found is not None
    assert found.packages == ("git", "graphviz")
    emptied = remove(changed, "graphviz", "git", kind=kind)
    assert parse(emptied, path="/project/file.py", kind=kind).system is None


def test_a_notebook_with_a_block_has_it_there() -> None:
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "a",
        "metadata": {},
        "outputs": [],
        "source": "# /// script\n# dependencies = []\n# ///",
    }
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    changed = json.loads(add(text, "graphviz", kind="notebook-cell"))
    assert '#     "graphviz",\n' in changed["cells"][0]["source"]


def test_a_notebook_may_have_it_in_its_metadata() -> None:
    metadata = {"envtool": {"declaration": {"dependencies": [], "system": {"packages": ["git"]}}}}
    text = json.dumps({"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
    changed = add(text, "graphviz", "git (>= 1:2)", kind="notebook-metadata")
    found = json.loads(changed)["metadata"]["envtool"]["declaration"]["system"]
    assert found == {"packages": ["git (>= 1:2)", "graphviz"]}
    changed = remove(changed, "git", kind="notebook-metadata")
    found = json.loads(changed)["metadata"]["envtool"]["declaration"]["system"]
    assert found == {"packages": ["graphviz"]}


def test_what_is_not_declared_cannot_be_removed() -> None:
    with pytest.raises(DeclarationError, match="no system package 'graphvis' to remove") as caught:
        remove(TOML, "graphvis", "git")
    assert "did you mean 'graphviz'" in caught.value.message
    with pytest.raises(DeclarationError, match="no system package 'git' to remove"):
        remove("", "git")


def test_one_that_is_taken_for_a_requirement_is_told_where_it_is() -> None:
    for text in (TOML, TOML.replace("[system]", "[tool.envtool.system]")):
        with pytest.raises(DeclarationError) as caught:
            remove_requirements(text, kind="envtool.toml", names=["graphviz"])
        assert caught.value.hint == "envtool remove --system graphviz"
    with pytest.raises(DeclarationError) as caught:
        remove_requirements(TOML, kind="envtool.toml", names=["numpy"])
    assert caught.value.hint is None


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(DeclarationError) as caught:
        add(TOML, "Git!", "git>=2")
    assert len(caught.value.faults) == 2
    with pytest.raises(DeclarationError, match="expected an array"):
        add('[system]\npackages = "git"\n', "graphviz")


def test_an_environment_has_none_of_its_own() -> None:
    with pytest.raises(DeclarationError, match="'docs' has none of its own"):
        add(TOML, "git", env="docs")
