"""An interpreter of Debian from the declaration to the kernel, from the host's mirror and index."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envtool.machine.metadata import delete_tree

if TYPE_CHECKING:
    from cli.closed.conftest import InEmptyRoot, Proof
    from cli.conftest import Place, Run

Started = Callable[..., subprocess.CompletedProcess[str]]

BARE = 'name = "demo"\npython = "3.11"\ninterpreter = "debian/bookworm"\ndependencies = []\n'
HOST = 'name = "demo"\ndependencies = []\n'
WHICH = "import sys; print(sys.base_prefix)"
KERNEL = """
import sys
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
notebook = new_notebook(cells=[new_code_cell(sys.argv[1])])
NotebookClient(notebook, kernel_name="demo").execute()
print("".join(each.text for each in notebook.cells[0].outputs if each.name == "stdout"))
"""
INSIDE = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(startup_timeout=60)
said = []
keep = lambda message: said.append(message["content"].get("text", ""))
client.execute_interactive(sys.argv[1], output_hook=keep, timeout=60)
client.stop_channels()
manager.shutdown_kernel(now=True)
print("".join(said))
"""


@pytest.fixture
def lose(place: "Place") -> Callable[[str], None]:
    def delete(pattern: str) -> None:
        found = list((place.root / "store").glob(pattern))
        assert found
        for lost in found:
            delete_tree(str(lost))

    return delete


def test_a_declared_interpreter_of_debian_runs_with_its_packages(
    closed: "Run", proof: "Proof"
) -> None:
    ended = closed("run", "python", "-c", proof.code)
    assert (ended.stdout.strip(), ended.stderr) == (proof.said, "")
    shell = closed("shell", "--shell", "bash", "--run", f"python -c '{WHICH}'")
    assert shell.stdout.strip().endswith("-local"), shell.stderr


@pytest.fixture
def bare(closed: "Run", place: "Place") -> Path:
    """Let the project be the interpreter alone; return its lock. The index changes any minute."""
    (place.project / "envtool.toml").write_text(BARE)
    assert closed("lock").returncode == 0
    return place.project / "pylock.toml"


@pytest.mark.namespaces
def test_an_isolated_command_that_is_killed_ends_so(closed: "Run") -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    ended = closed("run", "--isolated", "python", "-c", code)
    assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, "")


def test_locking_again_gives_the_same_bytes(closed: "Run", bare: Path) -> None:
    written = bare.read_bytes()
    assert closed("lock", "--check").returncode == 0
    assert closed("lock", "--upgrade").returncode == 0
    assert bare.read_bytes() == written
    bare.unlink()
    assert closed("lock").returncode == 0
    assert bare.read_bytes() == written


def test_an_upgrade_leaves_the_pins_of_what_did_not_change(closed: "Run", bare: Path) -> None:
    older = re.sub(r'timestamp = "\w+"', 'timestamp = "20250102T030405Z"', bare.read_text())
    bare.write_text(older)
    assert closed("lock", "--upgrade").returncode == 0
    assert bare.read_text() == older


def test_an_upgrade_tells_which_packages_of_the_interpreter_are_new(
    closed: "Run", bare: Path
) -> None:
    written = bare.read_text()
    found = re.search(r'name = "libssl3", version = "([^"]+)"', written)
    assert found is not None
    start, _, rest = written.partition(f'"libssl3", version = "{found[1]}"')
    rest = re.sub(r'sha256 = "\w+"', f'sha256 = "{"0" * 64}"', rest, count=1)
    bare.write_text(f'{start}"libssl3", version = "3.0.0-1"{rest}')
    ended = closed("lock", "--upgrade")
    assert f"the interpreter's libssl3: 3.0.0-1 -> {found[1]}\n" in ended.stderr
    assert bare.read_text() == written


def test_another_suite_makes_the_lock_stale(closed: "Run", place: "Place", proof: "Proof") -> None:
    declaration = place.project / "envtool.toml"
    declaration.write_text(proof.declaration.replace("bookworm", "trixie"))
    ended = closed("lock", "--check")
    assert (ended.returncode, "envtool lock" in ended.stderr) == (1, True)


def test_a_version_that_the_suite_lacks_is_told_with_those_it_has(
    closed: "Run", place: "Place", proof: "Proof"
) -> None:
    (place.project / "envtool.toml").write_text(proof.declaration.replace('"3.11"', '"3.12"'))
    ended = closed("lock")
    assert ended.returncode == 1
    assert "no interpreter of Debian is CPython ==3.12.*; found:\n  bookworm: 3.11." in ended.stderr


def test_only_the_interpreter_of_the_host_is_listed_as_impure(
    closed: "Run", place: "Place"
) -> None:
    (place.project / "envtool.toml").write_text(HOST)
    assert closed("switch").returncode == 0
    listed = json.loads(closed("generations", "--json").stdout)["generations"]
    assert [each["impure"] for each in listed] == [False, True]
    lines = closed("generations").stdout.splitlines()
    assert ["(impure)" in line for line in lines] == [False, True]


