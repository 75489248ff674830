"""`envtool shell -p`: an environment without a declaration, there for as long as it is used."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def offering(place: Any, index: Any, make_wheel: Any) -> Any:
    """Offer alpha, which requires beta, and gamma; no declaration is anywhere."""
    (place.project / "envtool.toml").unlink()
    index.add(make_wheel("alpha", "1.0", requires=["beta"]))
    for name in ("beta", "gamma"):
        index.add(make_wheel(name, "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    return index


def names(place: Any) -> set[str]:
    return {name.split("-", 1)[1] for name in os.listdir(place.root / "store")}


def test_it_needs_no_file_and_leaves_none(offering: Any, envtool: Any, place: Any) -> None:
    line = "python -c 'import alpha, beta; print(alpha.__file__)'"
    ended = envtool("shell", "--shell", "bash", "-p", "alpha", "gamma>=1", "--run", line)
    assert ended.returncode == 0, ended.stderr
    assert f"{place.root}/store/" in ended.stdout
    assert os.listdir(place.project) == []


def test_the_same_words_find_the_same_again(offering: Any, envtool: Any) -> None:
    words = ("shell", "--shell", "bash", "--run", "echo $ENVTOOL_ENVIRONMENT")
    first = envtool(*words, "-p", "alpha", "gamma")
    again = envtool("--offline", *words, "-p", "gamma", "-p", "alpha")
    assert again.stdout == first.stdout != ""
    assert again.stderr == ""


def test_a_collector_takes_it_and_it_comes_back(offering: Any, envtool: Any, place: Any) -> None:
    words = ("shell", "--shell", "bash", "-p", "gamma", "--run", "python -c 'import gamma'")
    assert envtool(*words).returncode == 0
    assert "gamma-env" in names(place)
    assert envtool("gc").returncode == 0
    assert names(place).isdisjoint({"gamma-env", "gamma-1.0"})
    assert envtool(*words).returncode == 0


def test_no_collector_takes_it_while_it_is_used(
    offering: Any, envtool: Any, place: Any, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    line = f"read line < {fifo}; python -c 'import gamma; print(gamma.__name__)'"
    ended = []
    words = ("shell", "--shell", "bash", "-p", "gamma", "--run", line)
    thread = threading.Thread(target=lambda: ended.append(envtool(*words)))
    thread.start()
    with open(fifo, "w", encoding="ascii") as stream:
        assert envtool("gc").returncode == 0
        stream.write("go on\n")
    thread.join()
    assert ended[0].stdout == "gamma\n", ended[0].stderr


def test_what_is_no_requirement_is_told_by_its_option(envtool: Any) -> None:
    ended = envtool("shell", "-p", "six 3,,", "--json")
    assert ended.returncode == 1
    faults = json.loads(ended.stdout)["error"]["faults"]
    assert [(fault["file"], fault["key"]) for fault in faults] == [("-p", "dependencies")]


def test_a_generation_of_what_has_none_is_refused(envtool: Any) -> None:
    ended = envtool("shell", "-p", "six", "--generation", "2")
    assert (ended.returncode, "do not go together" in ended.stderr) == (2, True)
