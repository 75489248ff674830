"""The everyday commands from end to end, against an index on loopback."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

HELLO = {"console_scripts": {"greet": "alpha:main"}}
ALPHA = {"alpha.py": "import beta\n\n\ndef main():\n    print('alpha', beta.VERSION)\n"}


@pytest.fixture
def offering(place: Any, index: Any, make_wheel: Any, envtool: Any) -> Any:
    """Offer alpha (which requires beta and has a program), beta in two versions, and gamma."""
    index.add(make_wheel("alpha", "1.0", files=ALPHA, entry_points=HELLO, requires=["beta"]))
    index.add(make_wheel("beta", "1.0"))
    index.add(make_wheel("gamma", "1.0"))
    place.environ |= {"ENVTOOL_INDEX_URL": index.url}
    (place.project / "envtool.toml").unlink()
    assert envtool("init", "--name", "Demo Project").returncode == 0
    return index


def answer(envtool: Any, *words: str) -> Any:
    """Return what a command prints as JSON."""
    ended = envtool(*words, "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def test_init_writes_once_and_never_again(envtool: Any, place: Any) -> None:
    declaration = place.project / "envtool.toml"
    declaration.unlink()
    ended = envtool("init", "--python", "3.11")
    assert ended.stdout.startswith(f"wrote {declaration}\n")
    assert 'name = "project"' in declaration.read_text()
    text = declaration.read_text()
    again = envtool("init")
    assert again.returncode == 1
    assert "exists and is not overwritten" in again.stderr
    assert declaration.read_text() == text


def test_init_in_a_pyproject_adds_nothing(envtool: Any, place: Any) -> None:
    (place.project / "envtool.toml").unlink()
    (place.project / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    ended = envtool("init")
    assert ended.returncode == 0
    assert "is a declaration already" in ended.stdout
    assert os.listdir(place.project) == ["pyproject.toml"]


def test_init_refuses_nonsense_and_writes_nothing(envtool: Any, place: Any) -> None:
    (place.project / "envtool.toml").unlink()
    assert envtool("init", "--python", 'three"').returncode == 1
    assert os.listdir(place.project) == []


def test_add_locks_switches_and_says_what_came(envtool: Any, offering: Any, place: Any) -> None:
    ended = envtool("add", "alpha")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert re.fullmatch(
        r"generation 1 of demo-project: python 3\.\d+\.\d+, impure, 2 packages, [\d.]+ .?B",
        lines[0],
    )
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["+", "alpha", "1.0"],
        ["+", "beta", "1.0"],
    ]
    assert lines[3].startswith("next: `envtool shell`")
    assert re.search(r"^fetched 2 artifacts, .* in .* s", ended.stderr, re.MULTILINE)
    assert (place.project / "pylock.toml").exists()
    assert envtool("run", "greet").stdout == "alpha 1.0\n"
    assert "next:" not in envtool("add", "gamma").stdout


def test_what_was_allowed_stays_so_after_ones_own_edit(
    envtool: Any, offering: Any, place: Any
) -> None:
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text() + '[vars]\nGREETING = "hei"\n')
    words = ("shell", "--shell", "bash", "--run", "echo :$GREETING")
    envtool("allow")
    assert envtool("add", "alpha").returncode == 0
    assert envtool(*words).stdout == ":hei\n"
    declaration.write_text(declaration.read_text().replace("hei", "hallo"))
    envtool("switch")
    assert envtool(*words).stdout == ":\n"


def test_an_environment_of_nothing_but_python(envtool: Any, offering: Any) -> None:
    assert envtool("switch").returncode == 0
    ended = envtool("run", "python", "-c", "import sys; print(sys.prefix)")
    assert ended.stdout.strip().endswith("-env")


def test_the_second_switch_has_nothing_to_do(envtool: Any, offering: Any) -> None:
    envtool("add", "alpha")
    ended = envtool("switch")
    assert ended.stdout.startswith("nothing to do; generation 1 of demo-project")
    assert answer(envtool, "switch")["made"] is False


def test_switch_goes_forward_again_after_a_rollback(envtool: Any, offering: Any) -> None:
    envtool("add", "beta")
    envtool("add", "gamma")
    envtool("rollback")
    ended = envtool("switch")
    assert ended.stdout.startswith("switched to generation 2 of demo-project")
    assert ended.stdout.splitlines()[1].split()[:3] == ["+", "gamma", "1.0"]
    assert envtool("switch").stdout.startswith("nothing to do; generation 2")


def test_the_next_step_names_the_declaration_that_was_named(
    envtool: Any, offering: Any, place: Any
) -> None:
    (place.project / "plot.py").write_text("# /// script\n# dependencies = []\n# ///\n")
    assert "yet; `envtool -f plot.py switch`" in envtool("-f", "plot.py", "generations").stdout
    assert "`envtool -f plot.py shell`" in envtool("-f", "plot.py", "add", "beta").stdout
    envtool("-f", "plot.py", "add", "gamma")
    assert "`envtool -f plot.py rollback 2`" in envtool("-f", "plot.py", "rollback").stdout
    note = envtool("run", "plot.py").stderr
    assert note.endswith("`envtool -f plot.py switch` goes forward to it\n")


def test_dry_run_tells_bytes_and_does_nothing(envtool: Any, offering: Any, place: Any) -> None:
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text().replace("[]", '["alpha"]', 1))
    ended = envtool("switch", "--dry-run")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "would lock: the lock does not answer the declaration"
    assert re.fullmatch(r"would fetch 2 artifacts, [\d.]+ k?B", lines[1])
    assert any(line.startswith("would build ") for line in lines)
    assert "would change +2" in lines
    assert sorted(os.listdir(place.project)) == ["envtool.toml"]
    plan = answer(envtool, "switch", "--dry-run")
    assert {one["label"] for one in plan["fetch"]} == {
        "alpha-1.0-py3-none-any.whl",
        "beta-1.0-py3-none-any.whl",
    }
    assert plan["fetch_size"] == sum(one["size"] for one in plan["fetch"])
    assert (plan["up_to_date"], plan["lock_changed"]) == (False, True)
    envtool("switch")
    assert answer(envtool, "switch", "--dry-run")["up_to_date"] is True


def test_build_prints_the_path_alone(envtool: Any, offering: Any, place: Any) -> None:
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text().replace("[]", '["alpha"]', 1))
    ended = envtool("build")
    [path] = ended.stdout.splitlines()
    greeting = subprocess.run([f"{path}/bin/greet"], capture_output=True, text=True, check=True)
    assert greeting.stdout == "alpha 1.0\n"
    shape = answer(envtool, "build")
    assert shape["physical"] == path
    assert shape["path"] == f"/envtool/store/{Path(path).name}"
    assert answer(envtool, "generations")["generations"] == []


def test_lock_check_and_upgrade(envtool: Any, offering: Any, make_wheel: Any, place: Any) -> None:
    assert envtool("lock", "--check").returncode == 1
    envtool("add", "alpha")
    assert envtool("lock", "--check").stdout == "the lock is up to date\n"
    offering.add(make_wheel("beta", "2.0"))
    assert answer(envtool, "lock")["changed"] is False
    upgraded = answer(envtool, "lock", "--upgrade", "beta")
    [change] = upgraded["changes"]["changed"]
    assert (change["before"]["version"], change["after"]["version"]) == ("1.0", "2.0")
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text().replace('"alpha"', '"alpha", "gamma"'))
    stale = envtool("lock", "--check")
    assert (stale.returncode, stale.stderr.splitlines()[-1]) == (1, "hint: envtool lock")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[[packages]]\nname = "alpha"', '<<<<<<< HEAD\n[[packages]]\nname = "alpha"'),
        ("sha256 = ", "md5 = "),
        ('\nversion = "3.', '\nversion = "3.98'),
    ],
    ids=["merge", "no-hash", "python-nobody-has"],
)
def test_lock_writes_a_lock_anew_that_cannot_be_used(
    before: str, after: str, envtool: Any, offering: Any, place: Any
) -> None:
    envtool("add", "alpha")
    lock = place.project / "pylock.toml"
    good = lock.read_text()
    assert before in good
    lock.write_text(good.replace(before, after))
    refused = envtool("switch")
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (1, "hint: envtool lock")
    assert envtool("lock").returncode == 0
    assert lock.read_text() == good


def test_damaged_lock_is_named_with_its_own_file(envtool: Any, offering: Any, place: Any) -> None:
    envtool("add", "alpha")
    lock = place.project / "pylock.toml"
    lock.write_text("")
    assert envtool("switch").stderr.startswith(f"error: {lock}: ")


def test_there_and_back_again(envtool: Any, offering: Any) -> None:
    envtool("add", "alpha")
    envtool("add", "gamma")
    envtool("remove", "alpha")
    found = answer(envtool, "generations")["generations"]
    assert [(one["number"], one["current"], len(one["packages"])) for one in found] == [
        (1, False, 2),
        (2, False, 3),
        (3, True, 1),
    ]
    assert [one["name"] for one in found[2]["changes"]["removed"]] == ["alpha", "beta"]
    assert envtool("rollback").stdout.startswith("switched from generation 3 to 2\n")
    assert envtool("-q", "run", "greet").stdout == "alpha 1.0\n"
    assert answer(envtool, "rollback", "1") == {"from": 2, "to": 1, "files": []}
    lines = envtool("generations").stdout.splitlines()
    assert [line[:4] for line in lines] == ["*  1", "   2", "   3"]
    missing = envtool("rollback", "9")
    assert (missing.returncode, missing.stdout) == (1, "")


def test_tree_and_why(envtool: Any, offering: Any) -> None:
    envtool("add", "alpha")
    top, below = envtool("tree").stdout.splitlines()
    assert top.startswith("alpha 1.0  ")
    assert below.startswith("└── beta 1.0  ")
    assert envtool("why", "Beta").stdout == "alpha -> beta\n"
    assert envtool("why", "alpha").stdout == "alpha: the declaration asks for it\n"
    told = {"name": "beta", "chains": [["alpha", "beta"]], "libraries": []}
    assert answer(envtool, "why", "beta") == told
    unknown = envtool("why", "betta")
    assert (unknown.returncode, unknown.stderr.splitlines()[-1]) == (1, "hint: did you mean beta?")


def test_gc_says_what_it_frees(envtool: Any, offering: Any) -> None:
    envtool("add", "alpha")
    planned = answer(envtool, "gc", "--dry-run")
    freed = answer(envtool, "gc")
    assert [one["path"] for one in freed["dead"]] == [one["path"] for one in planned["dead"]]
    assert re.match(r"deleted 0 store paths, 0 B; \d+ are needed", envtool("gc").stdout)
    assert envtool("run", "greet").stdout == "alpha 1.0\n"


def test_run_without_a_generation_switches_first(envtool: Any, offering: Any, place: Any) -> None:
    declaration = place.project / "envtool.toml"
    declaration.write_text(declaration.read_text().replace("[]", '["alpha"]', 1))
    ended = envtool("run", "greet")
    assert (ended.stdout, ended.returncode) == ("alpha 1.0\n", 0)
    assert ended.stderr.startswith("no generation yet: switching to the first one\n")


def test_a_script_with_a_block_runs_in_its_own_environment(
    envtool: Any, offering: Any, place: Any
) -> None:
    script = place.project / "plot.py"
    script.write_text(
        '# /// script\n# dependencies = ["gamma"]\n# ///\nimport gamma, sys\n'
        "print(gamma.VERSION, sys.argv[1:])\n"
    )
    assert envtool("run", "plot.py", "-x").stdout == "1.0 ['-x']\n"
    assert answer(envtool, "-f", "plot.py", "tree")["packages"][0]["name"] == "gamma"


BACKEND = """\
import base64, hashlib, os, zipfile

