"""`envtool check`, with wheels whose libraries are compiled here."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.programs("gcc")
MISSING = "libwhat_nobody_has.so.7"


def compiled(folder: Path, *needs: str) -> bytes:
    """Return an empty extension module that needs libraries of these names."""
    folder.mkdir(exist_ok=True)
    base = ["gcc", "-shared", "-nostdlib", "-Wl,--no-as-needed", "-xc", "/dev/null", "-xnone"]
    stubs = [folder / f"stub{number}.so" for number in range(len(needs))]
    for soname, stub in zip(needs, stubs, strict=True):
        subprocess.run([*base, f"-Wl,-soname,{soname}", "-o", stub], check=True)
    subprocess.run([*base, *stubs, "-o", folder / "out.so"], check=True)
    return (folder / "out.so").read_bytes()


@pytest.fixture
def offering(place: Any, index: Any, make_wheel: Any, tmp_path: Path) -> Any:
    """Offer wheels that need what there is, what nobody has, and what only a plugin needs."""
    good, bad = compiled(tmp_path / "c", "libm.so.6"), compiled(tmp_path / "c", MISSING)
    broken = "import ctypes, os\nctypes.CDLL(os.path.dirname(__file__) + '/need.so')\n"
    index.add(make_wheel("good", files={"good/__init__.py": "", "good/need.so": good}))
    index.add(make_wheel("bad", files={"bad/__init__.py": broken, "bad/need.so": bad}))
    files = {"plug/__init__.py": "", "plug/m.abi3.so": good, "plug/x/libplug.so": bad}
    index.add(make_wheel("plug", files=files))
    cuda = compiled(tmp_path / "c", "libcuda.so.1")
    index.add(make_wheel("gpu", files={"gpu/__init__.py": "", "gpu/need.so": cuda}))
    # No mirror of Debian is asked who has what nobody has.
    place.environ |= {"ENVTOOL_INDEX_URL": index.url, "ENVTOOL_DEBIAN_MIRROR": "http://[::1]:9"}
    return index


def declare(place: Any, *names: str, rest: str = "") -> None:
    text = f'name = "demo"\ndependencies = {json.dumps(names)}\n{rest}'
    (place.project / "envtool.toml").write_text(text)


def test_an_environment_that_has_all_is_complete(envtool: Any, place: Any, offering: Any) -> None:
    declare(place, "good")
    ended = envtool("check")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "complete: 1 ELF file read; 1 of 1 module imported\n"


def test_what_is_missing_is_named_with_who_needs_it(
    envtool: Any, place: Any, offering: Any
) -> None:
    declare(place, "bad", "good")
    ended = envtool("check", "--offline")
    assert envtool("switch").returncode == 0
    ended = envtool("--offline", "check")
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert lines[0] == f"bad: {MISSING} is missing; needed by bad/need.so"
    assert lines[1].startswith(f"bad: import bad: OSError: {MISSING}: cannot open shared")
    assert lines[2] == "not complete: 2 ELF files read; 1 of 2 modules imported"
    assert "cannot be looked up" in ended.stderr


def test_a_part_for_users_of_another_package_is_told_but_is_no_fault(
    envtool: Any, place: Any, index: Any, make_wheel: Any
) -> None:
    files = {"main.py": "", "beside.py": "import of_another"}
    index.add(make_wheel("two", files=files))
    index.add(make_wheel("one", files={"one.py": "import of_another"}))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    declare(place, "two")
    assert envtool("switch").returncode == 0
    ended = envtool("check")
    assert ended.returncode == 0
    assert "two: beside is for users of of_another, which is not here" in ended.stdout
    declare(place, "one")
    assert envtool("switch").returncode == 0
    assert envtool("check").returncode == 1


def test_nothing_of_a_package_runs_when_that_is_not_wanted(
    envtool: Any, place: Any, offering: Any
) -> None:
    declare(place, "bad")
    assert envtool("switch").returncode == 0
    ended = envtool("check", "--no-import", "--json", "--offline")
    said = json.loads(ended.stdout)
    assert (ended.returncode, said["complete"], said["imports"]) == (1, False, [])
    assert said["lacks"] == [
        {
            "package": "bad",
            "file": "site-packages/bad/need.so",
            "soname": MISSING,
            "version": None,
            "newest": None,
            "essential": True,
            "driver": False,
            "mend": None,
        }
    ]


def test_plugins_and_drivers_are_told_but_are_no_fault(
    envtool: Any, place: Any, offering: Any
) -> None:
    declare(place, "plug", "gpu")
    assert envtool("switch").returncode == 0
    ended = envtool("check", "--offline")
    assert ended.returncode == 0
    assert ended.stdout.splitlines() == [
        "of a GPU's driver, which belongs to the host: libcuda.so.1",
        "plugins lack 1 library (envtool check --all names that)",
        "complete: 3 ELF files read; 2 of 2 modules imported",
    ]
    assert f"plug: {MISSING} is missing" in envtool("check", "--all", "--offline").stdout


def test_what_is_declared_to_be_opened_is_looked_for(
    envtool: Any, place: Any, offering: Any
) -> None:
    declare(place, "good", rest=f'libraries = ["libm.so.6", "{MISSING}"]\n')
    assert envtool("switch").returncode == 0
    ended = envtool("check", "--offline", "--no-import")
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert lines[0] == f"the declaration: {MISSING} is missing, which it opens by name"


@pytest.mark.parametrize("limit", ["0", "-1", "soon", "1.5"])
def test_a_limit_is_a_number_of_seconds(envtool: Any, limit: str) -> None:
    ended = envtool("check", f"--limit={limit}")
    assert ended.returncode == 2
    assert "seconds" in ended.stderr
