"""`envtool run` becomes the command, and imports next to nothing on the way."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

HEAVY = {
    "argparse",
    "concurrent.futures",
    "email",
    "http",
    "importlib.metadata",
    "logging",
    "packaging",
    "platformdirs",
    "rich",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "tomlkit",
    "tomllib",
    "urllib.request",
    "zipfile",
}
"""Modules that entering a realised environment has no use for."""

IMPORTS = """\
import sys
before = set(sys.modules)
import json, os
def become(path, words, environ):
    print(json.dumps(sorted(set(sys.modules) - before)))
    sys.stdout.flush()
    os._exit(0)
os.execve = become
from envtool.cli import main
main()
"""


@pytest.mark.parametrize("words", [["run", "hello"], ["-q", "run", "hello"]])
def test_the_thorough_way_imports_nothing_heavy(
    words: list[str], make_generation: Any, place: Any
) -> None:
    make_generation(packages={"*a==1": ("b",), "b==2": ()})
    output = subprocess.run(
        [sys.executable, "-c", IMPORTS, *words],
        cwd=place.project,
        env=place.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(json.loads(output.stdout))
    assert "envtool.cli" in imported
    assert not imported & HEAVY
    assert not {name for name in imported if name.startswith(("envtool.plan", "envtool.build"))}


def test_run_gives_the_command_its_words_and_the_environment(
    envtool: Any, make_generation: Any
) -> None:
    environment = make_generation({"words": '#!/bin/sh\nprintf "%s|" "$@" "$GREETING" "$PATH"\n'})
    ended = envtool("run", "words", "-q", "--json", "--", "", "a b")
    path = f"{environment}/bin:/usr/local/bin:/usr/bin:/bin"
    assert ended.stdout == f"-q|--json|--||a b|hei|{path}|"
    assert (ended.returncode, ended.stderr) == (0, "")


def test_run_drops_the_hosts_python_variables(envtool: Any, make_generation: Any) -> None:
    environment = make_generation()
    host = {"PYTHONHASHSEED": "1", "PYTHONWARNINGS": "ignore", "VIRTUAL_ENV": "/v"}
    lines = envtool("run", "env", environ=host).stdout.splitlines()
    assert [line for line in lines if line.startswith(("PYTHON", "VIRTUAL_ENV"))] == [
        f"PYTHONPATH={environment}/lib/envtool"
    ]


def test_run_ends_as_the_command_ends(envtool: Any, make_generation: Any) -> None:
    make_generation()
    assert envtool("run", "sh", "-c", "exit 7").returncode == 7
    assert envtool("run", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


def test_run_leaves_no_signal_ignored(envtool: Any, make_generation: Any) -> None:
    make_generation()
    status = envtool("run", "cat", "/proc/self/status").stdout
    [ignored] = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")]
    assert int(ignored, 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0


def test_run_takes_options_before_and_behind_itself(
    envtool: Any, make_generation: Any, place: Any, tmp_path: Path
) -> None:
    make_generation()
    for words in (
        ["-C", str(place.project), "run", "hello"],
        [f"--directory={place.project}", "-q", "run", "hello"],
        ["run", "-f", str(place.project / "envtool.toml"), "--", "hello"],
        ["run", f"-C{place.project}", "--env", "default", "hello"],
    ):
        assert envtool(*words, cwd=tmp_path).stdout == "hello\n"


def test_run_starts_the_command_in_the_directory_of_c(
    envtool: Any, make_generation: Any, place: Any, tmp_path: Path
) -> None:
    make_generation()
    ended = envtool("-C", str(place.project), "run", "sh", "-c", 'echo "$PWD"', cwd=tmp_path)
    assert ended.stdout.strip() == str(place.project)


def test_an_unknown_command_is_127_and_names_the_way_in(envtool: Any, make_generation: Any) -> None:
    make_generation()
    ended = envtool("run", "balck", "x.py")
    assert ended.returncode == 127
    assert ended.stderr == (
        "error: there is no command balck in the environment, nor elsewhere on PATH\n"
        "hint: if a package provides it: `envtool add balck`\n"
    )


def test_what_cannot_be_executed_is_126(envtool: Any, make_generation: Any, place: Any) -> None:
    make_generation({"lost": "#!/nowhere/at/all\n"})
    (place.project / "data").write_text("no program")
    lost, data = envtool("run", "lost"), envtool("run", "./data")
    assert (lost.returncode, data.returncode) == (126, 126)
    assert "the interpreter that its first line names does not exist" in lost.stderr
    assert "./data cannot be executed" in data.stderr


def test_run_without_a_command_is_wrong_usage(envtool: Any) -> None:
    assert envtool("run").returncode == 2
    ended = envtool("run", "--verbos", "x")
    assert (ended.returncode, ended.stderr.splitlines()[0]) == (
        2,
        "error: run has no option --verbos",
    )


def test_run_says_that_the_declaration_moved_on(
    envtool: Any, make_generation: Any, place: Any
) -> None:
    make_generation()
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text().replace("[]", '["numpy"]'))
    ended = envtool("run", "hello")
    assert ended.stdout == "hello\n"
    assert ended.stderr == (
        "note: envtool.toml has changed since generation 1: `envtool switch` goes forward to it\n"
    )
    assert envtool("-q", "run", "hello").stderr == ""


def test_a_changed_comment_is_no_change(envtool: Any, make_generation: Any, place: Any) -> None:
    make_generation()
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text().replace("a comment", "another"))
    assert envtool("run", "hello").stderr == ""


def test_a_script_without_a_block_runs_in_the_projects_python(
    envtool: Any, make_generation: Any, place: Any
) -> None:
    environment = make_generation({"python": '#!/bin/sh\necho "$0" "$@"\n'})
    (place.project / "plot.py").write_text("# a script\n")
    assert envtool("run", "plot.py", "-x").stdout == f"{environment}/bin/python plot.py -x\n"


def test_ctrl_c_reaches_the_command(spawn: Any, make_generation: Any) -> None:
    make_generation({"wait": "#!/bin/sh\necho ready\nexec sleep 1000\n"})
    child = spawn("run", "wait")
    child.expect("ready")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.signalstatus == signal.SIGINT


def test_a_command_sees_the_terminal(spawn: Any, make_generation: Any) -> None:
    make_generation()
    child = spawn("run", "sh", "-c", "test -t 0 && test -t 1 && echo terminal")
    assert child.line("term") == "terminal"


def test_an_inherited_descriptor_stays_open(envtool: Any, make_generation: Any) -> None:
    make_generation()
    assert envtool("run", "sh", "-c", "ls /proc/self/fd").stdout.split()[:3] == ["0", "1", "2"]


def test_no_project_names_init(envtool: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    ended = envtool("run", "true", cwd=empty)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "hint: envtool init"
    assert os.listdir(empty) == []


def test_a_file_that_cannot_be_run_is_told_as_one(
    envtool: Any, make_generation: Any, place: Any, tmp_path: Path
) -> None:
    (tmp_path / "plot.ipynb").write_text("{}")
    notebook = envtool("-C", str(tmp_path), "run", "plot.ipynb")
    assert (notebook.returncode, notebook.stderr) == (
        126,
        "error: plot.ipynb is a notebook, no command\nhint: envtool notebook run plot.ipynb\n",
    )
    for words in (["./plot.py"], ["plot.py"], ["none.ipynb"]):
        absent = envtool("-C", str(tmp_path), "run", *words)
        assert (absent.returncode, absent.stderr) == (
            127,
            f"error: there is no file {words[0]}\n",
        )
    make_generation()
    here = envtool("run", "plot.py")
    told = "error: there is no file plot.py here, nor a command of that name on PATH\n"
    assert (here.returncode, here.stderr) == (127, told)