def test_rolling_back_changes_the_interpreter_too(closed: "Run", place: "Place") -> None:
    own = closed("run", "python", "-c", WHICH).stdout
    (place.project / "envtool.toml").write_text(HOST)
    assert closed("switch").returncode == 0
    other = closed("run", "python", "-c", WHICH).stdout
    assert str(place.root) in own
    assert str(place.root) not in other
    assert closed("rollback").returncode == 0
    assert closed("run", "python", "-c", WHICH).stdout == own
    assert closed("rollback", "2").returncode == 0
    assert closed("run", "python", "-c", WHICH).stdout == other


@pytest.mark.parametrize("pattern", ["*-cpython-3.11.*-local", "*-cpython-3.11.*-debian"])
def test_switch_makes_a_lost_interpreter_again(
    pattern: str, closed: "Run", lose: Callable[[str], None], proof: "Proof"
) -> None:
    lose(pattern)
    failed = closed("run", "python", "-c", proof.code)
    assert (failed.returncode != 0, failed.stdout) == (True, "")
    assert failed.stderr.endswith("hint: realise it again: envtool switch\n")
    assert closed("switch").returncode == 0
    assert closed("run", "python", "-c", proof.code).stdout.strip() == proof.said


@pytest.mark.parametrize("name", ["lib/python3.11/os.py", "bin/python3.11"])
def test_verify_repairs_a_damaged_interpreter(
    name: str, closed: "Run", place: "Place", proof: "Proof"
) -> None:
    place_of = closed("run", "python", "-c", WHICH).stdout.strip()
    path = Path(place_of, name).resolve()
    size = path.stat().st_size
    path.chmod(0o755)
    with path.open("r+b") as file:
        file.write(b"damaged")
    ended = closed("store", "verify", "--contents", "--repair")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "repaired" in ended.stdout
    assert path.stat().st_size == size
    assert closed("run", "python", "-c", proof.code).stdout.strip() == proof.said
    assert closed("store", "verify", "--contents").returncode == 0


def test_a_notebook_client_starts_its_kernel(closed: "Run", place: "Place", proof: "Proof") -> None:
    assert closed("kernel", "install", "envtool.toml").returncode == 0
    done = subprocess.run(
        [sys.executable, "-c", KERNEL, proof.code],
        env={**os.environ, **place.environ},
        cwd=place.project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == proof.said, done.stderr


@pytest.mark.namespaces
def test_it_runs_where_there_is_nothing_but_the_store(
    closed: "Run", in_empty_root: "InEmptyRoot", proof: "Proof"
) -> None:
    assert in_empty_root("-c", proof.code) == proof.said
    assert in_empty_root("-c", INSIDE, proof.code).splitlines()[-1] == proof.said


def as_another_user() -> list[str]:
    """Return what makes root's processes another user's, who may yet read the code under test."""
    if os.geteuid() != 0:
        return []
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    return [*words, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.fixture
def other(closed: "Run", place: "Place") -> "Iterator[tuple[Place, Started]]":
    """Return the project of another user, whose root has a longer path with spaces in it."""
    folder = tempfile.TemporaryDirectory(prefix="envtool of another user, who may not enter ours ")
    home = Path(folder.name)
    theirs = replace(place, home=home, root=home / "share/envtool", project=home / "demo")
    theirs.project.mkdir(parents=True)
    for name in ("envtool.toml", "pylock.toml"):
        shutil.copyfile(place.project / name, theirs.project / name)
    for path in (home, *home.rglob("*")):
        if as_another_user():
            os.chown(path, 65534, 65534)
    theirs.environ = {**place.environ, "HOME": str(home), "ENVTOOL_ROOT": str(theirs.root)}

    def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*as_another_user(), sys.executable, "-m", "envtool", *words],
            cwd=theirs.project,
            env=theirs.environ,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    with folder:
        yield theirs, run


def objects(place: "Place") -> dict[str, str]:
    """Return the NAR hashes of the current environment's closure, local outputs aside."""
    workspace = place.settings_of()
    current = workspace.current(place.project_of())
    assert current is not None
    with workspace.store as store:
        infos = store.infos(store.closure([current[1].environment]))
        return {
            str(path): "local" if path.name.endswith(("-local", "-env")) else info.nar_hash.sri
            for path, info in infos.items()
        }


def test_another_user_with_a_longer_root_has_the_same_objects(
    closed: "Run", place: "Place", other: "tuple[Place, Started]", tmp_path: Path, proof: "Proof"
) -> None:
    theirs, run = other
    ended = run("switch")
    assert ended.returncode == 0, ended.stderr
    ended = run("run", "python", "-c", proof.code)
    assert ended.stdout.strip() == proof.said, ended.stderr
    assert objects(theirs) == objects(place)
    assert "local" in objects(place).values()

    # One that was made here works there.
    (name,) = (each for each in objects(place) if each.endswith("-debian"))
    archive = tmp_path / "moved.nar"
    assert closed("store", "dump", "--output", str(archive), name).returncode == 0
    with archive.open("rb") as file:
        ended = run("store", "restore", str(theirs.home / "moved"), stdin=file)
    assert ended.returncode == 0, ended.stderr
    there = theirs.root / "store" / name
    delete_tree(str(there))
    (theirs.home / "moved").rename(there)
    ended = run("store", "verify", "--contents", "--repair", name)
    assert ended.returncode == 0, ended.stdout
    assert "made again" not in ended.stdout
    assert run("run", "python", "-c", proof.code).stdout.strip() == proof.said
