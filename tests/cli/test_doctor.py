"""`doctor`: what it finds on machines where something is missing."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def examine(envtool: Any, place: Any, index: Any, make_wheel: Any) -> Any:
    """Return what doctor says by subject, with an index on loopback and no mirror of Debian."""
    index.add(make_wheel("pip", "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url, "SHELL": "/bin/bash"}

    def examine(*words: str, well: bool, **environ: str) -> dict[str, Any]:
        ended = envtool("doctor", "--json", *words, environ=environ)
        assert ended.returncode == (0 if well else 1), ended.stdout + ended.stderr
        told = json.loads(ended.stdout)
        assert told["well"] is well
        return {each["subject"]: each for each in told["findings"]}

    return examine


def test_a_machine_with_everything_is_well(examine: Any, envtool: Any, place: Any) -> None:
    found = examine(well=True)
    for subject in ("root", "disk space", "file system", "clock", "locale", "shells", "index"):
        assert found[subject]["level"] == "ok", found[subject]
    assert found["store"]["text"].startswith("none yet")
    assert not place.root.exists(), "looking changes nothing"
    lines = envtool("doctor").stdout.splitlines()
    assert lines[0] == f"ok       root: {place.root}, which is made at first use"


def test_a_store_is_counted_and_a_damaged_database_is_an_error(
    examine: Any, envtool: Any, place: Any
) -> None:
    assert envtool("switch").returncode == 0
    assert examine(well=True)["store"]["text"].endswith("GB")
    database = place.root / "var/db/db.sqlite"
    database.write_bytes(b"not a database" * 100)
    found = examine(well=False)["store"]
    assert found["level"] == "error"
    assert "store verify" in found["remedy"]


def test_generations_of_a_project_that_is_gone(examine: Any, envtool: Any, place: Any) -> None:
    assert envtool("switch").returncode == 0
    shutil.rmtree(place.project)
    place.project.mkdir()
    found = examine(well=True)["roots"]
    assert str(place.project / "envtool.toml") in found["text"]
    assert found["remedy"] == "envtool gc --gone"


def test_an_index_that_is_missing_or_silent(examine: Any, index: Any) -> None:
    found = examine(well=False, ENVTOOL_INDEX_URL=f"{index.url}nowhere/")["index"]
    assert found["text"].endswith("answers 404")
    found = examine(well=False, ENVTOOL_INDEX_URL="http://user:secret@127.0.0.1:9/simple")["index"]
    assert "does not answer" in found["text"]
    assert "secret" not in found["text"]
    assert "--offline" in found["remedy"]


def test_offline_asks_nobody(examine: Any, index: Any) -> None:
    found = examine("--offline", well=True)
    assert found["network"]["level"] == "note"
    assert index.paths() == []


@pytest.mark.parametrize("root", ["/proc/nothing", "/dev/null/root"])
def test_a_root_that_cannot_be(examine: Any, root: str) -> None:
    found = examine(well=False, ENVTOOL_ROOT=root)
    assert any(
        each["level"] == "error" and "ENVTOOL_ROOT" in (each["remedy"] or "")
        for each in found.values()
    )


def test_names_that_are_not_utf_8(examine: Any) -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    found = examine(well=False, **plain)["locale"]
    assert found["level"] == "error"
    assert found["remedy"] == "export LC_ALL=C.UTF-8"


def test_a_path_that_depends_on_where_one_stands(examine: Any) -> None:
    found = examine(well=True, PATH="/usr/bin:bin::/bin")["PATH"]
    assert found["level"] == "warning"
    assert "bin, (empty)" in found["text"]


def test_programs_before_those_of_the_environment(examine: Any, tmp_path: Path) -> None:
    environ = {"ENVTOOL_ENVIRONMENT": str(tmp_path), "PATH": f"/usr/bin:{tmp_path}/bin:/bin"}
    found = examine(well=True, **environ)["PATH"]
    assert "/usr/bin comes before" in found["text"]


def test_a_shell_that_cannot_be_led(examine: Any) -> None:
    found = examine(well=True, SHELL="/bin/tcsh")["shells"]
    assert found["level"] == "note"
    assert "tcsh" in found["text"]
