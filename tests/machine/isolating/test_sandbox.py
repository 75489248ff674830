"""What a command in the sandbox sees, may do, and leaves behind; by the real bubblewrap."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from envtool.errors import SandboxError, StoreError
from envtool.machine.isolating import sandbox
from envtool.machine.isolating.sandbox import Sandbox, View, host_system
from envtool.machine.settings import load

PATH = os.environ.get("PATH", os.defpath)


def perform(folder: Path, script: str, *, network: bool = False) -> tuple[int, str]:
    """Run a line of shell in a sandbox that may write to `folder`; its code and its output."""
    inside = Sandbox(
        (*host_system(), View(str(folder), writable=True)),
        {"PATH": "/usr/bin:/bin", "HOME": sandbox.HOME},
        str(folder),
        network=network,
    )
    with open(folder / "output", "w+b") as output:
        code = sandbox.run(sandbox.require(PATH), inside, ["sh", "-c", script], output=output)
        output.seek(0)
        return code, output.read().decode()


def is_running(words: str) -> bool:
    """Say whether a process has these words in its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if words in text:
            return True
    return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "room").mkdir()
    (tmp_path / "secret").write_text("secret")
    return tmp_path / "room"


@pytest.mark.namespaces
def test_exit_code_and_both_outputs_come_out(folder: Path) -> None:
    assert perform(folder, "echo one; echo two >&2; exit 7") == (7, "one\ntwo\n")
    assert perform(folder, "kill -9 $$")[0] == 128 + signal.SIGKILL


@pytest.mark.namespaces
def test_it_writes_where_it_may_and_nowhere_else(folder: Path) -> None:
    code, said = perform(folder, "echo text > made; echo text > /usr/made || echo refused")
    assert code == 0
    assert "refused" in said
    assert (folder / "made").read_text() == "text\n"
    assert os.stat(folder / "made").st_uid == os.getuid()


@pytest.mark.namespaces
def test_what_lies_beside_is_not_there(folder: Path) -> None:
    assert perform(folder, "ls ..")[1] == "room\n"
    home = os.path.expanduser("~")
    assert perform(folder, f"ls -A {home}")[0] != 0 or str(folder).startswith(home)
    assert perform(folder, 'ls "$HOME"')[0] != 0
    assert perform(folder, "ls -A /tmp | grep -v pytest")[1] == ""


@pytest.mark.namespaces
def test_variables_are_exactly_those_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    names = {line.partition("=")[0] for line in perform(folder, "env")[1].splitlines()}
    assert names <= {"PATH", "HOME", "PWD", "_", "SHLVL", "OLDPWD"}


@pytest.mark.namespaces
def test_the_user_is_the_same_on_every_machine(folder: Path) -> None:
    assert perform(folder, "id -u; id -g; hostname")[1] == "1000\n100\nlocalhost\n"


@pytest.mark.namespaces
def test_other_processes_are_out_of_sight(folder: Path) -> None:
    pids = [int(word) for word in perform(folder, "ls /proc | grep '^[0-9]'")[1].split()]
    assert max(pids) < 20


@pytest.mark.namespaces
def test_there_is_no_network_unless_asked_for(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = (
            f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)'"
        )
        code, said = perform(folder, connect)
        assert code != 0
        assert "refused" in said
        assert perform(folder, connect, network=True)[0] == 0


@pytest.mark.namespaces
def test_what_is_left_running_ends_with_the_command(folder: Path) -> None:
    for _ in range(5):
        code, _ = perform(folder, "(sleep 1000; echo survived) & exit 0")
        assert code == 0
        assert not is_running("echo survived")


@pytest.mark.namespaces
def test_killing_the_caller_ends_all_that_runs_inside(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "import test_sandbox as t;"
        "t.perform(Path(sys.argv[2]), 'touch begun; exec sleep 1000')"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(folder)],
    )
    while not (folder / "begun").exists():
        assert caller.poll() is None
    caller.kill()
    caller.wait()
    while is_running(f"--chdir {folder}"):
        pass


@pytest.mark.namespaces
def test_links_of_the_host_system_stay_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    box = Sandbox((View(str(tmp_path / "link")),), {}, "/")
    words = sandbox.arguments(box, ["true"], files={})
    at = words.index("--symlink")
    assert words[at + 1 : at + 3] == ["real", str(tmp_path / "link")]


def test_machine_without_bubblewrap_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="not on PATH") as caught:
        sandbox.require(str(tmp_path))
    assert caught.value.hint == "apt install bubblewrap"


@pytest.mark.namespaces
@pytest.mark.programs("unshare")
def test_denied_namespaces_name_the_setting(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from envtool.errors import SandboxError\n"
        "from envtool.machine.isolating import sandbox\n"
        "try: sandbox.require(sys.argv[1])\n"
        "except SandboxError as error: print(error.message, '|', error.hint)"
    )
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    argv = ["unshare", "-Ur", "sh", "-c", script, "sh", sys.executable, "-c", code, PATH]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "user.max_user_namespaces is 0" in done.stdout
    assert "sudo sysctl user.max_user_namespaces=28633" in done.stdout


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ],
)
def test_each_setting_that_denies_is_known(tmp_path: Path, name: str, state: str) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / name).write_text(f"{state}\n")
    denial = sandbox._denial(str(tmp_path))
    assert denial is not None
    assert denial[0] == f"{name.replace('/', '.')} is {state}"
    assert "sysctl" in denial[1]
    (tmp_path / name).write_text(f"{1 - int(state)}\n")
    assert sandbox._denial(str(tmp_path)) is None


def test_mode_is_read_from_the_variable_and_nothing_else_will_do(tmp_path: Path) -> None:
    root = {"ENVTOOL_ROOT": str(tmp_path)}
    assert load(root).sandbox == "auto"
    assert load(root | {"ENVTOOL_SANDBOX": "require"}).sandbox == "require"
    assert load(root | {"ENVTOOL_SANDBOX": "off"}).sandbox == "off"
    with pytest.raises(StoreError, match="auto, require or off"):
        load(root | {"ENVTOOL_SANDBOX": "maybe"})
