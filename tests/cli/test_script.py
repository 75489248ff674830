"""A script with a block of its own and a first line that names envtool is a program."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """\
#!/usr/bin/env -S envtool run
# /// script
# dependencies = ["alpha"]
# ///
import os, sys
import alpha
print(alpha.__name__, *sys.argv[1:])
sys.exit(int(os.environ.get("CODE", 0)))
"""


@pytest.fixture
def program(place: Any, index: Any, make_wheel: Any, tmp_path: Path) -> Any:
    """Put envtool on PATH and offer alpha; return what runs a script."""
    index.add(make_wheel("alpha", "1.0"))
    start = "import sys; from envtool.cli import main; sys.exit(main())"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/envtool").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{start}" "$@"\n')
    (tmp_path / "bin/envtool").chmod(0o755)
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    place.environ["PATH"] = f"{tmp_path}/bin:{place.environ['PATH']}"

    def run(script: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(script), *words],
            cwd=place.home,
            env={**place.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def write(path: Path, text: str = SCRIPT) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["plot", "plot.py", "plot me"])
def test_it_runs_in_its_own_closure_wherever_one_stands(
    name: str, program: Any, tmp_path: Path
) -> None:
    (tmp_path / "tools").mkdir()
    script = write(tmp_path / "tools" / name)
    ended = program(script, "a b", "--flag")
    assert ended.stdout == "alpha a b --flag\n", ended.stderr
    again = program(script, CODE="5")
    assert (again.stdout, again.stderr, again.returncode) == ("alpha\n", "", 5)
    assert "pylock.plot" in "".join(os.listdir(tmp_path / "tools"))


def test_without_a_block_it_runs_in_the_projects_python(
    program: Any, place: Any, make_generation: Any
) -> None:
    make_generation()
    script = write(place.project / "tool", "#!/usr/bin/env -S envtool run\nprint('ran')\n")
    ended = subprocess.run(
        [str(script)],
        cwd=place.project,
        env=place.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout == "ran\n", ended.stderr


def test_other_programs_are_left_alone(envtool: Any, place: Any, make_generation: Any) -> None:
    make_generation()
    write(place.project / "tool", "#!/bin/sh\necho of its own\n")
    assert envtool("run", "./tool").stdout == "of its own\n"


def test_its_generations_are_found_by_its_name(program: Any, envtool: Any, tmp_path: Path) -> None:
    script = write(tmp_path / "plot")
    assert program(script).returncode == 0
    found = json.loads(envtool("-f", str(script), "generations", "--json").stdout)
    assert [each["number"] for each in found["generations"]] == [1]


def test_a_script_that_was_rolled_back_stays_there(
    program: Any, envtool: Any, tmp_path: Path
) -> None:
    script = write(tmp_path / "plot")
    assert program(script).returncode == 0
    script.write_text(script.read_text().replace('"alpha"', '"alpha", "alpha>=0"'))
    assert envtool("-f", str(script), "switch").returncode == 0
    assert envtool("-f", str(script), "rollback", "1").returncode == 0
    ended = program(script)
    assert ended.stdout == "alpha\n"
    assert ended.stderr.count("\n") == 1
    assert "plot has changed since generation 1: `envtool -f " in ended.stderr
    assert "plot switch` goes forward to it" in ended.stderr
