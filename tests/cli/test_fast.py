"""The fast lane does what the thorough way does, or steps aside."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envtool.cli import fast
from envtool.formats import entry

BECOME = """\
import json, os, sys
def become(path, words, environ):
    loaded = sorted({*sys.modules} - before)
    print(json.dumps({"path": path, "words": words, "environ": environ, "modules": loaded}))
    sys.stdout.flush()
    os._exit(0)
before = {*sys.modules}
os.execve = become
os.environ.update(json.loads(os.environ.pop("HOST")))
from envtool.cli import main
sys.exit(main())
"""

NAMES = st.sampled_from(
    [
        "PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONFOO",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "GREETING",
        "ENVTOOL_PROJECT",
        "LANG",
        "MY_PYTHON",
        "BASH_FUNC_ml%%",
    ]
)
VALUES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)


def become(words: list[str], place: Any, environ: dict[str, str] | None = None) -> dict[str, Any]:
    """Return what a process would have become."""
    done = subprocess.run(
        [sys.executable, "-c", BECOME, *words],
        cwd=place.project,
        env={**place.environ, "HOST": json.dumps(environ or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_both_ways_become_the_same(make_generation: Any, place: Any) -> None:
    make_generation()

    @settings(max_examples=15, deadline=None)
    @given(environ=st.dictionaries(NAMES, VALUES))
    def check(environ: dict[str, str]) -> None:
        quick = become(["run", "hello", "a b"], place, environ)
        thorough = become(["-e", "default", "run", "hello", "a b"], place, environ)
        assert "envtool.workspace.entering" not in quick.pop("modules")
        assert "envtool.workspace.entering" in thorough.pop("modules")
        assert quick == thorough

    check()


def test_it_loads_nothing_of_ours_but_itself(make_generation: Any, place: Any) -> None:
    make_generation()
    loaded = become(["run", "hello"], place)["modules"]
    ours = {name for name in loaded if name.startswith("envtool")}
    assert ours == {
        "envtool",
        "envtool.cli",
        "envtool.cli.fast",
        "envtool.formats",
        "envtool.formats.entry",
        "envtool.formats.plain_json",
        "envtool.signals",
    }
    assert not {"typing", "dataclasses", "pathlib", "hashlib", "subprocess"} & set(loaded)


@pytest.mark.parametrize(
    "words",
    [[], ["run"], ["switch"], ["run", "--help"], ["run", "script.py"], ["-q", "run", "hello"]],
)
def test_it_steps_aside_for_what_is_not_plain(
    make_generation: Any, place: Any, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_generation()
    monkeypatch.setenv("ENVTOOL_ROOT", str(place.root))
    monkeypatch.chdir(place.project)
    fast.enter(words)
    assert Path.cwd() == place.project


def test_it_steps_aside_when_the_declaration_changed(
    make_generation: Any, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_generation()
    with (place.project / "envtool.toml").open("a") as file:
        file.write("# one more comment\n")
    monkeypatch.setenv("ENVTOOL_ROOT", str(place.root))
    monkeypatch.chdir(place.project)
    fast.enter(["run", "hello"])
    assert "envtool.workspace.entering" in become(["run", "hello"], place)["modules"]


def test_it_steps_aside_when_the_record_is_damaged(
    make_generation: Any, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_generation()
    (record,) = place.root.glob("store/*-generation/generation.json")
    os.chmod(record, 0o644)
    record.write_text("{")
    monkeypatch.setenv("ENVTOOL_ROOT", str(place.root))
    monkeypatch.chdir(place.project)
    fast.enter(["run", "hello"])
    assert record.read_text() == "{"


def test_the_variables_are_the_ones_that_every_way_sets() -> None:
    found = entry.assigned("/e", "3", "/p", {"A": "b"})
    assert found == {
        "A": "b",
        "PYTHONPATH": "/e/lib/envtool",
        "ENVTOOL_ENVIRONMENT": "/e",
        "ENVTOOL_GENERATION": "3",
        "ENVTOOL_PROJECT": "/p",
    }
