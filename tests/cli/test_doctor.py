"""`doctor`: what it finds on machines where something is missing."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest

from envtool.cli import doctor
from envtool.formats.nix.storepath import StorePath
from envtool.machine.asking.checkup import Level
from envtool.machine.collecting.roots import add_indirect


@pytest.fixture
def examine(envtool: Any, place: Any, index: Any, make_wheel: Any) -> Any:
    """Return what doctor says by subject, with an index on loopback and no mirror of Debian."""
    index.add(make_wheel("pip", "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url, "SHELL": "/bin/bash"}

    def examine(*words: str, well: bool, **environ: str) -> dict[str, Any]:
        ended = envtool("doctor", "--json", *words, environ=environ)
        assert ended.returncode == (0 if well else 1), ended.stdout + ended.stderr
        told = json.loads(ended.stdout)
        assert told["well"] is well
        return {each["subject"]: each for each in told["findings"]}

    return examine


def test_a_machine_with_everything_is_well(examine: Any, envtool: Any, place: Any) -> None:
    found = examine(well=True)
    for subject in ("root", "disk space", "file system", "clock", "locale", "shells", "index"):
        assert found[subject]["level"] == "ok", found[subject]
    assert found["store"]["text"].startswith("none yet")
    assert not place.root.exists(), "looking changes nothing"
    lines = envtool("doctor").stdout.splitlines()
    assert lines[0] == f"ok       root: {place.root}, which is made at first use"


def test_a_store_is_counted_and_a_damaged_database_is_an_error(
    examine: Any, envtool: Any, place: Any
) -> None:
    assert envtool("switch").returncode == 0
    assert examine(well=True)["store"]["text"].endswith(" MB")
    database = place.root / "var/db/db.sqlite"
    database.write_bytes(b"not a database" * 100)
    found = examine(well=False)["store"]
    assert found["level"] == "error"
    assert "store verify" in found["remedy"]


def test_generations_of_a_project_that_is_gone(examine: Any, envtool: Any, place: Any) -> None:
    assert envtool("switch").returncode == 0
    shutil.rmtree(place.project)
    place.project.mkdir()
    found = examine(well=True)["roots"]
    assert str(place.project / "envtool.toml") in found["text"]
    assert found["remedy"] == "envtool gc --gone"


def test_an_index_that_is_missing_or_silent(examine: Any, index: Any) -> None:
    found = examine(well=False, ENVTOOL_INDEX_URL=f"{index.url}nowhere/")["index"]
    assert found["text"].endswith("answers 404")
    found = examine(well=False, ENVTOOL_INDEX_URL="http://user:secret@127.0.0.1:9/simple")["index"]
    assert "does not answer" in found["text"]
    assert "secret" not in found["text"]
    assert "--offline" in found["remedy"]


def test_offline_asks_nobody(examine: Any, index: Any) -> None:
    found = examine("--offline", well=True)
    assert found["network"]["level"] == "note"
    assert index.paths() == []


def test_every_level_has_a_colour(envtool: Any) -> None:
    done = envtool("--offline", "--color", "always", "doctor")
    assert done.returncode in (0, 1), done.stderr
    assert "\033[36mnote    \033[0m network: " in done.stdout
    assert set(doctor._MARKS) == set(get_args(Level))


@pytest.mark.parametrize("root", ["/proc/nothing", "/dev/null/root"])
def test_a_root_that_cannot_be(examine: Any, root: str) -> None:
    found = examine(well=False, ENVTOOL_ROOT=root)
    assert any(
        each["level"] == "error" and "ENVTOOL_ROOT" in (each["remedy"] or "")
        for each in found.values()
    )


def test_names_that_are_not_utf_8(examine: Any) -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    found = examine(well=False, **plain)["locale"]
    assert found["level"] == "error"
    assert found["remedy"] == "export LC_ALL=C.UTF-8"


def test_a_path_that_depends_on_where_one_stands(examine: Any) -> None:
    found = examine(well=True, PATH="/usr/bin:bin::/bin")["PATH"]
    assert found["level"] == "warning"
    assert "bin, (empty)" in found["text"]


def test_programs_before_those_of_the_environment(examine: Any, tmp_path: Path) -> None:
    environ = {"ENVTOOL_ENVIRONMENT": str(tmp_path), "PATH": f"/usr/bin:{tmp_path}/bin:/bin"}
    found = examine(well=True, **environ)["PATH"]
    assert "/usr/bin comes before" in found["text"]


def test_a_shell_that_cannot_be_led(examine: Any) -> None:
    found = examine(well=True, SHELL="/bin/tcsh")["shells"]
    assert found["level"] == "note"
    assert "tcsh" in found["text"]


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a library to be loaded first, with which a machine lacks what POOR names."""
    library = str(tmp_path_factory.mktemp("poor") / "poor.so")
    source = Path(__file__).parent / "children/poor.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize(
    ("lacks", "found"),
    [
        ("symlinks", ("file system", "error", "lacks symlinks")),
        ("hard-links", ("file system", "note", "no hard links: identical files are stored more")),
        ("modes", ("file system", "error", "lacks modes")),
        ("case", ("file system", "error", "lacks upper and lower case")),
        ("locks", ("file system", "error", "lacks locks")),
        ("attributes", ("file system", "note", "no extended attributes: nothing in a store")),
        ("hard-links attributes", ("file system", "note", "no extended attributes")),
        ("symlinks attributes", ("file system", "error", "lacks symlinks, extended attributes")),
        ("programs", ("file system", "error", "is mounted noexec")),
        ("space", ("disk space", "warning", "0.0 GB free")),
        ("inodes", ("disk space", "warning", "but only 100 inodes")),
        ("clock", ("clock", "error", "it is 1970-01-02 00:00 UTC here")),
    ],
)
def test_what_a_machine_lacks_is_named(
    examine: Any, poor: str, lacks: str, found: tuple[str, str, str]
) -> None:
    subject, level, words = found
    environ = {"LD_PRELOAD": poor, "POOR": lacks}
    told = examine("--offline", well=level != "error", **environ)[subject]
    assert told["level"] == level
    assert words in told["text"]
    assert level != "warning" or "envtool gc" in told["remedy"]


