"""A kernel whose environment is built while its clients wait."""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envtool.kernel.relay import behind
from envtool.machine.project import Project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import (  # noqa: TID251 - tests/kernel, not kernel/
        Declare,
        Session,
        Spec,
        Start,
    )

LIMIT = 60


class Gate:
    """No build gets beyond it while it is closed: the store is held by somebody else."""

    def __init__(self, workspace: Workspace) -> None:
        self._held = ExitStack()
        self._held.enter_context(workspace.store.exclusive())

    def open(self) -> None:
        """Let builds go on."""
        self._held.close()


@pytest.fixture
def gate(workspace: Workspace) -> Iterator[Gate]:
    closed = Gate(workspace)
    yield closed
    closed.open()


@pytest.fixture
def unbuilt(workspace: Workspace, declare: "Declare") -> Project:
    """Return a project that has no generation yet."""
    return declare("fell", 'dependencies = ["ipykernel"]\n')


@pytest.fixture
def building(gate: Gate, unbuilt: Project, spec: "Spec", start: "Start") -> "Session":
    """Return a kernel whose environment is being built."""
    return start(spec("--declaration", unbuilt.path))


def messages(kernel: "Session", parent: str) -> Iterator[dict[str, Any]]:
    """Yield what is published about a request, until it is done with."""
    while True:
        message = kernel.client.get_iopub_msg(timeout=LIMIT)
        if message["parent_header"].get("msg_id") == parent:
            yield message
            if message["content"].get("execution_state") == "idle":
                return


def first(kernel: "Session", parent: str, kind: str) -> dict[str, Any]:
    content: dict[str, Any] = next(
        message["content"] for message in messages(kernel, parent) if message["msg_type"] == kind
    )
    return content


def reply(kernel: "Session", parent: str) -> dict[str, Any]:
    while True:
        message = kernel.client.get_shell_msg(timeout=LIMIT)
        if message["parent_header"]["msg_id"] == parent:
            content: dict[str, Any] = message["content"]
            return content


def process_of(kernel: "Session") -> Any:
    return kernel.manager.provisioner.process  # type: ignore[union-attr]


def test_a_cell_shows_what_is_done_and_then_its_own_output_only(
    building: "Session", gate: Gate
) -> None:
    cell = building.client.execute("print(6 * 7)")
    shown = first(building, cell, "display_data")
    assert shown["data"]["text/plain"].startswith("envtool: ")
    assert "text/html" in shown["data"]
    while "waiting for process" not in shown["data"]["text/plain"]:
        shown = first(building, cell, "update_display_data")
    assert "building the environment of envtool.toml" in shown["data"]["text/plain"]
    gate.open()
    told = list(messages(building, cell))
    kinds = [message["msg_type"] for message in told]
    after = told[kinds.index("clear_output") + 1 :]
    assert [message["content"]["text"] for message in after if message["msg_type"] == "stream"] == [
        "42\n"
    ]
    assert not {"display_data", "update_display_data"} & {each["msg_type"] for each in after}
    assert reply(building, cell)["status"] == "ok"


def test_who_begins_to_listen_hears_that_cells_are_taken(building: "Session") -> None:
    client = building.manager.client()
    client.start_channels(shell=False, stdin=False, hb=False, control=False)
    try:
        heard = [client.get_iopub_msg(timeout=LIMIT) for _ in range(2)]
    finally:
        client.stop_channels()
    assert [message["msg_type"] for message in heard] == ["iopub_welcome", "status"]
    assert heard[1]["content"]["execution_state"] == "idle"
    # JupyterLab passes over a status that belongs to a question about the kernel.
    assert heard[1]["parent_header"] == {}


def test_cells_are_executed_in_the_order_they_came_in(building: "Session", gate: Gate) -> None:
    cells = [building.client.execute(f"n = {n}; print(n)") for n in range(5)]
    first(building, cells[0], "display_data")
    gate.open()
    assert [reply(building, cell)["execution_count"] for cell in cells] == [1, 2, 3, 4, 5]
    assert building.printed("print(n)") == "4\n"


def test_silent_code_is_answered_at_once_and_executed_later(
    building: "Session", gate: Gate
) -> None:
    content, _ = building.run("kept = 41", silent=True, store_history=False)
    assert content["status"] == "ok"
    gate.open()
    assert building.printed("print(kept + 1)") == "42\n"


def test_an_interrupt_stops_the_build_and_the_next_cell_goes_on_with_it(
    building: "Session", gate: Gate
) -> None:
    cell = building.client.execute("print(1)")
    first(building, cell, "display_data")
    building.manager.interrupt_kernel()
    content = reply(building, cell)
    assert (content["status"], content["ename"]) == ("error", "KeyboardInterrupt")
    gate.open()
    assert building.printed("print(2)") == "2\n"


def test_a_kernel_that_is_being_built_shuts_down_when_asked(building: "Session") -> None:
    first(building, building.client.execute("1"), "display_data")
    told = building.client.shutdown(reply=True, timeout=LIMIT)["content"]
    assert told == {"status": "ok", "restart": False}
    assert process_of(building).wait(LIMIT) == 0


def test_a_build_that_is_still_going_on_can_be_restarted(building: "Session", gate: Gate) -> None:
    first(building, building.client.execute("1"), "display_data")
    building.restart()
    gate.open()
    assert building.printed("print(6 * 7)") == "42\n"


def test_the_restart_after_a_build_needs_no_relay(building: "Session", gate: Gate) -> None:
    gate.open()
    whoami = "import os; print(os.getpid())"
    assert int(building.printed(whoami)) != process_of(building).pid
    building.restart()
    assert int(building.printed(whoami)) == process_of(building).pid


