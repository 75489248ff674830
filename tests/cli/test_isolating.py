"""`run` and `shell` with `--isolated`, `--read-only`, `--no-network` and `--pure`."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

START = [sys.executable, "-c", "import sys; from envtool.cli import main; sys.exit(main())"]


@pytest.mark.namespaces
def test_isolated_shows_closure_and_project_and_nothing_else(
    envtool: Any, make_generation: Any, place: Any, tmp_path: Path
) -> None:
    environment = make_generation()
    (tmp_path / "secret").write_text("secret")
    (place.home / "key").write_text("secret")
    code = (
        "import os; print(os.path.exists(os.environ['HOME']), os.listdir(os.getcwd()),"
        f"os.path.exists({str(place.home)!r}), os.path.exists({str(tmp_path / 'secret')!r}),"
        f"os.listdir({os.path.dirname(environment)!r}))"
    )
    ended = envtool("run", "--isolated", "python", "-c", code)
    store = [os.path.basename(environment)]
    assert ended.stderr == ""
    assert ended.stdout.strip() == f"False ['envtool.toml'] False False {store}"


@pytest.mark.namespaces
def test_the_project_is_written_to_unless_it_may_only_be_read(
    envtool: Any, make_generation: Any, place: Any
) -> None:
    make_generation()
    write = ["sh", "-c", "echo text > made"]
    assert envtool("run", "--isolated", "--read-only", *write).returncode != 0
    assert not (place.project / "made").exists()
    assert envtool("run", "--isolated", *write).returncode == 0
    assert (place.project / "made").stat().st_uid == os.getuid()


@pytest.mark.namespaces
def test_the_hosts_programs_find_which_fonts_there_are(envtool: Any, make_generation: Any) -> None:
    make_generation()
    code = "import os; print(os.path.isdir('/etc/fonts'))"
    told = envtool("run", "--isolated", "python", "-c", code).stdout
    assert told == f"{os.path.isdir('/etc/fonts')}\n"


@pytest.mark.namespaces
def test_the_store_cannot_be_changed_from_inside(envtool: Any, make_generation: Any) -> None:
    environment = make_generation()
    ended = envtool("run", "--isolated", "chmod", "777", f"{environment}/bin/hello")
    assert ended.returncode != 0
    assert "Read-only" in ended.stderr
    assert Path(environment, "bin/hello").stat().st_mode & 0o222 == 0


@pytest.mark.namespaces
def test_only_its_own_processes_are_seen_and_what_it_leaves_ends(
    envtool: Any, make_generation: Any, place: Any
) -> None:
    make_generation()
    script = "mkfifo held; (exec sleep 1000) > held & ls /proc | grep -c '^[0-9]'; exec 3< held"
    ended = envtool("run", "--isolated", "sh", "-c", script)
    assert int(ended.stdout) < 8
    # Its writer is gone: reading finds the end at once rather than wait.
    descriptor = os.open(place.project / "held", os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(descriptor, 1) == b""
    os.close(descriptor)


@pytest.mark.namespaces
def test_no_network_leaves_the_commands_own(envtool: Any, make_generation: Any) -> None:
    make_generation()
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = (
            "import socket; own = socket.create_server(('127.0.0.1', 0));"
            "socket.create_connection(own.getsockname(), 5); print('own');"
            f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        )
        for words in (["--no-network"], ["--isolated", "--no-network"]):
            ended = envtool("run", *words, "python", "-c", code)
            assert ended.stdout == "own\n", ended.stderr
            assert "refused" in ended.stderr
        assert envtool("run", "--isolated", "python", "-c", code).returncode == 0


@pytest.mark.namespaces
def test_exit_codes_and_signals_are_the_commands(envtool: Any, make_generation: Any) -> None:
    make_generation()
    assert envtool("run", "--isolated", "sh", "-c", "exit 7").returncode == 7
    assert envtool("run", "--isolated", "sh", "-c", "kill -9 $$").returncode == -signal.SIGKILL
    assert envtool("run", "--isolated", "nowhere").returncode == 127


@pytest.mark.namespaces
def test_a_signal_to_envtool_reaches_the_command(
    make_generation: Any, place: Any, tmp_path: Path
) -> None:
    make_generation()
    script = "trap 'echo told > heard; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [*START, "run", "--isolated", "sh", "-c", script],
        cwd=place.project,
        env=place.environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait() == 5
    assert (place.project / "heard").read_text() == "told\n"


@pytest.mark.namespaces
def test_ctrl_c_is_the_commands_to_take(make_generation: Any, spawn: Any) -> None:
    make_generation()
    child = spawn("run", "--isolated", "python", "-q")
    child.expect_exact(">>> ")
    child.sendintr()
    child.expect_exact("KeyboardInterrupt")
    child.expect_exact(">>> ")
    child.sendline("raise SystemExit(6)")
    assert child.ended() == 6


@pytest.mark.namespaces
def test_job_control_stops_and_goes_on(make_generation: Any, open_terminal: Any) -> None:
    make_generation()
    child = open_terminal("bash", "--norc", "--noprofile", "-i", environ={"PS1": "$ "})
    line = " ".join(f"'{word}'" for word in (*START, "run", "--isolated", "cat"))
    child.sendline(line)
    child.sendline("one")
    child.expect("one\r+\none\r\n")
    child.sendcontrol("z")
    child.expect("Stopped")
    child.sendline("fg")
    child.sendline("two")
    child.expect("two\r+\ntwo\r\n")
    child.sendeof()
    child.sendline("echo le''ft=$?")
    assert child.line("left") == "left=0"


@pytest.mark.namespaces
def test_a_shell_can_be_isolated(shell: str, make_generation: Any, spawn: Any, place: Any) -> None:
    make_generation()
    (place.home / ".bashrc").write_text("export PATH=/first:$PATH\n")
    child = spawn("shell", "--isolated", "--pure", "--shell", shell)
    child.expect_exact("(demo) ")
    child.sendline("hello; echo 'o'ver; echo $HOME; exit 4")
    child.expect("hello\r\n")
    child.expect("over\r\n")
    child.expect("/homeless-shelter\r\n")
    assert child.ended() == 4


def test_pure_leaves_declared_variables_only(envtool: Any, make_generation: Any) -> None:
    environment = make_generation()
    code = "import os; print(*sorted(os.environ)); print(os.environ['PATH'])"
    ended = envtool("run", "--pure", "python", "-c", code, environ={"TOKEN": "secret"})
    names, path = ended.stdout.splitlines()
    assert path == f"{environment}/bin"
    assert "GREETING" in names.split()
    assert "HOME" in names.split()
    assert not {"TOKEN", "ENVTOOL_ROOT", "LC_ALL"} & (set(names.split()) - {"LC_CTYPE"})
    assert envtool("run", "--pure", "ls").returncode == 127


def test_options_that_do_not_go_together_are_wrong_usage(
    envtool: Any, make_generation: Any
) -> None:
    make_generation()
    for words in (["run", "--read-only", "hello"], ["shell", "--read-only"]):
        ended = envtool(*words)
        assert ended.returncode == 2
        assert "--read-only needs --isolated" in ended.stderr
    assert "has no option --isolate\n" in envtool("run", "--isolate", "hello").stderr


@pytest.mark.namespaces
@pytest.mark.parametrize("option", ["--isolated", "--no-network"])
def test_denied_namespaces_name_the_setting_and_the_rest_works(
    option: str, make_generation: Any, denied: Any
) -> None:
    make_generation()
    refused = denied("run", option, "hello")
    assert refused.returncode == 1
    assert "user.max_user_namespaces is 0" in refused.stderr
    assert "sudo sysctl user.max_user_namespaces=28633" in refused.stderr
    assert denied("run", "--pure", "hello").stdout == "hello\n"
    assert denied("run", "hello").stdout == "hello\n"
