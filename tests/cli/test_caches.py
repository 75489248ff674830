"""The cache as users meet it: tidied by `gc`, and missed by nobody when it is gone."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Place, Run
    from fixtures.index import Index
    from fixtures.wheels import MakeWheel

TIDY = """
import sys, time
from envtool.machine.collecting.caches import IDLE, drop
from envtool.machine.settings import load
from envtool.machine.store import Store
with Store(load({"ENVTOOL_ROOT": sys.argv[1], "HOME": "/"})) as store:
    print("begun", flush=True)
    while True:
        drop(store, time.time() + 2 * IDLE)
"""
"""Deletes all that ever may go, again and again."""


@pytest.fixture
def switched(place: "Place", index: "Index", make_wheel: "MakeWheel", envtool: "Run") -> "Run":
    """Switch to an environment with alpha, after one with alpha and beta."""
    for name in ("alpha", "beta"):
        index.add(make_wheel(name))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    for words in (["add", "alpha", "beta"], ["remove", "beta"]):
        ended = envtool(*words)
        assert ended.returncode == 0, ended.stderr
    return envtool


def test_what_is_known_of_an_environment_goes_with_it(switched: "Run", place: "Place") -> None:
    def kept() -> set[str]:
        files = (place.root / "cache").rglob("*.json")
        return {str(each) for each in files if each.parts[-2] != "cache"}

    before = kept()
    planned = json.loads(switched("gc", "-d", "--dry-run", "--json").stdout)
    assert kept() == before
    done = json.loads(switched("gc", "-d", "--json").stdout)
    assert done["caches"] == planned["caches"]
    assert done["freed"] == planned["freed"]
    gone = {each["path"] for each in done["caches"]}
    assert (len(gone), kept()) == (2, before - gone)
    assert any("/beta-1.0.json" in each for each in gone)
    assert switched("add", "beta").returncode == 0
    assert json.loads(switched("gc", "--json").stdout)["caches"] == []


def test_a_cache_that_is_gone_is_made_again(switched: "Run", place: "Place") -> None:
    shutil.rmtree(place.root / "cache")
    for words in (["switch"], ["run", "python", "-c", "import alpha"], ["add", "beta"]):
        ended = switched(*words)
        assert (words, ended.returncode) == (words, 0), ended.stderr


def test_a_cache_that_goes_under_ones_hands_costs_time_alone(
    switched: "Run", place: "Place"
) -> None:
    other = place.home / "other"
    other.mkdir()
    shutil.copy(place.project / "envtool.toml", other)
    script = [sys.executable, "-c", TIDY, str(place.root)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tidying:
        assert tidying.stdout is not None
        assert tidying.stdout.readline() == b"begun\n"
        words = [["add", "beta"], ["run", "true"], ["remove", "beta"], ["outdated"]] * 3
        with ThreadPoolExecutor(2) as pool:
            both = [
                pool.submit(lambda folder: [switched(*each, cwd=folder) for each in words], folder)
                for folder in (place.project, other)
            ]
            ended = [each for future in both for each in future.result()]
        assert tidying.poll() is None, tidying.stderr
        tidying.kill()
    assert {each.returncode for each in ended} == {0}, [each.stderr for each in ended]