INFO = "mylib-1.0.dist-info"

def build_editable(folder, config_settings=None, metadata_directory=None):
    members = {
        "mylib.pth": os.getcwd() + "\\n",
        f"{INFO}/METADATA": "Metadata-Version: 2.1\\nName: mylib\\nVersion: 1.0\\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = f"{INFO}/RECORD,,\\n"
    name = "mylib-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for member, text in members.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record += f"{member},sha256={digest.decode().rstrip('=')},{len(text)}\\n"
            wheel.writestr(member, text)
        wheel.writestr(f"{INFO}/RECORD", record)
    return name
"""


def test_an_editable_project_is_imported_where_it_lies(
    envtool: Any, offering: Any, place: Any, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "backend.py").write_text(BACKEND)
    (library / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["gamma"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "mylib"\nversion = "1.0"\n'
    )
    (library / "mylib.py").write_text("X = 1\n")
    ended = envtool("add", "--editable", "../library")
    assert ended.returncode == 0, ended.stderr
    assert '"../library"' in (place.project / "envtool.toml").read_text()
    (library / "mylib.py").write_text("X = 2\n")
    look = "import mylib; print(mylib.X, mylib.__file__)"
    assert envtool("run", "python", "-c", look).stdout == f"2 {library}/mylib.py\n"


def test_an_editable_project_that_is_not_there_changes_nothing(
    envtool: Any, offering: Any, place: Any
) -> None:
    before = (place.project / "envtool.toml").read_bytes()
    ended = envtool("add", "--editable", "../nowhere")
    assert (ended.returncode, "bug" in ended.stderr) == (1, False)
    assert (place.project / "envtool.toml").read_bytes() == before


def test_a_failed_add_leaves_the_declaration(envtool: Any, offering: Any, place: Any) -> None:
    before = (place.project / "envtool.toml").read_bytes()
    ended = envtool("add", "no-such-package")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1].startswith(("hint: ", "error: "))
    assert "Traceback" not in ended.stderr
    assert (place.project / "envtool.toml").read_bytes() == before
    assert not (place.project / "pylock.toml").exists()


def test_ctrl_c_while_fetching_leaves_everything_valid(
    envtool: Any, offering: Any, place: Any, spawn: Any
) -> None:
    offering.behaviour["/files/alpha-1.0-py3-none-any.whl"] = "stall"
    before = (place.project / "envtool.toml").read_bytes()
    child = spawn("add", "alpha", environ={"NO_COLOR": "1"})
    child.expect("fetching")
    child.sendintr()
    child.expect("interrupted; everything done is valid")
    child.wait()
    assert child.exitstatus == 130
    assert child.signalstatus is None
    assert (place.project / "envtool.toml").read_bytes() == before
    offering.behaviour.clear()
    assert envtool("add", "alpha").returncode == 0


def test_a_terminated_switch_is_no_harm(envtool: Any, offering: Any, spawn: Any) -> None:
    offering.behaviour["/files/alpha-1.0-py3-none-any.whl"] = "stall"
    child = spawn("add", "alpha")
    child.expect("fetching")
    child.kill(signal.SIGKILL)
    offering.behaviour.clear()
    assert envtool("add", "alpha").returncode == 0
    assert envtool("run", "greet").stdout == "alpha 1.0\n"


def test_offline_works_when_everything_is_there(envtool: Any, offering: Any) -> None:
    envtool("add", "alpha")
    offering.log.clear()
    assert envtool("--offline", "switch").returncode == 0
    assert envtool("--offline", "run", "greet").stdout == "alpha 1.0\n"
    assert offering.log == []


def test_quiet_and_verbose(envtool: Any, offering: Any) -> None:
    assert envtool("-q", "add", "alpha").stderr == ""
    assert "fetched gamma-1.0-py3-none-any.whl" in envtool("-v", "add", "gamma").stderr


def test_a_shell_of_a_named_environment(envtool: Any, offering: Any, place: Any) -> None:
    with (place.project / "envtool.toml").open("a") as file:
        file.write('\n[env.docs]\ndependencies = ["gamma"]\n')
    line = 'echo "$ENVTOOL_SHELL"; python -c "import gamma; print(gamma.VERSION)"'
    ended = envtool("-e", "docs", "shell", "--shell", "bash", "--run", line)
    assert ended.stdout.splitlines() == ["demo-project.docs", "1.0"]


def test_what_is_found_further_up_is_said(offering: Any, envtool: Any, place: Any) -> None:
    below = place.project / "a/b"
    below.mkdir(parents=True)
    ended = envtool("add", "gamma", cwd=below)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.splitlines()[0] == "using ../../envtool.toml"
    assert "using" not in envtool("switch").stderr
    assert "using" not in envtool("-f", "../../envtool.toml", "switch", cwd=below).stderr
    assert envtool("-q", "switch", cwd=below).stderr == ""
