"""Objects that somebody deleted by hand: told, never replaced by the host's, realised again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def lose(place: Any, index: Any, make_wheel: Any, envtool: Any) -> Callable[[str], None]:
    """Make a generation with `beta`; returned is what deletes the objects of a pattern."""
    index.add(make_wheel("beta", "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    assert envtool("add", "beta").returncode == 0

    def delete(pattern: str) -> None:
        found = list(Path(place.root, "store").glob(pattern))
        assert found
        for path in found:
            for folder in (path, *path.rglob("*/")):
                folder.chmod(0o755)
            shutil.rmtree(path)

    return delete


@pytest.mark.parametrize("pattern", ["../store", "*-beta-1.0", "*-demo-env", "*-demo-generation"])
def test_switch_realises_again_what_was_deleted(
    pattern: str, lose: Callable[[str], None], envtool: Any
) -> None:
    lose(pattern)
    ended = envtool("switch")
    assert ended.returncode == 0, ended.stderr
    assert "generation 1 of demo" in ended.stdout
    assert envtool("run", "python", "-c", "import beta; print(beta.VERSION)").stdout == "1.0\n"


@pytest.mark.parametrize("pattern", ["../store", "*-demo-env", "*-demo-generation"])
def test_run_never_takes_the_programs_of_the_host_instead(
    pattern: str, lose: Callable[[str], None], envtool: Any
) -> None:
    lose(pattern)
    ended = envtool("run", "python", "-c", "print('host')")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith("envtool switch\n")


def test_python_removed_from_the_host_is_told_and_not_replaced_in_silence(
    lose: Callable[[str], None], envtool: Any
) -> None:
    lose("*-host")
    ended = envtool("run", "python3", "-c", "print('host')")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: generation 1 cannot be entered: ")
    assert envtool("switch").returncode == 0
    assert envtool("run", "python3", "-c", "import beta").returncode == 0


def test_dry_run_says_what_would_be_realised_again(
    lose: Callable[[str], None], envtool: Any
) -> None:
    lose("*-beta-1.0")
    assert "beta-1.0-py3-none-any.whl" in envtool("switch", "--dry-run").stdout


def test_generations_tells_which_one_is_lost_and_lists_the_others(
    lose: Callable[[str], None], envtool: Any
) -> None:
    lose("*-demo-generation")
    assert envtool("remove", "beta").returncode == 0
    ended = envtool("generations")
    assert ended.returncode == 0
    assert "generation 1 is lost" in ended.stderr
    assert ended.stdout.startswith("*  2  ")
