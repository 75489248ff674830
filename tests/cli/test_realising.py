"""`build` and `switch` without further words go past argparse, and do the same."""

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.conftest import Place

THROUGH = """\
import sys
from envtool.cli.options import leading
from envtool.cli.parser import perform
from envtool.cli.terminal import Terminal
sys.exit(perform(sys.argv[1:], Terminal(leading(sys.argv[1:])[0])))
"""


def started(place: "Place", code: str, words: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=place.project,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [["build"], ["--json", "build"], ["switch"], ["switch", "-q"]])
def test_both_ways_say_the_same(words: list[str], place: Any, envtool: Any) -> None:
    (place.project / "envtool.toml").write_text('name = "demo"\n')
    assert envtool("switch").returncode == 0
    past, through = envtool(*words), started(place, THROUGH, words)
    assert (past.returncode, past.stdout) == (0, through.stdout)
    assert past.stdout


def test_what_is_wrong_with_further_words_is_still_told(envtool: Any, place: Any) -> None:
    (place.project / "envtool.toml").write_text('name = "demo"\n')
    ended = envtool("build", "--unknown")
    assert ended.returncode == 2
    assert "--unknown" in ended.stderr


def test_no_parser_and_no_openssl_are_loaded(place: Any, envtool: Any) -> None:
    (place.project / "envtool.toml").write_text('name = "demo"\n')
    assert envtool("build").returncode == 0
    (place.project / "envtool.toml").write_text('name = "demo-again"\n')
    code = (
        "import sys, os, envtool.cli;"
        "os._exit = lambda code: print({'argparse', '_hashlib'} & set(sys.modules));"
        "envtool.cli.main()"
    )
    assert started(place, code, ["-q", "build"]).stdout.splitlines()[-1] == "set()"


def test_a_directory_is_gone_to_first(envtool: Any, place: Any) -> None:
    (place.project / "envtool.toml").write_text('name = "demo"\n')
    ended = envtool("-C", str(place.project), "build", "--json", cwd=place.root.parent)
    assert json.loads(ended.stdout)["path"].startswith("/envtool/store/")
