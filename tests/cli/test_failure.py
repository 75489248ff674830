"""Errors are a line and a hint; a bug leaves a log, never a traceback."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]
SABOTAGE = """\
import os, signal, sys
import envtool.cli.parser
def broken(*_):
    {}
envtool.cli.parser.make_parser = broken
from envtool.cli import main
sys.exit(main())
"""


def sabotaged(place: Any, deed: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SABOTAGE.format(deed), *words],
        cwd=place.project,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_bug_is_one_line_and_a_log(place: Any) -> None:
    ended = sabotaged(place, "raise RuntimeError('two\\nlines')", "tree")
    assert (ended.returncode, ended.stdout) == (70, "")
    line = re.fullmatch(
        r"error: this is a bug in envtool \(RuntimeError: two\); the traceback is in (.*)\n",
        ended.stderr,
    )
    assert line is not None
    log = Path(line[1])
    assert log.parent == place.root / "var/log"
    assert "Traceback (most recent call last)" in log.read_text()
    assert "arguments: ['tree']" in log.read_text()


def test_a_bug_without_a_root_to_write_to_is_logged_elsewhere(place: Any, tmp_path: Path) -> None:
    place.environ |= {"ENVTOOL_ROOT": "/proc/nowhere", "TMPDIR": str(tmp_path)}
    ended = sabotaged(place, "raise RuntimeError('x')", "tree")
    assert ended.returncode == 70
    assert len(list(tmp_path.glob("bug-*.log"))) == 1


def test_a_bug_is_json_when_asked(place: Any) -> None:
    ended = sabotaged(place, "raise KeyError('x')", "tree", "--json")
    assert ended.returncode == 70
    assert json.loads(ended.stdout)["error"]["kind"] == "bug"


def test_an_interrupt_is_one_line_and_130(place: Any) -> None:
    ended = sabotaged(place, "os.kill(os.getpid(), signal.SIGINT)", "tree")
    assert ended.returncode == 130
    assert ended.stderr == "\ninterrupted; everything done is valid\n"


def test_a_reader_who_leaves_is_met_with_silence(make_generation: Any, place: Any) -> None:
    make_generation(packages={"*a==1": ()})
    for words in (["tree"], ["generations", "--json"], [], ["tree", "--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        ended = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; from envtool.cli import main; sys.exit(main())",
                *words,
            ],
            cwd=place.project,
            env=place.environ,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writing)
        assert (words, ended.returncode, ended.stderr) == (words, 141, b"")


def test_every_fault_of_a_declaration_is_told(envtool: Any, place: Any) -> None:
    path = place.project / "envtool.toml"
    path.write_text('dependences = []\npython = 3\ndependencies = ["a b"]\n')
    ended = envtool("lock")
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if str(path) in line][:3] != []
    faults = json.loads(envtool("lock", "--json").stdout)["error"]["faults"]
    assert {fault["line"] for fault in faults} == {1, 2, 3}
    assert {fault["file"] for fault in faults} == {str(path)}


def test_an_error_of_ours_is_json_when_asked(envtool: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = envtool("tree", "--json", cwd=tmp_path / "empty")
    error = json.loads(ended.stdout)["error"]
    assert (ended.returncode, ended.stderr) == (1, "")
    assert (error["kind"], error["hint"]) == ("declaration", "envtool init")


@pytest.mark.parametrize("words", [["tree"], ["run", "true"], ["-q", "run", "true"], ["init"]])
def test_a_deleted_working_directory_is_no_bug(words: list[str], envtool: Any, place: Any) -> None:
    gone = place.project / "gone"
    gone.mkdir()
    ended = envtool(*words, cwd=gone, before=gone.rmdir)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: the working directory cannot be used")


def test_a_wrong_setting_is_no_bug(envtool: Any) -> None:
    ended = envtool("tree", environ={"ENVTOOL_ROOT": "relative"})
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")


def test_errors_are_red_only_where_asked(envtool: Any) -> None:
    assert envtool("swich", "--color", "always").stderr.startswith("\033[31merror:\033[0m ")
    assert "\033" not in envtool("swich").stderr


def test_an_undecodable_word_is_shown(envtool: Any) -> None:
    ended = envtool(os.fsdecode(b"caf\xe9"))
    assert ended.returncode == 2
    assert "caf\\xe9" in ended.stderr


@pytest.mark.parametrize("words", [["generations"], ["generations", "--json"], ["tree", "--json"]])
def test_output_that_cannot_be_written_is_said_in_one_line(words: list[str], place: Any) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*PROGRAM, *words],
            cwd=place.project,
            env=place.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    line = "error: the output cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, line)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(closed: str, envtool: Any, place: Any) -> None:
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *PROGRAM, "switch"]
    ended = subprocess.run(
        shell, cwd=place.project, env=place.environ, capture_output=True, check=False
    )
    assert ended.returncode == 0
    assert envtool("run", "python", "-c", "print('whole')").stdout == "whole\n"