def test_input_interrupt_and_comms_reach_the_kernel_behind(building: "Session", gate: Gate) -> None:
    gate.open()
    client = building.client
    cell = client.execute("print(input('name? '))", allow_stdin=True)
    assert client.get_stdin_msg(timeout=LIMIT)["content"]["prompt"] == "name? "
    client.input("Ada")
    assert first(building, cell, "stream")["text"] == "Ada\n"
    cell = client.execute(
        "import threading; print('waiting', flush=True); threading.Event().wait(60)"
    )
    first(building, cell, "stream")
    building.manager.interrupt_kernel()
    assert first(building, cell, "error")["ename"] == "KeyboardInterrupt"
    content = building.client.complete("pri", 3, reply=True, timeout=LIMIT)["content"]
    assert "print" in content["matches"]


def test_a_question_of_the_debugger_waits_for_the_kernel(building: "Session", gate: Gate) -> None:
    client = building.client
    content = {"type": "request", "seq": 1, "command": "debugInfo", "arguments": {}}
    asked = client.session.msg("debug_request", content)
    client.control_channel.send(asked)
    gate.open()
    answered = client.get_control_msg(timeout=LIMIT)
    assert answered["parent_header"]["msg_id"] == asked["header"]["msg_id"]
    assert answered["content"]["body"]["isStarted"] is False


def test_a_kernel_behind_keeps_its_environment(
    workspace: Workspace, building: "Session", gate: Gate, unbuilt: Project
) -> None:
    gate.open()
    building.printed("print(1)")
    current = workspace.current(unbuilt)
    assert current is not None
    profile = workspace.profile(unbuilt).directory
    for name in os.listdir(profile):
        os.unlink(f"{profile}/{name}")
    assert current[1].environment not in dict(workspace.gc_plan().dead)


def test_a_kernel_behind_that_dies_ends_the_relay_with_its_code(
    building: "Session", gate: Gate
) -> None:
    gate.open()
    assert building.printed("print(1)") == "1\n"
    building.client.execute("import os; os._exit(7)")
    assert process_of(building).wait(LIMIT) == 7


def test_what_a_killed_relay_left_goes_with_the_next_one(
    unbuilt: Project, spec: "Spec", start: "Start", monkeypatch: pytest.MonkeyPatch
) -> None:
    name = spec("--declaration", unbuilt.path)
    # A path of sockets is a short one.
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        kernel = start(name)
        kernel.printed("print(1)")
        (left,) = os.listdir(folder)
        process_of(kernel).kill()
        process_of(kernel).wait(LIMIT)
        assert os.listdir(folder) == [left]
        behind._made_folder(folder)
        (made,) = os.listdir(folder)
    assert made != left


def test_a_relay_ends_with_whoever_started_it(
    gate: Gate, unbuilt: Project, spec: "Spec", jupyter: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "from jupyter_client.manager import KernelManager\n"
        "manager = KernelManager(kernel_name=sys.argv[1])\n"
        "manager.start_kernel()\n"
        "client = manager.blocking_client()\n"
        "client.start_channels()\n"
        "client.wait_for_ready(timeout=60)\n"
        "print(manager.provisioner.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    argv = [sys.executable, "-c", code, spec("--declaration", unbuilt.path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        relay = os.pidfd_open(int(starter.stdout.readline()))
        starter.kill()
        ended, _, _ = select.select([relay], [], [], LIMIT)
    os.close(relay)
    assert ended == [relay]


def test_a_build_that_fails_tells_why_in_every_cell_and_leaves_no_progress(
    workspace: Workspace, declare: "Declare", spec: "Spec", start: "Start"
) -> None:
    project = declare("scree", 'dependencies = ["envtool-has-no-such-package"]\n')
    kernel = start(spec("--declaration", project.path))
    for _ in range(2):
        cell = kernel.client.execute("1 + 1")
        kinds = [message["msg_type"] for message in messages(kernel, cell)]
        assert kinds[-2:] == ["error", "status"]
        assert ("display_data" in kinds) == ("clear_output" in kinds)
        content = reply(kernel, cell)
        assert (content["status"], content["ename"]) == ("error", "ResolutionError")
        assert "envtool-has-no-such-package" in content["evalue"]


def test_a_kernel_that_cannot_start_tells_so(
    workspace: Workspace, declare: "Declare", spec: "Spec", start: "Start"
) -> None:
    text = 'dependencies = ["ipykernel"]\n[vars]\nPYTHONHASHSEED = "no number"\n'
    kernel = start(spec("--declaration", declare("gill", text).path))
    content, _ = kernel.run("1 + 1")
    assert "ended with exit code 1 before it answered" in content["evalue"]


@pytest.mark.parametrize("fault", ["missing", "no JSON", "no ports"])
def test_a_connection_file_that_is_none_ends_the_kernel_with_a_reason(
    workspace: Workspace, unbuilt: Project, tmp_path: Path, fault: str
) -> None:
    file = tmp_path / "connection.json"
    if fault != "missing":
        file.write_text("{" if fault == "no JSON" else '{"transport": "tcp"}')
    code = "import sys; from envtool.kernel.launcher import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "--declaration", unbuilt.path, "-f", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"the connection file {file}" in done.stderr


def test_a_port_that_is_taken_ends_the_kernel_with_a_reason(
    workspace: Workspace, unbuilt: Project, tmp_path: Path
) -> None:
    ports = {f"{name}_port": 1 for name in ("shell", "iopub", "stdin", "control", "hb")}
    told = {"transport": "ipc", "ip": str(tmp_path / "no" / "folder"), "key": "k", **ports}
    file = tmp_path / "connection.json"
    file.write_text(json.dumps(told))
    code = "import sys; from envtool.kernel.launcher import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "--declaration", unbuilt.path, "-f", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot be bound" in done.stderr
