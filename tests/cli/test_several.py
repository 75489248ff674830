"""Several environments in one declaration, found from a folder below it."""

import json
import os
from typing import Any

import pytest

DECLARED = """\
name = "demo"
dependencies = ["alpha"]

[dependency-groups]
docs = ["beta"]
test = [{include-group = "docs"}, "gamma"]

[env.docs]
groups = ["docs"]

[env.test]
groups = ["test"]
base = false
"""
HELD = {"default": ["alpha"], "docs": ["alpha", "beta"], "test": ["beta", "gamma"]}


@pytest.fixture
def several(place: Any, index: Any, make_wheel: Any) -> Any:
    """Declare three environments of packages that are on an index."""
    for name in ("alpha", "beta", "gamma", "delta"):
        index.add(make_wheel(name, "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    (place.project / "envtool.toml").write_text(DECLARED)
    (place.project / "deep/er").mkdir(parents=True)
    return place


def held(envtool: Any, environment: str) -> list[str]:
    told = json.loads(envtool("-e", environment, "tree", "--json").stdout)
    return [each["name"] for each in told["packages"]]


def test_each_has_its_own_lock_generations_and_packages(several: Any, envtool: Any) -> None:
    for environment, names in HELD.items():
        assert envtool("-e", environment, "switch").returncode == 0
        assert held(envtool, environment) == names
        said = envtool("-e", environment, "run", "printenv", "ENVTOOL_ENVIRONMENT").stdout
        assert said.count("\n") == 1
    locks = sorted(name for name in os.listdir(several.project) if name.startswith("pylock"))
    assert locks == ["pylock.docs.toml", "pylock.test.toml", "pylock.toml"]
    assert envtool("-e", "test", "add", "delta").returncode == 0
    numbers = json.loads(envtool("-e", "test", "generations", "--json").stdout)["generations"]
    assert [each["number"] for each in numbers] == [1, 2]
    assert held(envtool, "docs") == HELD["docs"]
    text = (several.project / "envtool.toml").read_text()
    assert 'test = [{include-group = "docs"}, "gamma", "delta"]' in text
    shell = envtool("-e", "docs", "shell", "--shell", "bash", "--run", "echo $ENVTOOL_SHELL")
    assert shell.stdout == "demo.docs\n"


def test_what_is_found_further_up_is_said(several: Any, envtool: Any, spawn: Any) -> None:
    below = several.project / "deep/er"
    ended = envtool("switch", cwd=below)
    assert ended.returncode == 0
    assert "using ../../envtool.toml\n" in ended.stderr
    assert envtool("run", "true", cwd=below).stderr == ""
    child = spawn("-C", str(below), "shell", "--shell", "bash")
    child.expect_exact("using ../../envtool.toml")
    child.expect_exact("(demo) ")


@pytest.mark.parametrize("command", ["switch", "generations", "lock", "shell", "run true"])
def test_an_environment_that_is_not_there_is_told(command: str, several: Any, envtool: Any) -> None:
    ended = envtool("-e", "dosc", *command.split())
    assert ended.returncode == 1
    assert "switching" not in ended.stderr
    assert "no environment 'dosc'; there are: default, docs, test" in ended.stderr
    assert "did you mean 'docs'?" in ended.stderr


def test_a_switch_of_one_leaves_the_others_where_they_are(several: Any, envtool: Any) -> None:
    for environment in HELD:
        assert envtool("-e", environment, "switch").returncode == 0
    assert envtool("-e", "docs", "remove", "beta").returncode == 0
    assert held(envtool, "docs") == ["alpha"]
    assert held(envtool, "test") == HELD["test"]
    note = envtool("-e", "test", "run", "true").stderr
    assert "envtool.toml has changed since generation 1: `envtool -e test switch`" in note
    assert envtool("-e", "docs", "rollback").returncode == 0
    assert held(envtool, "docs") == HELD["docs"]
