"""What the shells complete, asked as they ask and in the shells themselves."""

import subprocess
import sys
from typing import Any

import pytest

from envtool.formats.lock import Artifact, Lock, LockedPackage, LockedPython, render


def lock_of(name: str) -> str:
    wheel = Artifact(f"{name}-2.0-py3-none-any.whl", f"https://h/{name}.whl", None, 10, "0" * 64)
    python = LockedPython("3.11", "cpython", "x86_64-manylinux_2_40")
    package = LockedPackage(name, "2.0", None, wheels=(wheel,), direct=True)
    return render(Lock(python, (package,), (), "sha256-x"))


@pytest.fixture
def offered(envtool: Any) -> Any:
    """Return the candidates for the last of some words."""

    def ask(*words: str) -> list[str]:
        ended = envtool("__complete", "--", *words)
        assert (ended.returncode, ended.stderr) == (0, "")
        return [line.partition("\t")[0] for line in ended.stdout.splitlines()]

    return ask


def test_commands_and_families(offered: Any) -> None:
    assert offered("s") == ["switch", "shell", "search", "store"]
    assert offered("kernel", "") == ["install", "list", "remove"]
    assert offered("-q", "notebook", "r") == ["run"]


def test_meanings_stand_behind_a_tab(envtool: Any) -> None:
    assert envtool("__complete", "--", "swi").stdout == (
        "switch\tRealise what is declared and make it the current generation\n"
    )


def test_options_of_the_command_and_everywhere(offered: Any) -> None:
    assert offered("switch", "--d") == ["--directory", "--dry-run"]
    assert offered("--off") == ["--offline"]


def test_values_of_options(offered: Any) -> None:
    assert offered("tree", "--color", "a") == ["auto", "always"]
    assert offered("tree", "--color=n") == ["--color=never"]
    assert offered("-f", "") == [":files"]
    assert offered("add", "--editable", "") == [":directories"]
    assert offered("completion", "") == ["bash", "zsh", "fish"]


def test_environments_of_the_declaration(offered: Any, place: Any) -> None:
    with (place.project / "envtool.toml").open("a") as file:
        file.write(
            '[env.docs]\ndependencies = []\n[env.docs.vars]\nA = "1"\n[env.ci]\nbroken = [\n'
        )
    assert offered("-e", "") == ["default", "docs", "ci"]
    assert offered("switch", "--env=d") == ["--env=default", "--env=docs"]


def test_generations_of_the_environment(offered: Any, make_generation: Any) -> None:
    make_generation()
    make_generation({"other": "#!/bin/sh\n"})
    assert offered("rollback", "") == ["1", "2"]
    assert offered("rollback", "1", "") == []


def test_packages_of_the_lock(offered: Any, place: Any) -> None:
    (place.project / "pylock.toml").write_text(lock_of("numpy"))
    assert offered("why", "n") == ["numpy"]
    assert offered("remove", "numpy", "") == ["numpy"]
    assert offered("lock", "--upgrade", "") == ["numpy"]
    assert offered("lock", "--upgrade", "numpy", "n") == ["numpy"]
    (place.project / "sub").mkdir()
    assert offered("-C", "sub", "why", "") == ["numpy"]


def test_words_behind_run_are_the_commands(offered: Any) -> None:
    assert offered("run", "") == [":commands"]
    assert offered("run", "python", "-") == [":files"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        [""],
        ["xyzzy", ""],
        ["-C", "/nowhere", "why", ""],
        ["why", "x", "y", ""],
        ["--nope=", ""],
    ],
)
def test_nonsense_is_met_with_silence(words: list[str], envtool: Any) -> None:
    ended = envtool("__complete", "--", *words)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_without_a_project_there_is_silence(envtool: Any, tmp_path: Any) -> None:
    (tmp_path / "empty").mkdir()
    ended = envtool("__complete", "--", "why", "", cwd=tmp_path / "empty")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


SHELLS = {
    "bash": ["bash", "--norc", "--noprofile"],
    "zsh": ["zsh", "-f"],
    "fish": ["fish", "--no-config"],
}


PROGRAM = """\
#!/bin/sh
if [ "$1" = __complete ]; then
    exec {python} -c 'import sys; from envtool.cli import main; sys.exit(main())' "$@"
fi
echo "called: $*:"
"""
"""envtool, but that it only says with which words it was called."""


@pytest.fixture
def typing(shell: str, place: Any, envtool: Any, open_terminal: Any, tmp_path: Any) -> Any:
    """Start a shell on a terminal that has the completion and knows envtool by name."""
    script, programs = tmp_path / "completion", tmp_path / "programs"
    script.write_text(envtool("completion", shell).stdout)
    programs.mkdir()
    (programs / "envtool").write_text(PROGRAM.format(python=sys.executable))
    (programs / "envtool").chmod(0o755)
    environ = {"PATH": f"{programs}:{place.environ['PATH']}"}
    child = open_terminal(*SHELLS[shell], environ=environ)
    ready = {"zsh": "autoload -U compinit; compinit -u -D; "}.get(shell, "")
    child.sendline(f"{ready}source {script}; echo rea''dy")
    child.expect_exact("ready\r\n")
    return child


@pytest.fixture
def known(place: Any, make_generation: Any, envtool: Any) -> None:
    """Let there be an environment, a lock, and generations 2 to 10."""
    (place.project / "bom.json").touch()
    with open(place.project / "envtool.toml", "a", encoding="utf-8") as file:
        file.write("\n[env.custom]\n")
    (place.project / "pylock.toml").write_text(lock_of("somepackage"))
    for number in range(10):
        make_generation({f"program{number}": "#!/bin/sh\n"})
    assert envtool("generations", "delete", "1").returncode == 0


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("outd\t", "outdated"),
        ("kernel ins\t", "kernel install"),
        ("generat\t--jso\t", "generations --json"),
        ("-e cust\tswi\t", "-e custom switch"),
        ("rollback 1\t", "rollback 10"),
        ("generations delete 1\t", "generations delete 10"),
        ("why some\t", "why somepackage"),
        ("upgrade somep\t", "upgrade somepackage"),
        ("export --format cyc\t-o bom\t", "export --format cyclonedx -o bom.json"),
    ],
)
def test_a_tab_completes_in_the_shell(typed: str, called: str, typing: Any) -> None:
    typing.send(f"envtool {typed}")
    typing.send("\r")
    typing.expect(r"called: (.*?):")
    assert typing.match[1].strip() == called


def test_the_script_is_one_the_shell_can_read(shell: str, envtool: Any, tmp_path: Any) -> None:
    script = tmp_path / "completion"
    script.write_text(envtool("completion", shell).stdout)
    checked = subprocess.run([shell, "-n", script], capture_output=True, check=True)
    assert checked.stderr == b""
    assert "__complete" in script.read_text()
