"""Reading declarations: every key, every kind of file, and all faults with their lines."""

from typing import get_args

import pytest
from fixtures.declarations import read
from fixtures.tables import TABLES, as_toml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envtool.errors import DeclarationError
from envtool.formats.declarations.declaration import (
    Declaration,
    KernelChoice,
    Kind,
    PathSource,
    lock_digest,
)
from envtool.formats.declarations.reading import parse

# A busy machine is no fault of the code under test.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

FULL = """\
name = "My Analysis"
python = "3.11"
dependencies = ["numpy>=2", "local[fast]", "tool @ https://example.org/tool.zip"]
index = "https://example.org/simple"
exclude-newer = 2026-01-31
sdists = ["Old_Thing"]

[sources]
Local = { path = "../local", editable = true }

[vars]
MODE = "dev"
LEVEL = "1"

[shell]
hook = "echo ready"

[kernel]
name = "analysis"
display-name = "Analysis"

[dependency-groups]
test = ["pytest", { include-group = "lint" }]
lint = ["ruff"]

[env.ci]
groups = ["test"]
python = ">=3.12, <4"
vars = { LEVEL = "2" }

[env.docs]
base = false
dependencies = ["sphinx"]
kernel = { name = "docs" }
"""


def faults_of(
    text: str, *, kind: Kind = "envtool.toml", environment: str = "default"
) -> list[tuple[int | None, str, str]]:
    with pytest.raises(DeclarationError) as caught:
        read(text, kind=kind, environment=environment)
    return [(fault.line, fault.key, fault.message) for fault in caught.value.faults]


def test_every_key_of_envtool_toml_is_read() -> None:
    assert read(FULL) == Declaration(
        path="/home/me/My Project/envtool.toml",
        kind="envtool.toml",
        name="my-analysis",
        environment="default",
        python="==3.11.*",
        requirements=("numpy>=2", "local[fast]", "tool @ https://example.org/tool.zip"),
        sources=(("local", PathSource("../local", editable=True)),),
        index="https://example.org/simple",
        exclude_newer="2026-01-31",
        sdists=("old-thing",),
        variables=(("LEVEL", "1"), ("MODE", "dev")),
        hook="echo ready",
        kernel=KernelChoice("analysis", "Analysis"),
    )


def test_a_named_environment_adds_to_the_base() -> None:
    ci = read(FULL, environment="ci")
    assert ci.requirements[:1] == ("numpy>=2",)
    assert ci.requirements[-2:] == ("pytest", "ruff")
    assert ci.python == "<4,>=3.12"
    assert ci.variables == (("LEVEL", "2"), ("MODE", "dev"))


def test_an_environment_inherits_the_kernel_but_not_its_name() -> None:
    assert read(FULL, environment="ci").kernel == KernelChoice(None, None)
    assert read(FULL, environment="docs").kernel == KernelChoice("docs", None)


def test_an_environment_has_the_interpreter_of_the_base_or_its_own() -> None:
    text = 'interpreter = "closed"\n[env.old]\ninterpreter = "debian/bookworm"\n[env.ci]\n'
    for environment in ("default", "ci"):
        assert read(text, environment=environment).closed == ("debian", "standalone")
    old = read(text, environment="old")
    assert (old.closed, old.suites) == (("debian",), ("bookworm",))
    assert read("").closed == read('interpreter = "host"').closed == ()


def test_an_environment_without_base_has_only_its_own_requirements_and_sources() -> None:
    docs = read(FULL, environment="docs")
    assert docs.requirements == ("sphinx",)
    assert docs.sources == ()


def test_an_empty_file_declares_an_empty_environment_named_after_its_folder() -> None:
    empty = read("")
    assert (empty.name, empty.requirements, empty.kernel) == ("my-project", (), None)


@pytest.mark.parametrize(
    ("written", "specifier"),
    [
        ("3", "==3.*"),
        ("3.11", "==3.11.*"),
        ("3.11.2", "==3.11.2"),
        (">= 3.11,<3.14", "<3.14,>=3.11"),
        ("~=3.12.1", "~=3.12.1"),
        ("", None),
    ],
)
def test_python_is_a_release_or_a_specifier(written: str, specifier: str | None) -> None:
    assert read(f'python = "{written}"').python == specifier


def test_a_key_of_another_place_is_told_its_own() -> None:
    block = '# /// script\n# sdists = ["docopt"]\n# python = "3.12"\n# ///\n'
    assert faults_of(block, kind="script") == [
        (2, "sdists", "write it below [tool.envtool]"),
        (3, "python", "the key is requires-python here (PEP 723)"),
    ]
    told = [(1, "requires-python", "the key is python here")]
    assert faults_of('requires-python = ">=3.11"\n') == told