def test_without_bubblewrap_there_are_no_namespaces(examine: Any, tmp_path: Path) -> None:
    found = examine("--offline", well=True, PATH=str(tmp_path))
    assert found["namespaces"]["level"] == "warning"
    assert found["namespaces"]["remedy"] == "apt install bubblewrap"
    assert found["shells"]["text"].startswith("none of bash, zsh, fish is on PATH")
    assert found["Jupyter"]["level"] == "note"
    assert found["PATH"]["text"] == "envtool itself is not on PATH"
    off = examine("--offline", well=True, ENVTOOL_SANDBOX="off")["namespaces"]
    assert off["level"] == "note"


@pytest.mark.namespaces
def test_a_kernel_that_denies_namespaces_names_its_setting(denied: Any) -> None:
    ended = denied("--offline", "doctor")
    assert "namespaces: this machine denies a sandbox" in ended.stdout, ended.stderr
    assert "user.max_user_namespaces" in ended.stdout


def test_jupyter_is_found_on_the_path(examine: Any, place: Any, tmp_path: Path) -> None:
    program = tmp_path / "jupyter"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = examine("--offline", well=True, PATH=f"{tmp_path}:{place.environ['PATH']}")["Jupyter"]
    assert (found["level"], found["text"]) == ("ok", str(program))


def test_a_kernel_that_cannot_start_is_told(
    examine: Any, envtool: Any, make_generation: Any, place: Any
) -> None:
    make_generation(kernel="Demo")
    assert envtool("kernel", "install", "envtool.toml").returncode == 0
    assert examine("--offline", well=True)["kernels"]["level"] == "ok"
    (place.project / "envtool.toml").unlink()
    found = examine("--offline", well=True)["kernels"]
    assert found["level"] == "warning"
    assert found["remedy"].startswith("envtool kernel remove ")


def test_a_mirror_of_debian_that_does_not_answer(examine: Any) -> None:
    found = examine(well=False, ENVTOOL_DEBIAN_MIRROR="http://127.0.0.1:9/debian")["Debian"]
    assert found["level"] == "error"
    assert "does not answer" in found["text"]


def test_a_root_whose_link_is_gone(examine: Any, envtool: Any, place: Any) -> None:
    assert envtool("switch").returncode == 0
    name = Path(envtool("build").stdout.strip()).name
    workspace, link = place.settings_of(), place.project / "result"
    with workspace.store.using():
        add_indirect(workspace.settings, str(link), StorePath.parse(name))
    assert examine("--offline", well=True)["roots"]["level"] == "ok"
    link.unlink()
    found = examine("--offline", well=True)["roots"]
    assert str(link) in found["text"]
    assert found["remedy"] == "envtool gc"
    assert envtool("gc").returncode == 0
    assert examine("--offline", well=True)["roots"]["level"] == "ok"


def test_a_python_that_is_named_and_is_not_there(examine: Any, tmp_path: Path) -> None:
    found = examine("--offline", well=True, ENVTOOL_PYTHON=str(tmp_path / "python"))["Python"]
    assert found["level"] == "warning"
