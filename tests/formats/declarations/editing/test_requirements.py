import json
import tomllib

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envtool.errors import DeclarationError
from envtool.formats.declarations.declaration import Kind, PathSource
from envtool.formats.declarations.editing.requirements import (
    add_requirements,
    remove_requirements,
)
from envtool.formats.declarations.editing.template import template
from envtool.formats.declarations.reading import parse

# A busy machine is no fault of the code under test.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TOML = """\
# What we need.
name = 'study'
dependencies = [
  'numpy>=2',   # arrays
  # tables
  "pandas",     # not polars
  "tomli; python_version < '3.11'",
]

# What CI needs.
[env.ci]
dependencies = ["pytest"]
"""


def add(text: str, *requirements: str, kind: Kind = "envtool.toml", env: str = "default") -> str:
    return add_requirements(text, kind=kind, requirements=requirements, environment=env)


def remove(text: str, *names: str, kind: Kind = "envtool.toml", env: str = "default") -> str:
    return remove_requirements(text, kind=kind, names=names, environment=env)


def test_a_new_requirement_goes_to_the_end_in_the_layout_there_is() -> None:
    assert add(TOML, "scipy>=1") == TOML.replace("'3.11'\",\n", '\'3.11\'",\n  "scipy>=1",\n')


def test_a_requirement_that_is_there_is_replaced_in_its_place_and_quotes() -> None:
    assert add(TOML, "NumPy>=2.1") == TOML.replace("numpy>=2", "NumPy>=2.1")
    assert add(TOML, "pandas[excel]") == TOML.replace("pandas", "pandas[excel]")


def test_markers_distinguish_entries() -> None:
    changed = add(TOML, "tomli", "tomli>=2 ; python_version<'3.11'")
    assert tomllib.loads(changed)["dependencies"][2:] == [
        "tomli>=2 ; python_version<'3.11'",
        "tomli",
    ]


def test_a_marker_with_double_quotes_is_written_without_escapes() -> None:
    changed = add("dependencies = []\n", 'a; python_version < "3.12"')
    assert changed == "dependencies = ['a; python_version < \"3.12\"']\n"


def test_a_named_environment_has_its_own_requirements() -> None:
    assert add(TOML, "coverage", env="ci") == TOML.replace('"pytest"', '"pytest", "coverage"')


def test_an_absent_environment_is_refused_with_those_there_are() -> None:
    with pytest.raises(DeclarationError, match="default, ci"):
        add(TOML, "x", env="cj")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'dependencies = [\n    "a",\n]\n'),
        ('name = "x"', 'name = "x"\ndependencies = [\n    "a",\n]\n'),
        ("# hi\n\n[env.ci]\n", '# hi\ndependencies = [\n    "a",\n]\n\n[env.ci]\n'),
        ("[env.ci]\n", 'dependencies = [\n    "a",\n]\n\n[env.ci]\n'),
        (
            'name = "x"\n\n# CI\n[env.ci]\n',
            'name = "x"\ndependencies = [\n    "a",\n]\n\n# CI\n[env.ci]\n',
        ),
        (
            'name = "x"\n# CI\n[env.ci]\n',
            'name = "x"\ndependencies = [\n    "a",\n]\n\n# CI\n[env.ci]\n',
        ),
    ],
)
def test_a_new_array_stands_where_a_person_would_put_it(before: str, after: str) -> None:
    assert add(before, "a") == after


def test_line_ends_of_windows_are_kept() -> None:
    text = TOML.replace("\n", "\r\n")
    assert add(text, "scipy") == add(TOML, "scipy").replace("\n", "\r\n")


def test_a_requirement_is_removed_with_the_comment_behind_it() -> None:
    assert remove(TOML, "NumPy") == TOML.replace("  'numpy>=2',   # arrays\n", "")
    assert remove(TOML, "tomli") == TOML.replace("  \"tomli; python_version < '3.11'\",\n", "")


def test_removing_what_is_absent_names_the_near_one_and_all_that_are_absent() -> None:
    with pytest.raises(DeclarationError) as caught:
        remove(TOML, "panda", "zzz")
    assert [fault.message for fault in caught.value.faults] == [
        "no requirement 'panda' to remove; did you mean 'pandas'?",
        "no requirement 'zzz' to remove",
    ]


def test_requirements_that_are_not_valid_are_all_refused() -> None:
    with pytest.raises(DeclarationError) as caught:
        add(TOML, "a b", "fine", "-r x.txt")
    assert len(caught.value.faults) == 2


def test_a_file_that_is_not_toml_is_refused() -> None:
    with pytest.raises(DeclarationError, match="declaration:1: not TOML"):
        add("a = = 1", "x")


def test_dependencies_of_the_wrong_type_are_refused() -> None:
    with pytest.raises(DeclarationError, match="expected an array"):
        add('dependencies = "x"', "y")


def test_a_source_is_added_and_goes_with_its_requirement() -> None:
    changed = add_requirements(
        TOML,
        kind="envtool.toml",
        requirements=["local"],
        sources={"local": PathSource("../local", editable=True)},
    )
    assert changed.endswith('\n[sources]\nlocal = {path = "../local", editable = true}\n')
    assert parse(changed, path="/p/envtool.toml", kind="envtool.toml").sources
    assert remove(changed, "local").strip() == TOML.strip()


def test_a_source_stays_while_another_environment_needs_it() -> None:
    text = 'dependencies = ["x"]\n[sources]\nx = {path="."}\n[env.ci]\ndependencies = ["x"]\n'
    assert "path" in remove(text, "x")


def test_a_second_source_of_a_package_replaces_the_first() -> None:
    text = 'dependencies = ["My_x"]\n\n[sources]\nMy_x = {path="."}\nz = {path = "z"} # z\n'
    changed = add_requirements(
        text,
        kind="envtool.toml",
        requirements=["my-x"],
        sources={"my-x": PathSource("/x", editable=False)},
    )
    assert changed.endswith('[sources]\nMy_x = {path = "/x"}\nz = {path = "z"} # z\n')


PYPROJECT = """\
[project]
name = "app"
version = "1"

