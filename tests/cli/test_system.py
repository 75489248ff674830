"""System packages of Debian, from the declaration to the shell, by the host's mirror and index."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

if TYPE_CHECKING:
    from cli.conftest import MakeExtension, Place, Run, Spawn

DECLARED = """\
name = "demo"
python = "3.11"
interpreter = "debian/bookworm"
dependencies = ["six"]

[system]
packages = ["gcc", "git", "graphviz", "libc6-dev"]
suite = "bookworm"

[vars]
GREETING = "hei"

[kernel]
"""
KERNEL = """
import sys
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
notebook = new_notebook(cells=[new_code_cell(sys.argv[1])])
NotebookClient(notebook, kernel_name="demo").execute()
print("".join(each.get("text", "") for each in notebook.cells[0].outputs))
"""
PROGRAM = '#include <stdio.h>\nint main(void) { printf("%d\\n", 6 * 7); return 7; }\n'


pytestmark = pytest.mark.namespaces


@pytest.fixture
def declared() -> str:
    return DECLARED


Said = Callable[..., str]


@pytest.fixture
def said(switched: "Run") -> Said:
    """Return what a line of shell in the environment prints."""

    def run(line: str, **more: Any) -> str:
        ended = switched("run", "sh", "-c", line, **more)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    return run


def test_graphviz_draws_with_its_own_fonts(said: Said, place: "Place") -> None:
    said("echo 'digraph { a -> b }' | dot -Tpng -o drawn.png")
    drawn = place.project / "drawn.png"
    assert drawn.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert drawn.stat().st_uid == os.getuid()
    assert said("dot -V 2>&1").startswith("dot - graphviz version 2.43")


def test_git_clones_a_repository(said: Said, place: "Place") -> None:
    commit = "git -c user.name=a -c user.email=b commit -q --allow-empty -m first"
    said(f"git init -q one && cd one && {commit} && cd .. && git clone -q one two 2>&1")
    assert said("git -C two log --format=%s") == "first"


def test_gcc_compiles_what_runs(said: Said, place: "Place") -> None:
    (place.project / "a.c").write_text(PROGRAM)
    assert said("gcc a.c -o a.out; ./a.out || echo $?").split() == ["42", "7"]


def test_source_packages_are_built_with_its_compiler(
    switched: "Run", place: "Place", make_extension: "MakeExtension"
) -> None:
    mine = make_extension(
        'PyModule_AddIntConstant(made, "seen", SEEN);',
        macros="[('SEEN', str(os.stat('/usr/bin/gcc').st_ino))]",
    )
    declared = DECLARED.replace('["six"]', '["mine"]')
    source = f'\n[sources]\nmine = {{ path = "{mine}" }}\n'
    (place.project / "envtool.toml").write_text(declared + source)
    ended = switched("switch")
    assert ended.returncode == 0, ended.stderr
    ended = switched("run", "python", "-c", "import mine, os; print(mine.seen)")
    (gcc,) = (place.root / "store").glob("*-system/usr/bin/gcc")
    assert ended.stdout == f"{gcc.stat().st_ino}\n", ended.stderr


def test_programs_and_data_are_the_systems_and_the_rest_is_the_hosts(
    said: Said, switched: "Run", place: "Place"
) -> None:
    (place.home / "mine").write_text("mine\n")
    line = (
        "id -u; cat ~/mine; pwd; echo $GREETING; readlink -f $(which git); "
        "cat /etc/hostname 2> /dev/null || hostname; ls /.host > /dev/null && echo seen"
    )
    uid, mine, folder, greeting, git, *rest = said(line).splitlines()
    assert (uid, mine, greeting) == (str(os.getuid()), "mine", "hei")
    assert folder == str(place.project)
    assert git == "/usr/bin/git"
    assert rest[-1] == "seen"
    python = said("python -c 'import six, sys; print(sys.version_info[:2], sys.prefix)'")
    assert python.startswith("(3, 11) ")
    assert str(place.root) in python


def test_the_system_root_cannot_be_written_to(said: Said) -> None:
    refused = "touch /usr/made 2> /dev/null || touch /etc/fonts/made 2> /dev/null || echo refused"
    assert said(refused) == "refused"


def test_fonts_and_libraries_are_found_by_their_caches(said: Said) -> None:
    assert "le64.cache" in said("ls /var/cache/fontconfig")
    assert "libgvc.so.6" in said("/sbin/ldconfig -p")
    assert int(said("ls /etc/ssl/certs | wc -l")) > 100


def test_one_environment_starts_in_another(said: Said, place: "Place") -> None:
    other = place.home / "other"
    other.mkdir()
    (other / "envtool.toml").write_text(DECLARED.replace('"demo"', '"other"'))
    inner = "envtool run sh -c 'echo $ENVTOOL_PROJECT; dot -V 2>&1; id -u'"
    lines = said(f"cd {other}; {inner}").splitlines()
    assert lines[0] == str(other)
    assert lines[-2].startswith("dot - graphviz")
    assert lines[-1] == str(os.getuid())


def test_a_shell_on_a_terminal_has_them(switched: "Run", spawn: "Spawn") -> None:
    child = spawn("shell", "--shell", "bash")
    child.expect_exact("(demo) ")
    child.sendline("dot -V; readlink -f /proc/$$/exe; exit 5")
    child.expect(r"graphviz version 2\.43")
    child.expect_exact("/usr/bin/bash")
    assert child.ended() == 5


def test_a_kernel_has_them(switched: "Run", place: "Place") -> None:
    assert switched("kernel", "install", "envtool.toml").returncode == 0
    done = subprocess.run(
        [sys.executable, "-c", KERNEL, "!dot -V"],
        env={**os.environ, **place.environ},
        cwd=place.project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "graphviz version 2.43" in done.stdout, done.stderr


def test_a_notebook_that_is_run_has_them(switched: "Run", place: "Place") -> None:
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "one",
        "metadata": {},
        "outputs": [],
        "source": "import shutil; print(shutil.which('dot'))",
    }
    metadata = {"envtool": {"declaration": tomllib.loads(DECLARED)}}
    notebook = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path = place.project / "drawn.ipynb"
    path.write_text(json.dumps(notebook))
    ended = switched("notebook", "run", str(path))
    assert ended.returncode == 0, ended.stderr
    texts = [each.read_text() for each in place.project.glob("*.ipynb")]
    assert any('"/usr/bin/dot' in each for each in texts)


def test_isolation_shows_them_and_nothing_of_the_hosts(switched: "Run", place: "Place") -> None:
    line = "dot -V 2>&1; ls -d /.host /home 2> /dev/null; python -c 'import six; print(6 * 7)'"
    ended = switched("run", "--isolated", "--pure", "--no-network", "sh", "-c", line)
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("dot - graphviz"), ended.stderr
    assert lines[1:] == ["42"]


@pytest.mark.programs("unshare")
def test_another_user_sees_the_same(switched: "Run", place: "Place") -> None:
    as_user = ["unshare", "-U", "--map-user=1234", "--map-group=1234"]
    line = "id -u; dot -V 2>&1; touch made; stat -c %u made; envtool run git --version"
    ended = switched("run", "sh", "-c", line, within=as_user)
    lines = ended.stdout.splitlines()
    assert [lines[0], lines[2]] == ["1234", "1234"], ended.stderr
    assert lines[3].startswith("git version 2.39")


def test_denied_namespaces_name_the_setting(switched: "Run", denied: "Run") -> None:
    ended = denied("run", "dot", "-V")
    assert ended.returncode == 1
    assert "user.max_user_namespaces is 0" in ended.stderr
    assert "sudo sysctl" in ended.stderr


def test_the_lock_pins_every_deb_and_stays_the_same(switched: "Run", place: "Place") -> None:
    lock = place.project / "pylock.toml"
    written = lock.read_text()
    assert "\nsystem = [\n" in written
    assert 'name = "libgvc6"' in written
    assert 'name = "ca-certificates"' in written
    assert switched("lock", "--check").returncode == 0
    assert switched("lock", "--upgrade").returncode == 0
    assert lock.read_text() == written


def test_packages_come_and_go_by_word(switched: "Run", place: "Place") -> None:
    path = place.project / "envtool.toml"
    path.write_text(DECLARED.replace("[system]\n", "[system]\n# what draws\n"))
    added = switched("add", "--system", "bc")
    assert added.returncode == 0, added.stderr
    assert '# what draws\npackages = ["gcc", "git", "graphviz", "libc6-dev", "bc"]' in (
        path.read_text()
    )
    assert "  +  bc  1.07" in added.stdout
    assert "other packages of Debian" in added.stdout
    assert switched("run", "sh", "-c", "echo 6*7 | bc").stdout == "42\n"
    compared = json.loads(switched("diff", "--json").stdout)["changes"]
    assert "bc" in [each["name"] for each in compared["debian"]["added"] if each["direct"]]
    assert compared["debian"]["changed"] == []
    assert "Debian +" in switched("generations").stdout.splitlines()[-1]
    listed = switched("__complete", "--", "remove", "--system", "b").stdout
    assert listed == "bc\n"
    path.write_text(path.read_text().replace(', "bc"', ""))
    assert "  -  bc  1.07" in switched("switch", "--dry-run").stdout
    path.write_text(path.read_text().replace('libc6-dev"', 'libc6-dev", "bc"'))
    removed = switched("remove", "--system", "bc")
    assert removed.returncode == 0, removed.stderr
    assert path.read_text() == DECLARED.replace("[system]\n", "[system]\n# what draws\n")
    assert switched("run", "bc").returncode == 127


def test_a_notebook_takes_them_by_word(switched: "Run", place: "Place") -> None:
    path = place.project / "drawn.ipynb"
    path.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert switched("notebook", "add", "drawn.ipynb").returncode == 2
    added = switched("notebook", "add", "drawn.ipynb", "six", "--system", "bc")
    assert added.returncode == 0, added.stderr
    ran = switched("-f", "drawn.ipynb", "run", "sh", "-c", "echo 6*7 | bc")
    assert ran.stdout == "42\n", ran.stderr
    source = "".join(json.loads(path.read_text())["cells"][0]["source"])
    assert '# [tool.envtool.system]\n# packages = [\n#     "bc",\n# ]' in source


def test_other_tools_get_what_they_have_words_for(switched: "Run") -> None:
    bill = switched("export", "--format", "cyclonedx")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.stdout) is None
    references = [each["bom-ref"] for each in json.loads(bill.stdout)["components"]]
    assert len(set(references)) == len(references)
    assert any(each.startswith("pkg:deb/debian/graphviz@2.42") for each in references)
    docker = switched("export", "--format", "dockerfile")
    assert "\nFROM python:3.11-slim-bookworm\n" in docker.stdout
    assert " gcc git graphviz libc6-dev " in docker.stdout
    assert "not carried over: the versions of packages of Debian: gcc, git" in docker.stderr
    plain = json.loads(switched("export", "--json").stdout)
    assert plain["left"] == [
        "packages of Debian: gcc, git, graphviz, libc6-dev",
        "where the interpreter comes from (debian)",
    ]


def test_a_typo_is_told_and_nothing_is_written(switched: "Run", place: "Place") -> None:
    path = place.project / "envtool.toml"
    ended = switched("add", "--system", "graphvis")
    assert ended.returncode == 1
    assert "did you mean graphviz" in ended.stderr
    assert path.read_text() == DECLARED
    ended = switched("remove", "--system", "graphvis")
    assert "no system package 'graphvis' to remove; did you mean 'graphviz'?" in ended.stderr


def test_a_shell_of_just_these_needs_no_file(switched: "Run", place: "Place") -> None:
    (place.project / "envtool.toml").unlink()
    line = "echo 6*7 | bc; python -c 'import six; print(six.__name__)'"
    ended = switched("shell", "--system", "bc", "-p", "six", "--run", line)
    assert ended.stdout == "42\nsix\n", ended.stderr
    alone = switched("shell", "--system", "bc", "--run", "echo 2+2 | bc")
    assert alone.stdout == "4\n", alone.stderr
    ended = switched("shell", "--system", "bc", "--generation", "2")
    assert (ended.returncode, "--system and --generation" in ended.stderr) == (2, True)


def test_a_package_that_the_suite_lacks_is_told(switched: "Run", place: "Place") -> None:
    wrong = DECLARED.replace('"graphviz"', '"graphvis"')
    (place.project / "envtool.toml").write_text(wrong)
    ended = switched("lock")
    assert ended.returncode == 1
    assert "bookworm has no package graphvis" in ended.stderr
    assert "graphviz" in ended.stderr


def test_a_command_that_is_not_there_is_not_found(switched: "Run") -> None:
    ended = switched("run", "nowhere")
    assert ended.returncode == 127
    assert "no command nowhere" in ended.stderr


def test_a_command_that_is_not_on_the_path_is_found_and_named(switched: "Run") -> None:
    ended = switched("run", "ldconfig", "--version")
    assert ended.returncode == 127
    assert ended.stderr.endswith("hint: envtool run /usr/sbin/ldconfig\n")
    assert switched("run", "/usr/sbin/ldconfig", "--version").returncode == 0


def test_a_system_root_that_is_interrupted_leaves_nobody(
    switched: "Run", place: "Place", spawn: "Spawn"
) -> None:
    child = spawn("add", "--system", "hello")
    child.expect_exact("building")
    child.kill(signal.SIGINT)
    child.expect_exact("interrupted; everything done is valid")
    assert child.ended() == 130
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            assert os.fsencode(place.root) not in process.read_bytes()
    assert (place.project / "envtool.toml").read_text() == DECLARED
    assert switched("run", "dot", "-V").returncode == 0
    assert switched("add", "--system", "hello").returncode == 0
    assert switched("run", "hello").stdout == "Hello, world!\n"