def test_all_faults_of_a_file_are_reported_in_the_order_of_its_lines() -> None:
    text = """\
# a comment = "not a key"
pyhton = "3.11"
dependencies = [
    "numpy",  # "fine",
    'pandas>=2',

    "scipy >> 1",
    7,
]
exclude-newer = "yesterday"
sdists = "lxml"

[sources]
left = { path = "../left" }

[vars]
PATH = "/bin"
N = 1
"""
    found = faults_of(text)
    assert [(line, key) for line, key, _ in found] == [
        (2, "pyhton"),
        (7, "dependencies"),
        (8, "dependencies"),
        (10, "exclude-newer"),
        (11, "sdists"),
        (14, "sources.left"),
        (17, "vars.PATH"),
        (18, "vars.N"),
    ]
    messages = [message for _, _, message in found]
    assert messages[0] == "unknown key; did you mean 'python'?"
    assert "'scipy >> 1' is not a requirement" in messages[1]
    assert messages[2] == "expected a string, found an integer"
    assert "2026-01-31" in messages[3]
    assert messages[4] == "expected an array of strings, found a string"
    assert messages[5].startswith("a source without a requirement")
    assert "leads it" in messages[6]
    assert messages[7] == "expected a string, found an integer"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("python = 3.11", "python", 'write "3.11" with quotes'),
        ('python = "three"', "python", "PEP 440"),
        ('index = "example.org"', "index", "URL"),
        ("index = true", "index", "expected a string, found a boolean"),
        ('collisions = "last"', "collisions", "neither refuse nor warn"),
        ('interpreter = "debiam"', "interpreter", "did you mean 'debian'?"),
        (
            'interpreter = "debian/"',
            "interpreter",
            "is not host, debian, debian/SUITE, standalone or closed",
        ),
        ("[gpu]\nhost-driver = true", "gpu.host-driver", "did you mean 'host-drivers'?"),
        ("[gpu]\nhost-drivers = 1", "gpu.host-drivers", "expected true or false"),
        ("gpu = true", "gpu", "expected a table"),
        ("[env.ci]\ninterpreter = 3", "env.ci.interpreter", "expected a string"),
        ("exclude-newer = 2026-01-31T10:00:00", "exclude-newer", "is not a date"),
        ('exclude-newer = "2026-02-31"', "exclude-newer", "day is out of range"),
        ('name = "---"', "name", "no letter"),
        ('sdists = ["a b"]', "sdists", "'a b' is not a name"),
        ('libraries = ["libcairo2"]', "libraries", "'libcairo2' is not the name of a shared"),
        ('libraries = ["/usr/lib/libz.so.1"]', "libraries", "such as libcairo.so.2"),
        ("[env.CI]\nbase = true", "env.CI", "not an environment's name"),
        ("[env.default]\nbase = true", "env.default", "is the base"),
        ('[env."a.b"]\n[env.a-b]', "env.a-b", "would be the one of env.a.b"),
        ("[env.ci]\nbase = 1", "env.ci.base", "expected true or false"),
        ('[env.ci]\ngroups = ["tset"]\n[dependency-groups]\ntest = []', "env.ci.groups", "'test'?"),
        ('[shell]\nhok = "x"', "shell.hok", "did you mean 'hook'?"),
        ('[kernel]\nname = "A B"', "kernel.name", "not a kernel's name"),
        ("kernel = true", "kernel", "expected a table, found a boolean"),
        ('[vars]\n"A-B" = "x"', "vars.A-B", "not a variable's name"),
        ('[vars]\nA = "\\u0000"', "vars.A", "NUL"),
        ('[vars]\nENVTOOL_ROOT = "/"', "vars.ENVTOOL_ROOT", "envtool's own"),
        ('dependencies = ["-e ."]', "dependencies", "[sources]"),
        ('dependencies = ["./here"]', "dependencies", "[sources]"),
        ('dependencies = ["https://a.org/a.zip"]', "dependencies", "name @ URL"),
        ('dependencies = ["a @ https://a.org\\n--evil"]', "dependencies", "control character"),
        ('dependencies = ["a"]\n[sources]\na = {}', "sources.a", "needs a path"),
        ('dependencies = ["a"]\n[sources]\na = {path=""}', "sources.a.path", "not the path"),
        ('dependencies = ["a @ https://a.org/a.zip"]\n[sources]\na.path = "."', "sources.a", "URL"),
        ("[dependency-groups]\na = [1]", "dependency-groups.a", "PEP 735"),
        ('[dependency-groups]\na = ["x"]\nA = []', "dependency-groups.A", "same group"),
    ],
)
def test_a_fault_names_its_key_and_what_is_expected(text: str, key: str, words: str) -> None:
    [(line, found, message)] = faults_of(text)
    assert found == key
    assert words in message
    assert line is not None


def test_groups_that_include_each_other_in_a_circle_are_a_fault() -> None:
    text = """\
[dependency-groups]
a = ["x", {include-group = "b"}]
b = [{include-group = "A"}]
"""
    assert (3, "dependency-groups.b", "the group includes itself: a -> b -> a") in faults_of(text)