# Tools.
[tool.other]
x = 1

[dependency-groups]
Dev = ["pytest"]

[tool.envtool.env.lint]
groups = ["dev"]

[tool.envtool.env.docs]
base = false
"""


def test_the_default_requirements_of_a_pyproject_are_those_of_the_project() -> None:
    changed = add(PYPROJECT, "rich", kind="pyproject.toml")
    assert changed == PYPROJECT.replace(
        'version = "1"\n', 'version = "1"\ndependencies = [\n    "rich",\n]\n'
    )


def test_an_environment_of_one_group_is_edited_in_its_group() -> None:
    for env in ("lint", "dev"):
        changed = add(PYPROJECT, "ruff", kind="pyproject.toml", env=env)
        assert changed == PYPROJECT.replace('["pytest"]', '["pytest", "ruff"]')


def test_another_environment_of_a_pyproject_gets_its_own_requirements() -> None:
    changed = add(PYPROJECT, "sphinx", kind="pyproject.toml", env="docs")
    assert changed == PYPROJECT + 'dependencies = [\n    "sphinx",\n]\n'


def test_a_pyproject_without_a_project_gets_a_group() -> None:
    text = '[tool.envtool]\npython = "3.12"\n'
    changed = add(text, "ruff", kind="pyproject.toml")
    assert changed == text + '\n[dependency-groups]\ndev = [\n    "ruff",\n]\n'
    found = parse(changed, path="/p/pyproject.toml", kind="pyproject.toml")
    assert found.requirements == ("ruff",)


def test_dynamic_dependencies_are_not_edited() -> None:
    text = '[project]\nname = "x"\ndynamic = ["dependencies"]\n'
    with pytest.raises(DeclarationError, match="dynamic"):
        add(text, "x", kind="pyproject.toml")


@pytest.mark.parametrize(
    "text",
    [
        'project.name = "x"\n',
        'project = { name = "x" }\n',
        '[project]\nname = "x"\n[project.urls]\na = "b"\n',
        '[tool.a]\n[project]\nname = "x"\n[tool.b]\n',
    ],
)
def test_any_way_to_write_the_project_table_can_be_extended(text: str) -> None:
    changed = tomllib.loads(add(text, "a", "b", kind="pyproject.toml"))
    assert changed["project"].pop("dependencies") == ["a", "b"]
    assert changed == tomllib.loads(text)


SCRIPT = """\
#!/usr/bin/env python3
# /// script
# # why
# dependencies = [
#   "rich",  # colours
# ]
#
# [tool.envtool]
# # ours
# ///
print(1)
"""


def test_a_block_of_a_script_is_edited_in_place() -> None:
    changed = add(SCRIPT, "httpx", kind="script")
    assert changed == SCRIPT.replace("colours\n", 'colours\n#   "httpx",\n')
    assert remove(changed, "httpx", kind="script") == SCRIPT


def test_a_script_without_a_block_gets_one() -> None:
    assert add("print(1)\n", "rich", kind="script") == (
        '# /// script\n# dependencies = [\n#     "rich",\n# ]\n# ///\n\nprint(1)\n'
    )


def test_a_script_with_line_ends_of_windows_keeps_them() -> None:
    text = SCRIPT.replace("\n", "\r\n")
    assert add(text, "httpx", kind="script") == add(SCRIPT, "httpx", kind="script").replace(
        "\n", "\r\n"
    )


def test_a_syntax_error_in_a_block_names_the_line_of_the_script() -> None:
    with pytest.raises(DeclarationError) as caught:
        add(SCRIPT.replace("# ours", "ours"), "x", kind="script")
    assert caught.value.faults[0].line == 9


def test_a_script_can_have_sources() -> None:
    changed = add_requirements(
        SCRIPT,
        kind="script",
        requirements=["local"],
        sources={"Local": PathSource("../local", editable=False)},
    )
    found = parse(changed, path="/p/x.py", kind="script")
    assert found.sources == (("local", PathSource("../local", editable=False)),)


def notebook(*cells: dict[str, object], **metadata: object) -> str:
    whole = [
        {"id": f"c{number}", "metadata": {}, "cell_type": "code"}
        | ({} if "cell_type" in cell else {"execution_count": None, "outputs": []})
        | {"source": []}
        | cell
        for number, cell in enumerate(cells)
    ]
    text = json.dumps({"cells": whole, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
    return saved_by_jupyter(text)


def saved_by_jupyter(text: str) -> str:
    found = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(found)
    return str(nbformat.writes(found)) + "\n"  # type: ignore[no-untyped-call]


def test_a_notebook_without_a_block_gets_a_cell_of_its_own() -> None:
    text = notebook({"cell_type": "markdown", "source": "# Title"}, {"source": "%%time\nprint(1)"})
    changed = add(text, "numpy", kind="notebook-cell")
    cells = json.loads(changed)["cells"]
    assert [cell["id"] for cell in cells] == ["c0", "envtool-1", "c1"]
    assert saved_by_jupyter(changed) == changed
    found = parse(changed, path="/p/n.ipynb", kind="notebook-cell")
    assert found.requirements == ("numpy",)


@pytest.mark.parametrize("cells", [[], [{"source": ""}], [{"cell_type": "markdown"}]])
def test_a_notebook_without_code_gets_a_block(cells: list[dict[str, object]]) -> None:
    changed = add(notebook(*cells), "numpy", kind="notebook-cell")
    found = parse(changed, path="/p/n.ipynb", kind="notebook-cell")
    assert found.requirements == ("numpy",)


def test_a_block_of_a_notebook_is_edited_and_nothing_else_changes() -> None:
    text = notebook({"source": SCRIPT + "x = 'é'"}, {"source": "y"})
    changed = add(text, "httpx", kind="notebook-cell")
    line = '    "#   \\"rich\\",  # colours\\n",\n'
    assert changed == text.replace(line, line + '    "#   \\"httpx\\",\\n",\n')
    assert remove(changed, "httpx", kind="notebook-cell") == text


def test_a_declaration_in_metadata_is_edited() -> None:
    text = notebook(envtool={"declaration": {"dependencies": ["numpy", "rich>1"], "python": "3"}})
    changed = add(text, "Rich", "scipy", kind="notebook-metadata")
    assert changed == text.replace('"rich>1"\n', '"Rich",\n     "scipy"\n')
    assert parse(
        remove(changed, "numpy", "rich", kind="notebook-metadata"),
        path="/p/n.ipynb",
        kind="notebook-metadata",
    ).requirements == ("scipy",)


def test_sources_in_metadata_come_and_go() -> None:
    changed = add_requirements(
        notebook(),
        kind="notebook-metadata",
        requirements=["local"],
        sources={"local": PathSource(".", editable=True)},
    )
    found = parse(changed, path="/p/n.ipynb", kind="notebook-metadata")
    assert found.sources == (("local", PathSource(".", editable=True)),)
    left = remove(changed, "local", kind="notebook-metadata")
    assert json.loads(left)["metadata"]["envtool"]["declaration"]["sources"] == {}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("envtool.toml", "/p/envtool.toml"),
        ("pyproject.toml", "/p/pyproject.toml"),
        ("script", "/p/study.py"),
        ("notebook-cell", "/p/study.ipynb"),
    ],
)
def test_a_template_is_a_declaration_that_can_be_added_to(kind: Kind, path: str) -> None:
    text = add(template("study", "3.12", kind), "numpy", kind=kind)
    found = parse(text, path=path, kind=kind)
    assert (found.python, found.requirements) == ("==3.12.*", ("numpy",))


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=5)
GAPS = st.sampled_from(["", " ", "\n", "\n    ", " # note\n  ", "\n\n# note\n"])


@st.composite
def arrays(draw: st.DrawFn) -> tuple[list[str], str]:
    names = draw(NAMES)
    text = "dependencies = [" + draw(GAPS)
    for number, name in enumerate(names):
        quote = draw(st.sampled_from("'\""))
        comma = "," if number + 1 < len(names) or draw(st.booleans()) else ""
        text += quote + name + quote + draw(GAPS) + comma + draw(GAPS)
    return names, text + "] # end\n# after\n[vars] # vars\nA = '1'\n"


@UNHURRIED
@given(arrays(), NAMES.filter(bool))
def test_added_to_any_layout_the_array_holds_both_and_every_comment(
    array: tuple[list[str], str], added: list[str]
) -> None:
    names, text = array
    changed = add(text, *added)
    expected = names + [name for name in added if name not in names]
    assert tomllib.loads(changed) == {"dependencies": expected, "vars": {"A": "1"}}
    assert changed.count("#") == text.count("#")


@UNHURRIED
@given(arrays(), st.data())
def test_removed_from_any_layout_the_array_holds_the_others(
    array: tuple[list[str], str], data: st.DataObject
) -> None:
    names, text = array
    gone = data.draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    changed = remove(text, *gone)
    left = [name for name in names if name not in gone]
    assert tomllib.loads(changed) == {"dependencies": left, "vars": {"A": "1"}}
    assert changed.endswith("] # end\n# after\n[vars] # vars\nA = '1'\n")
