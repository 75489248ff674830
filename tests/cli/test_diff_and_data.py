"""`upgrade`, `declare`, `diff`, and `fetch`, against an index on loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]


@pytest.fixture
def offering(place: Any, index: Any, make_wheel: Any) -> Any:
    """Offer alpha and gamma; the project declares alpha."""
    index.add(make_wheel("alpha", "1.0"))
    index.add(make_wheel("gamma", "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    (place.project / "envtool.toml").write_text('dependencies = ["alpha"]\n')
    return index


def answer(envtool: Any, *words: str) -> Any:
    ended = envtool(*words, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def declare(place: Any, text: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, *words, "declare"],
        cwd=place.project,
        env=place.environ,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def test_upgrade_takes_what_is_newer_and_diff_says_so(
    envtool: Any, offering: Any, make_wheel: Any
) -> None:
    envtool("switch")
    offering.add(make_wheel("alpha", "2.0"))
    assert envtool("switch").stdout.startswith("nothing to do; ")
    assert "alpha  1.0 -> 2.0" in envtool("upgrade", "alpha").stdout
    assert envtool("diff").stdout.startswith("generation 1 to 2: ~1, ")
    found = answer(envtool, "diff", "2", "1")
    assert (found["before"], found["after"]) == (2, 1)
    assert found["changes"]["changed"][0]["after"]["version"] == "1.0"


def test_an_upgrade_that_fails_leaves_the_lock(
    envtool: Any, offering: Any, make_wheel: Any, place: Any
) -> None:
    envtool("switch")
    lock = (place.project / "pylock.toml").read_text()
    offering.add(make_wheel("alpha", "2.0", tamper="record-hash"))
    assert envtool("upgrade").returncode == 1
    assert (place.project / "pylock.toml").read_text() == lock


def test_diff_names_a_generation_that_is_not_there(envtool: Any, offering: Any) -> None:
    missing = envtool("diff")
    assert (missing.returncode, missing.stderr) == (
        1,
        "error: there is no generation yet\nhint: envtool switch\n",
    )
    envtool("switch")
    assert envtool("diff").stdout == "generation 1 has none before it to compare it with\n"
    assert envtool("diff", "1").stdout.startswith("generation 1 to 1: =, ")
    assert envtool("diff", "1", "5").stderr.startswith("error: there is no generation 5\n")


def test_declare_replaces_the_declaration_and_switches(offering: Any, place: Any) -> None:
    done = declare(place, 'dependencies = ["gamma"]  # that alone\n')
    assert done.returncode == 0, done.stderr
    assert "+  gamma" in done.stdout
    text = (place.project / "envtool.toml").read_text()
    assert text == 'dependencies = ["gamma"]  # that alone\n'


def test_declare_takes_a_block_for_a_scripts_own(offering: Any, place: Any) -> None:
    script = place.project / "plot.py"
    script.write_text('#!/usr/bin/python3\n# /// script\n# dependencies = []\n# ///\nprint("x")\n')
    block = '# /// script\n# dependencies = ["gamma"]\n# ///\n'
    assert declare(place, block, "-f", "plot.py").returncode == 0
    assert script.read_text() == f'#!/usr/bin/python3\n{block}print("x")\n'


def test_a_declaration_that_fails_changes_nothing(offering: Any, place: Any) -> None:
    before = (place.project / "envtool.toml").read_text()
    for wrong in ("dependencies = [", "dependencies = 1", 'dependencies = ["nobody"]'):
        assert declare(place, wrong).returncode == 1
    assert (place.project / "envtool.toml").read_text() == before


def test_a_pyproject_is_not_replaced(offering: Any, place: Any) -> None:
    (place.project / "envtool.toml").unlink()
    (place.project / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    refused = declare(place, "dependencies = []\n")
    assert "more than a declaration" in refused.stderr
    assert refused.stderr.endswith("hint: envtool add NAME\n")


def test_going_forward_again_makes_nothing_and_switches(envtool: Any, offering: Any) -> None:
    def switched() -> tuple[bool, bool]:
        found = answer(envtool, "switch")
        return found["made"], found["switched"]

    assert switched() == (True, True)
    assert switched() == (False, False)
    envtool("add", "gamma")
    envtool("rollback")
    assert switched() == (False, True)


@pytest.mark.parametrize("words", [[], ["sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="]])
def test_data_that_are_not_there_are_no_matter_of_a_lock(
    words: list[str], envtool: Any, offering: Any
) -> None:
    done = envtool("fetch", f"{offering.url}/nothing.csv", *words)
    assert done.returncode == 1
    assert "the server answered 404" in done.stderr
    assert done.stderr.endswith("hint: see in a browser whether the address is right\n")


def test_fetched_data_stay_until_their_project_is_gone(
    envtool: Any, offering: Any, place: Any, tmp_path: Path
) -> None:
    data = tmp_path / "lake.csv"
    data.write_text("depth\n31\n")
    learnt = answer(envtool, "fetch", data.as_uri())
    data.unlink()
    again = envtool("fetch", data.as_uri(), learnt["hash"])
    assert again.stdout == f"{learnt['physical']}\n"
    assert learnt["declaration"] == str(place.project / "envtool.toml")
    envtool("gc")
    assert Path(learnt["physical"]).read_text() == "depth\n31\n"
    (place.project / "envtool.toml").unlink()
    envtool("gc", "--gone")
    assert not os.path.lexists(learnt["physical"])


def test_data_that_are_others_are_refused(envtool: Any, offering: Any, tmp_path: Path) -> None:
    data = tmp_path / "lake.csv"
    data.write_text("depth\n31\n")
    learnt = answer(envtool, "fetch", data.as_uri())
    data.write_text("depth\n32\n")
    (tmp_path / "other.csv").write_text("depth\n32\n")
    refused = envtool("fetch", (tmp_path / "other.csv").as_uri(), learnt["hash"])
    assert "is not what was promised" in refused.stderr
    assert f"hint: to see what is there now: envtool fetch file://{tmp_path}" in refused.stderr
    nonsense = envtool("fetch", data.as_uri(), "sha256-nonsense")
    assert "hint: to learn the hash: envtool fetch" in nonsense.stderr


def test_without_a_project_nothing_keeps_data_and_that_is_said(
    envtool: Any, tmp_path: Path
) -> None:
    (tmp_path / "lake.csv").write_text("depth\n31\n")
    (tmp_path / "empty").mkdir()
    done = envtool("fetch", (tmp_path / "lake.csv").as_uri(), cwd=tmp_path / "empty")
    assert done.returncode == 0
    assert "no project keeps it" in done.stderr
