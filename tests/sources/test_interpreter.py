"""Host interpreters: the right one is found, broken ones do no harm, its tags are its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import packaging.markers
import packaging.tags
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from envtool.errors import InterpreterError
from envtool.sources.interpreter import (
    Interpreter,
    find,
    marker_environment,
    satisfies,
    tags,
)
from envtool.values import asdict, replace

HERE = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
RUNNING = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def program(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def running() -> Interpreter:
    return find(None, prefer=None, environ=HERE)


@pytest.fixture
def machine(tmp_path: Path, running: Interpreter) -> "Machine":
    return Machine(tmp_path, running)


class Machine:
    """A PATH with programs whose answers are already kept, so that none of them is run."""

    def __init__(self, root: Path, model: Interpreter) -> None:
        self.root, self.model = root, model
        self.cache = root / "interpreters.json"
        self.environ = {"PATH": str(root / "bin")}
        self.kept: dict[str, object] = {}

    def add(self, version: str, abi: str | None = None, folder: str = "bin") -> str:
        major, minor = version.split(".")[:2]
        path = self.root / folder / f"python{major}.{minor}"
        while path.exists():
            path = path.with_name(path.name + "t")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", path)
        found = replace(
            self.model,
            executable=str(path),
            version=version,
            feature=f"{major}.{minor}",
            abi=abi or f"cp{major}{minor}",
        )
        status = path.stat()
        self.kept[str(path)] = {"state": [status.st_size, status.st_mtime_ns], **asdict(found)}
        self.cache.write_text(json.dumps({"format": 1, "interpreters": self.kept}))
        return str(path)

    def find(self, specifier: str | None, prefer: str | None = None, **environ: str) -> str:
        found = find(
            specifier,
            prefer=prefer,
            environ=self.environ | environ,
            cache_path=str(self.cache),
        )
        return found.executable


def test_the_interpreter_that_runs_envtool_is_taken_when_it_satisfies(running: Interpreter) -> None:
    assert running.executable == RUNNING
    assert running.version == "{}.{}.{}".format(*sys.version_info[:3])
    assert os.path.isfile(f"{running.stdlib}/os.py")
    assert running.purelib == f"lib/python{running.feature}/site-packages"


def test_the_running_interpreter_says_the_same_of_itself_as_when_it_is_started(
    running: Interpreter,
) -> None:
    code = (
        "import os, sys; from envtool.sources import probe;"
        "probe.running_program = lambda: '';"
        "found = probe.Prober(os.environ, None, 10.0).probe(sys.argv[1]);"
        "print(repr(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, running.executable], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == repr(running)


def test_the_newest_that_satisfies_is_taken(machine: Machine) -> None:
    machine.add("3.90.1")
    newest = machine.add("3.91.10")
    machine.add("3.92.0")

    assert machine.find(">=3.90,<3.92") == newest


def test_the_feature_release_of_the_lock_is_preferred(machine: Machine) -> None:
    locked = machine.add("3.90.1")
    machine.add("3.91.10")

    assert machine.find(">=3.90", prefer="3.90") == locked


def test_a_preference_that_does_not_satisfy_is_passed_over(machine: Machine) -> None:
    machine.add("3.90.1")
    other = machine.add("3.91.10")

    assert machine.find(">=3.91", prefer="3.90") == other


@pytest.mark.parametrize(("version", "abi"), [("3.92.0rc1", None), ("3.92.0", "cp392t")])
def test_unusual_builds_are_taken_only_when_nothing_else_will_do(
    machine: Machine, version: str, abi: str | None
) -> None:
    plain = machine.add("3.90.1")
    unusual = machine.add(version, abi)

    assert machine.find(">=3.90") == plain
    assert machine.find(">=3.91") == unusual


@pytest.mark.parametrize(
    ("folder", "environ"),
    [
        (".local/bin", {"HOME": "{root}"}),
        (".pyenv/versions/3.90.1/bin", {"HOME": "{root}"}),
        ("elsewhere/versions/3.90.1/bin", {"PYENV_ROOT": "{root}/elsewhere"}),
        (".local/share/uv/python/cpython-3.90/bin", {"HOME": "{root}"}),
        ("data/uv/python/cpython-3.90/bin", {"XDG_DATA_HOME": "{root}/data"}),
        ("managed/cpython-3.90/bin", {"UV_PYTHON_INSTALL_DIR": "{root}/managed"}),
    ],
)
def test_the_usual_places_are_looked_at(
    machine: Machine, folder: str, environ: Mapping[str, str]
) -> None:
    path = machine.add("3.90.1", folder=folder)
    filled = {name: value.format(root=machine.root) for name, value in environ.items()}

    assert machine.find("==3.90.*", **filled) == path


def test_the_named_interpreter_is_taken_whatever_else_there_is(machine: Machine) -> None:
    named = machine.add("3.90.1", folder="named")
    machine.add("3.91.0")

    assert machine.find(">=3.90", ENVTOOL_PYTHON=named) == named


def test_a_virtual_environment_stands_for_its_base(tmp_path: Path) -> None:
    for kind in ("--symlinks", "--copies"):
        folder = tmp_path / kind
        subprocess.run([RUNNING, "-m", "venv", "--without-pip", kind, folder], check=True)

        found = find(None, prefer=None, environ={"ENVTOOL_PYTHON": f"{folder}/bin/python3"})

        assert found.executable == RUNNING


def test_a_named_shim_stands_for_what_it_runs(tmp_path: Path) -> None:
    shim = program(tmp_path / "python3", f'exec {RUNNING} "$@"')

    assert find(None, prefer=None, environ={"ENVTOOL_PYTHON": shim}).executable == RUNNING


def test_shims_on_the_path_are_not_run(tmp_path: Path) -> None:
    program(tmp_path / "bin/python3.90", f"touch {tmp_path}/was-run")

    with pytest.raises(InterpreterError):
        find(">=3.90", prefer=None, environ={"PATH": str(tmp_path / "bin")})

    assert not (tmp_path / "was-run").exists()


def test_variables_for_python_do_not_reach_the_interpreter(running: Interpreter) -> None:
    environ = HERE | {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"}

    assert find(None, prefer=None, environ=environ) == running


def test_one_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    # Whoever of them lives holds the pipe open; reading it then waits instead of ending.
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    hanging = program(tmp_path / "python3", f"exec 3>{tmp_path}/pipe; sleep 1000; true")

    with pytest.raises(InterpreterError, match=r"did not answer within 0\.5 s"):
        find(None, prefer=None, environ={"ENVTOOL_PYTHON": hanging, **HERE}, limit=0.5)

    os.set_blocking(pipe, True)
    assert os.read(pipe, 1) == b""
    os.close(pipe)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("exit 3", "failed with exit status 3"),
        ("echo hello", "is no Python 3"),
        ("true", "is no Python 3"),
        ('echo "{}"', "is no Python 3"),
    ],
)
def test_what_is_no_python_says_so(tmp_path: Path, text: str, reason: str) -> None:
    fake = program(tmp_path / "python3", text)

    with pytest.raises(InterpreterError, match=reason) as caught:
        find(None, prefer=None, environ={"ENVTOOL_PYTHON": fake})

    assert "ENVTOOL_PYTHON" in str(caught.value.hint)


def test_a_name_that_is_no_program_says_so(tmp_path: Path) -> None:
    with pytest.raises(InterpreterError, match="which is no program"):
        find(None, prefer=None, environ={"ENVTOOL_PYTHON": "python3", "PATH": str(tmp_path)})


def test_none_that_satisfies_lists_those_there_are(machine: Machine) -> None:
    path = machine.add("3.90.1")

    with pytest.raises(InterpreterError) as caught:
        machine.find("==3.95.*")

    assert caught.value.message.startswith("no interpreter is CPython ==3.95.*; found:")
    assert f"3.90.1 ({path})" in caught.value.message
    assert str(caught.value.hint).startswith("uv python install 3.95")
    assert '`interpreter = "closed"`' in str(caught.value.hint)


def test_a_broken_interpreter_is_passed_over_and_named(machine: Machine) -> None:
    machine.add("3.90.1")
    broken = machine.root / "bin/python3.91"
    shutil.copy("/bin/false", broken)

    with pytest.raises(InterpreterError, match=f"{broken}: failed with exit status 1"):
        machine.find("==3.95.*")


def test_a_specifier_that_is_none_says_so() -> None:
    with pytest.raises(InterpreterError, match="says no Python version"):
        find("three", prefer=None, environ=HERE)


def test_an_executable_that_changed_is_asked_again(machine: Machine) -> None:
    path = machine.add("3.90.1")
    os.utime(path, ns=(1, 1))

    with pytest.raises(InterpreterError, match=r"found:"):
        machine.find("==3.90.*")


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', '{"format": 0}', "\xff{"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, content: str, running: Interpreter) -> None:
    cache = tmp_path / "deep/interpreters.json"
    cache.parent.mkdir()
    cache.write_text(content, encoding="latin-1")

    assert find(None, prefer=None, environ=HERE, cache_path=str(cache)) == running
    assert RUNNING in json.loads(cache.read_text())["interpreters"]


def test_a_cache_that_cannot_be_written_does_no_harm(running: Interpreter) -> None:
    cache = "/proc/nowhere/interpreters.json"

    assert find(None, prefer=None, environ=HERE, cache_path=cache) == running


def test_the_tags_of_the_running_interpreter_are_those_packaging_finds(
    running: Interpreter,
) -> None:
    assert tags(running) == tuple(map(str, packaging.tags.sys_tags()))


def test_the_markers_of_the_running_interpreter_are_those_packaging_finds(
    running: Interpreter,
) -> None:
    assert marker_environment(running) == packaging.markers.default_environment()


def test_tags_follow_the_glibc_of_the_interpreter(running: Interpreter) -> None:
    old = tags(replace(running, glibc=(2, 17), machine="x86_64"))

    abi = running.abi
    assert f"{abi}-{abi}-manylinux2014_x86_64" in old
    assert f"{abi}-{abi}-manylinux_2_18_x86_64" not in old
    assert f"{abi}-{abi}-manylinux1_x86_64" in old


def test_another_libc_has_no_manylinux_tags(running: Interpreter) -> None:
    assert not [tag for tag in tags(replace(running, glibc=None)) if "manylinux" in tag]


@pytest.mark.parametrize(
    ("abi", "loads", "loads_not"),
    [
        ("cp313t", "cp313-cp313t-linux_x86_64", "cp313-abi3-linux_x86_64"),
        ("cp313d", "cp313-cp313-linux_x86_64", "cp313-cp313t-linux_x86_64"),
        ("cp313", "cp38-abi3-linux_x86_64", "cp314-abi3-linux_x86_64"),
    ],
)
def test_unusual_builds_load_their_own_wheels(
    running: Interpreter, abi: str, loads: str, loads_not: str
) -> None:
    found = tags(replace(running, feature="3.13", abi=abi, machine="x86_64"))

    assert loads in found
    assert loads_not not in found


RELEASES = st.lists(st.integers(0, 13), min_size=1, max_size=4).map(
    lambda numbers: ".".join(map(str, numbers))
)
CLAUSES = st.tuples(
    st.sampled_from(["==", "!=", ">=", "<=", ">", "<", "~=", "==="]),
    RELEASES,
    st.sampled_from(["", ".*", "rc1", ".post1"]),
).map("".join)


@given(
    version=st.sampled_from(["3.11.0", "3.11.7", "3.12.0", "3.9.18", "3.14.0rc1"]),
    specifier=st.lists(CLAUSES, min_size=1, max_size=3).map(" , ".join),
)
def test_specifiers_mean_what_packaging_says(version: str, specifier: str) -> None:
    try:
        expected = SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        with pytest.raises(InterpreterError):
            satisfies(version, specifier)
    else:
        assert satisfies(version, specifier) == expected
