"""Wheels' own programs with an interpreter of Debian: they start without anything of the host."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.closed.conftest import InEmptyRoot
    from cli.conftest import Place, Run

EMPTY = ("--isolated", "--pure", "--no-network")
LIBRARY = "int answer(void) { return 42; }\n"
PROGRAM = """
#include <stdio.h>
#include <string.h>
int answer(void);
int main(void) {
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    printf("%d\\n", answer());
    while (fgets(line, sizeof line, maps))
        if (strchr(line, '/')) fputs(strchr(line, '/'), stdout);
    return 7;
}
"""
CALL = """
import os, subprocess, sys, tool
path = os.path.join(os.path.dirname(tool.__file__), "bin/tool")
sys.exit(subprocess.run([path]).returncode)
"""


def declare(place: "Place", *names: str) -> None:
    text = 'name = "demo"\npython = "3.11"\ninterpreter = "debian/bookworm"\n'
    (place.project / "envtool.toml").write_text(f"{text}dependencies = {json.dumps(names)}\n")


@pytest.mark.namespaces
def test_programs_of_the_index_start_in_an_empty_root(
    closed: "Run", place: "Place", in_empty_root: "InEmptyRoot"
) -> None:
    declare(place, "ruff", "ninja")
    ended = closed("switch")
    assert ended.returncode == 0, ended.stderr
    for words in (["ruff", "--version"], ["ninja", "--version"], ["python", "-m", "ruff", "-V"]):
        here, there = closed("run", *words), closed("run", *EMPTY, *words)
        assert (here.returncode, there.returncode) == (0, 0), there.stderr
        assert here.stdout == there.stdout != ""
    assert in_empty_root("-c", "import ruff; print(ruff.__name__)") == "ruff"
    assert closed("check").returncode == 0
    assert closed("store", "verify", "--contents").returncode == 0


@pytest.mark.programs("gcc")
def test_a_program_finds_what_lies_around_it_and_nothing_of_the_host(
    closed: "Run", place: "Place", index: Any, make_wheel: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "answer.c").write_text(LIBRARY)
    (folder / "tool.c").write_text(PROGRAM)
    for words in (
        ["gcc", "-shared", "-fPIC", "-o", "libanswer.so", "answer.c"],
        ["gcc", "-o", "tool", "tool.c", "libanswer.so", "-Wl,-rpath,$ORIGIN/../lib"],
    ):
        subprocess.run(words, cwd=folder, check=True)
    files = {
        "tool/__init__.py": "",
        "tool/bin/tool": (folder / "tool").read_bytes(),
        "tool/lib/libanswer.so": (folder / "libanswer.so").read_bytes(),
        "tool-1.0.data/scripts/tool-script": "#!python\nprint('script')\n",
    }
    index.add(make_wheel("tool", files=files))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    declare(place, "tool")
    ended = closed("switch")
    assert ended.returncode == 0, ended.stderr
    assert 'programs = [\n    "tool",\n]' in (place.project / "pylock.toml").read_text()
    ended = closed("run", "python", "-c", CALL)
    answer, *loaded = ended.stdout.splitlines()
    assert (ended.returncode, answer) == (7, "42"), ended.stderr
    assert len(loaded) > 3
    assert [path for path in loaded if not path.startswith(f"{place.root}/store/")] == []
    assert closed("run", "tool-script").stdout == "script\n"

    # What the environment leads to is made again when it is lost.
    (local,) = (place.root / "store").glob("*-tool-1.0-local")
    subprocess.run(["chmod", "-R", "u+w", local], check=True)
    shutil.rmtree(local)
    assert closed("store", "verify", "--repair").returncode == 0
    assert closed("run", "python", "-c", CALL).returncode == 7