def test_groups_that_double_at_each_step_stay_small() -> None:
    groups = "\n".join(
        f'g{n} = [{{include-group = "g{n + 1}"}}, {{include-group = "g{n + 1}"}}]'
        for n in range(60)
    )
    text = f'[dependency-groups]\n{groups}\ng60 = ["x"]\n[env.all]\ngroups = ["g0"]\n'
    assert read(text, environment="all").requirements == ("x",)


def test_an_absent_environment_is_a_fault_that_lists_those_there_are() -> None:
    [(_, key, message)] = faults_of(FULL, environment="dosc")
    assert key == "env"
    assert message == "no environment 'dosc'; there are: default, ci, docs; did you mean 'docs'?"


def test_a_syntax_error_names_its_line() -> None:
    [(line, _, message)] = faults_of('name = "x"\n\npython = = 1\n')
    assert line == 3
    assert message.startswith("not TOML: ")


def test_a_text_that_ends_too_early_points_at_its_last_line() -> None:
    [(line, _, _)] = faults_of('name = "x"\ndependencies = [\n  "a",\n')
    assert line == 3


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "\ufeffname = 'x'"])
def test_a_text_that_the_toml_reader_chokes_on_is_a_fault(text: str) -> None:
    [(_, _, message)] = faults_of(text)
    assert message


PYPROJECT = """\
[build-system]
requires = ["setuptools"]

[project]
name = "Some.App"
requires-python = ">=3.11"
dependencies = ["requests"]
whatever = 1

[project.optional-dependencies]
plot = ["matplotlib"]
all = ["some-app[plot]", "rich"]

[dependency-groups]
dev = ["pytest"]
unused = [{ set-phasers-to = "stun" }]

[tool.other]
x = 1

[tool.envtool]
extras = ["all"]
"""


def test_a_project_with_a_build_system_is_an_editable_part_of_its_environment() -> None:
    found = read(PYPROJECT, kind="pyproject.toml")
    assert found.requirements == ("some-app[all]", "requests", "matplotlib", "rich", "pytest")
    assert found.sources == (("some-app", PathSource(".", editable=True)),)
    assert (found.name, found.python) == ("some.app", ">=3.11")


def test_a_project_can_stay_out_of_its_environment() -> None:
    found = read(PYPROJECT + 'project = "none"\ngroups = []\n', kind="pyproject.toml")
    assert found.requirements == ("requests", "matplotlib", "rich")
    assert found.sources == ()


def test_a_project_without_a_build_system_is_not_part_of_its_environment() -> None:
    text = PYPROJECT.partition("\n\n")[2]
    assert read(text, kind="pyproject.toml").sources == ()


def test_envtool_python_goes_before_requires_python() -> None:
    found = read(PYPROJECT + 'python = "3.12"\n', kind="pyproject.toml")
    assert found.python == "==3.12.*"


def test_faults_of_a_pyproject_are_those_of_our_own_table() -> None:
    text = PYPROJECT + 'grops = ["dev"]\ndependencies = []\nproject = "maybe"\ngroups = ["dve"]\n'
    found = faults_of(text, kind="pyproject.toml")
    assert [key for _, key, _ in found] == [
        "tool.envtool.grops",
        "tool.envtool.dependencies",
        "tool.envtool.project",
        "tool.envtool.groups",
    ]
    assert [line for line, _, _ in found] == [23, 24, 25, 26]
    assert "[project] dependencies" in found[1][2]


def test_a_bare_requires_python_is_a_fault_that_says_what_to_write() -> None:
    [(line, key, message)] = faults_of(
        '[project]\nname = "x"\nrequires-python = "3.11"\n', kind="pyproject.toml"
    )
    assert (line, key) == (3, "project.requires-python")
    assert "'==3.11.*'" in message


@UNHURRIED
@given(st.text(), st.sampled_from(get_args(Kind)))
def test_any_text_is_a_declaration_or_a_declaration_error(text: str, kind: Kind) -> None:
    try:
        found = parse(text, path="/p/f", kind=kind)
    except DeclarationError as error:
        faults = error.faults
    else:
        faults = ()
        assert found.kind == kind
    assert all(fault.message for fault in faults)


@UNHURRIED
@given(TABLES, st.sampled_from(["envtool.toml", "pyproject.toml"]))
def test_any_tables_are_a_declaration_or_faults_with_lines(
    tables: dict[str, object], kind: Kind
) -> None:
    text = "".join(f"{key} = {as_toml(value)}\n" for key, value in tables.items())
    try:
        found = parse(text, path="/p/f", kind=kind)
    except DeclarationError as error:
        faults = error.faults
    else:
        faults = ()
        assert lock_digest(found)
    assert all(fault.line for fault in faults)
