"""What of the machine an environment with system packages still reaches: display, agent, GPU."""

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Place, Run

DECLARED = """\
name = "demo"
python = "3.11"
interpreter = "debian/bookworm"
dependencies = []

[system]
packages = ["hello"]
suite = "bookworm"
"""
GPU = "\n[gpu]\nhost-drivers = true\n"
CONNECT = """
import os, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
print(peer.recv(9).decode(), *(os.environ.get(name) for name in sys.argv[2:]))
"""
AGENT = """
import os, socket, struct
agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["SSH_AUTH_SOCK"])
agent.sendall(struct.pack(">IB", 1, 11))
print(struct.unpack(">IBI", agent.recv(9)))
"""
LISTING = """
import os
for name in sorted(os.listdir("/dev")):
    try:
        print(name, os.stat("/dev/" + name).st_rdev)
    except OSError:
        pass
print(open("/dev/urandom", "rb").read(8) != bytes(8))
"""
OPEN = """
import ctypes, os
print(ctypes.CDLL("libcuda.so.1").answer(), os.path.exists("/.host/usr/bin"))
"""
COVERED = "/usr/local/games"
"""A folder that every Debian has and nobody fills; the host's driver is put there, for a while."""


pytestmark = pytest.mark.namespaces


@pytest.fixture
def declared() -> str:
    return DECLARED


@contextmanager
def server(path: str) -> Iterator[None]:
    """Greet one who connects to a UNIX socket at this path."""
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(path)
        listening.listen()
        child = os.fork()
        if child == 0:
            listening.accept()[0].sendall(b"greetings")
            os._exit(0)
        try:
            yield
        finally:
            with closing(socket.socket(socket.AF_UNIX)) as waking:
                waking.connect(path)
            os.waitpid(child, 0)
            os.unlink(path)


def free_display() -> int:
    """Return the number of a display that nobody has, of those that X servers listen for."""
    folder = "/tmp/.X11-unix"
    with suppress(FileExistsError):
        os.mkdir(folder)
        os.chmod(folder, 0o1777)
    if not os.access(folder, os.W_OK):
        pytest.skip(f"{folder} is another user's")
    return next(n for n in range(500, 1000) if not os.path.lexists(f"{folder}/X{n}"))


def test_a_display_of_x_is_reached_with_its_authority(switched: "Run", place: "Place") -> None:
    authority = place.home / "authority"
    authority.write_text("cookie")
    number = free_display()
    environ = {"DISPLAY": f":{number}", "XAUTHORITY": str(authority)}
    path = f"/tmp/.X11-unix/X{number}"
    with server(path):
        words = ["python", "-c", CONNECT, path, "DISPLAY", "XAUTHORITY"]
        ended = switched("run", *words, environ=environ)
    assert ended.stdout == f"greetings :{number} {authority}\n", ended.stderr
    assert switched("run", "cat", str(authority), environ=environ).stdout == "cookie"


def test_a_display_of_wayland_is_reached(switched: "Run", place: "Place") -> None:
    runtime = place.home / "run"
    runtime.mkdir()
    environ = {"WAYLAND_DISPLAY": "wayland-7", "XDG_RUNTIME_DIR": str(runtime)}
    path = str(runtime / "wayland-7")
    with server(path):
        words = ["python", "-c", CONNECT, path, "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"]
        ended = switched("run", *words, environ=environ)
    assert ended.stdout == f"greetings wayland-7 {runtime}\n", ended.stderr


@pytest.mark.programs("ssh-agent")
def test_the_agent_of_ssh_answers(switched: "Run", place: "Place") -> None:
    path = str(place.home / "agent")
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as agent:
        assert agent.stdout is not None
        assert b"SSH_AUTH_SOCK" in agent.stdout.readline()
        try:
            ended = switched("run", "python", "-c", AGENT, environ={"SSH_AUTH_SOCK": path})
        finally:
            agent.kill()
    # Its answer to "which keys": five bytes, of kind 12, no key.
    assert ended.stdout == "(5, 12, 0)\n", ended.stderr


def test_devices_are_those_of_the_machine(switched: "Run") -> None:
    ended = switched("run", "python", "-c", LISTING)
    *listed, works = ended.stdout.splitlines()
    assert works == "True", ended.stderr
    devices = {line.split()[0]: int(line.split()[1]) for line in listed}
    found = {
        name: os.stat(f"/dev/{name}").st_rdev
        for name in os.listdir("/dev")
        if os.path.exists(f"/dev/{name}") and not stat.S_ISREG(os.stat(f"/dev/{name}").st_mode)
    }
    shared = found.keys() & devices.keys()
    assert {name: found[name] for name in shared} == {name: devices[name] for name in shared}
    assert {"null", "urandom", "shm"} <= shared


def test_the_network_of_the_machine_is_reached(switched: "Run") -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port})); print('reached')"
        assert switched("run", "python", "-c", code).stdout == "reached\n"
        refused = switched("run", "--no-network", "python", "-c", code)
        assert "refused" in refused.stderr


@pytest.mark.mounts
@pytest.mark.programs("gcc")
@pytest.mark.skipif(not os.path.isdir(COVERED), reason="a folder of /usr holds a driver")
def test_the_hosts_gpu_driver_is_reached_though_it_lies_in_usr(
    switched: "Run", place: "Place", tmp_path: Path
) -> None:
    folder = tmp_path / "driver"
    folder.mkdir()
    (tmp_path / "answer.c").write_text("int answer(void) { return 42; }\n")
    made = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", "driver/libcuda.so.1"]
    subprocess.run([*made, "answer.c"], cwd=tmp_path, check=True)
    place.environ |= {"ENVTOOL_DRIVERS": COVERED}
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    covering = ["unshare", "-rm", "sh", "-c", script, "sh", str(folder), COVERED]
    run = partial(switched, within=covering)

    (place.project / "envtool.toml").write_text(DECLARED + GPU)
    ended = run("switch")
    assert ended.returncode == 0, ended.stderr
    ended = run("run", "python", "-c", OPEN)
    assert ended.stdout == "42 True\n", ended.stderr
    ended = run("run", "--isolated", "python", "-c", OPEN)
    assert ended.stdout == "42 False\n", ended.stderr
    without = DECLARED.partition("[system]")[0]
    (place.project / "envtool.toml").write_text(without + GPU)
    assert run("switch").returncode == 0
    for words in (["run"], ["run", "--isolated"]):
        assert run(*words, "python", "-c", OPEN).stdout == "42 False\n"
    (place.project / "envtool.toml").write_text(without)
    assert run("switch").returncode == 0
    assert "cannot open shared object" in run("run", "python", "-c", OPEN).stderr
