"""Generations: what they are in use by, going between them, bringing files back, deleting them."""

import json
import os
import subprocess
import time
from typing import Any

import pexpect
import pytest

CHANGED = 'name = "demo"\ndependencies = []\n\n[vars]\nGREETING = "hallo"\n'


def told(envtool: Any, *words: str) -> Any:
    ended = envtool(*words, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def numbers(envtool: Any) -> list[int]:
    return [each["number"] for each in told(envtool, "generations")["generations"]]


@pytest.fixture
def four(make_generation: Any) -> list[str]:
    """Make four generations; return where their environments lie."""
    return [make_generation({f"program{n}": "#!/bin/sh\n"}) for n in range(4)]


def test_those_in_use_are_marked(four: list[str], envtool: Any, place: Any) -> None:
    environ = {**place.environ, "ENVTOOL_ENVIRONMENT": four[1]}
    sleeping = subprocess.Popen(["sleep", "1000"], env=environ)
    try:
        found = told(envtool, "generations")["generations"]
        lines = envtool("generations").stdout.splitlines()
    finally:
        sleeping.kill()
        sleeping.wait()
    assert [each["used_by"] for each in found] == [[], [sleeping.pid], [], []]
    assert ["in use by 1 process" in line for line in lines] == [False, True, False, False]


def test_switch_to_goes_back_and_forward(four: list[str], envtool: Any) -> None:
    assert told(envtool, "switch", "--to", "2") == {"from": 4, "to": 2, "files": []}
    assert envtool("run", "printenv", "ENVTOOL_ENVIRONMENT").stdout == f"{four[1]}\n"
    assert envtool("switch", "--to", "4").stdout.startswith("switched from generation 2 to 4\n")
    ended = envtool("switch", "--to", "9")
    assert (ended.returncode, "there are: 1, 2, 3, 4" in ended.stderr) == (1, True)
    assert envtool("switch", "--to", "2", "--test").returncode == 2


WAYS = {
    "run": ["run", "printenv", "ENVTOOL_ENVIRONMENT"],
    "shell": ["shell", "--shell", "bash", "--run", "echo $ENVTOOL_ENVIRONMENT"],
    "pure": ["run", "--pure", "python", "-c", "import os; print(os.environ['PATH'])"],
    "print-env": ["print-env", "--shell", "json"],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_profile_that_was_rolled_back_stays_there(
    way: str, make_generation: Any, envtool: Any, place: Any
) -> None:
    first = make_generation()
    (place.project / "envtool.toml").write_text(CHANGED)
    make_generation({"other": "#!/bin/sh\n"}, variables={"GREETING": "hallo"})
    envtool("rollback")
    ended = envtool(*WAYS[way])
    assert first in ended.stdout
    assert ended.stderr.count("\n") == 1
    assert "envtool.toml has changed since generation 1: `envtool switch`" in ended.stderr
    assert numbers(envtool) == [1, 2]


@pytest.mark.parametrize("way", WAYS)
def test_a_declaration_that_is_being_edited_stops_nobody(
    way: str, make_generation: Any, envtool: Any, place: Any
) -> None:
    environment = make_generation()
    with open(place.project / "envtool.toml", "a", encoding="utf-8") as file:
        file.write("[half\n")
    ended = envtool(*WAYS[way])
    assert (ended.returncode, environment in ended.stdout) == (0, True)
    assert "has changed since generation 1: `envtool switch`" in ended.stderr
    assert "not TOML" in envtool("switch").stderr


def test_files_come_back_with_the_generation(
    make_generation: Any, envtool: Any, place: Any
) -> None:
    declaration = place.project / "envtool.toml"
    before = declaration.read_text()
    make_generation()
    declaration.write_text(CHANGED)
    make_generation({"other": "#!/bin/sh\n"})
    files = [str(declaration), str(place.project / "pylock.toml")]
    assert told(envtool, "rollback", "--files") == {"from": 2, "to": 1, "files": files}
    assert declaration.read_text() == before
    assert (place.project / "pylock.toml").read_text() == "lock"
    assert envtool("run", "true").stderr == ""
    assert f"restored {declaration}" in envtool("rollback", "2", "--files").stdout
    assert declaration.read_text() == CHANGED


def test_files_that_are_in_no_generation_are_not_lost(
    make_generation: Any, envtool: Any, place: Any
) -> None:
    make_generation()
    make_generation({"other": "#!/bin/sh\n"})
    (place.project / "envtool.toml").write_text(CHANGED)
    ended = envtool("rollback", "--files")
    assert ended.returncode == 1
    assert "is in no generation, and would be lost" in ended.stderr
    assert (place.project / "envtool.toml").read_text() == CHANGED
    assert told(envtool, "generations")["generations"][1]["current"]


def test_a_scripts_block_comes_back_and_the_rest_stays(
    make_generation: Any, envtool: Any, place: Any
) -> None:
    script = place.project / "plot.py"
    block = '# /// script\n# dependencies = ["{}"]\n# ///\n'
    script.write_text(block.format("alpha"))
    workspace = place.settings_of()
    from envtool.build.generation import add_generation
    from envtool.workspace.entering import open_project

    make_generation()
    record = workspace.current(place.project_of())[1]
    project = open_project(str(place.project), file="plot.py")
    for name in ("alpha", "beta"):
        script.write_text(block.format(name) + "print(1)\n")
        record.declaration_sha256 = workspace.declaration_digest(project)
        text = f'dependencies = ["{name}"]\n'
        path = add_generation(workspace.store, record, text, name)
        workspace.profile(project).set(path)
    script.write_text(block.format("beta") + "print(2)\n")
    assert told(envtool, "-f", "plot.py", "rollback", "--files")["files"][0] == str(script)
    assert script.read_text() == block.format("alpha") + "print(2)\n"


@pytest.mark.parametrize(
    ("words", "stay"),
    [
        (["1", "3"], [2, 4]),
        (["old"], [4]),
        (["+2"], [3, 4]),
        (["30d"], [2, 3, 4]),
    ],
)
def test_generations_are_deleted_as_named(
    words: list[str], stay: list[int], four: list[str], envtool: Any, place: Any
) -> None:
    workspace, now = place.settings_of(), time.time()
    profile = workspace.profile(place.project_of())
    for number, days in ((1, 50), (2, 40), (3, 20)):
        then = now - days * 86400
        os.utime(profile.generation_link(number), (then, then), follow_symlinks=False)
    gone = sorted({1, 2, 3, 4} - set(stay))
    planned = told(envtool, "generations", "delete", *words, "--dry-run")
    assert [each["number"] for each in planned["generations"]] == gone
    assert numbers(envtool) == [1, 2, 3, 4]
    ended = envtool("generations", "delete", *words)
    assert ended.stdout.startswith("deleted generation")
    assert numbers(envtool) == stay


def test_the_current_generation_is_never_deleted(four: list[str], envtool: Any) -> None:
    envtool("rollback", "2")
    for words in (["1", "2"], ["2", "--dry-run"]):
        ended = envtool("generations", "delete", *words)
        assert ended.returncode == 1
        assert "generation 2 of default is the current one" in ended.stderr
    assert envtool("generations", "delete", "old").returncode == 0
    assert numbers(envtool) == [2]


def test_a_hole_in_the_numbers_stays_a_hole(
    four: list[str], make_generation: Any, envtool: Any
) -> None:
    envtool("generations", "delete", "2")
    make_generation({"last": "#!/bin/sh\n"})
    assert numbers(envtool) == [1, 3, 4, 5]
    envtool("switch", "--to", "3")
    assert told(envtool, "rollback")["to"] == 1


@pytest.mark.parametrize("words", [["0"], ["new"], ["+0"], ["1", "old"], ["3d4"]])
def test_what_names_no_generations_is_refused(words: list[str], envtool: Any, four: Any) -> None:
    ended = envtool("generations", "delete", *words)
    assert ended.returncode == 2
    assert "generations delete --help" in ended.stderr
    assert "expected old, +N, an age" in envtool("generations", "delete", "foo").stderr
    assert numbers(envtool) == [1, 2, 3, 4]


def test_a_difference_tells_the_size_of_both(four: list[str], envtool: Any) -> None:
    found = told(envtool, "diff", "1", "2")
    assert set(found["sizes"]) == {"before", "after"}
    assert min(found["sizes"].values()) > 0


def test_a_trial_is_entered_and_leaves_no_generation(
    place: Any, index: Any, make_wheel: Any, spawn: Any, envtool: Any
) -> None:
    index.add(make_wheel("alpha", "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    (place.project / "envtool.toml").write_text('name = "demo"\ndependencies = ["alpha"]\n')
    child = spawn("switch", "--test", environ={"SHELL": "/bin/bash"})
    child.expect_exact("(demo) ")
    code = "import alpha, os; print('has', alpha.__name__, os.environ['ENVTOOL_GENERATION'])"
    child.sendline(f'python -c "{code}"')
    child.expect_exact("has alpha test")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    assert numbers(envtool) == []
    assert os.listdir(place.project) == ["envtool.toml"]
