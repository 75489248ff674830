"""What a front end does with a kernel at work, on the fast path and through the relay."""

import os
import select
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import (  # noqa: TID251 - tests/kernel, not kernel/
        Declare,
        Session,
        Spec,
        Start,
    )

LIMIT = 60
Message = dict[str, Any]


@pytest.fixture(params=["fast", "relay"])
def kernel(
    request: pytest.FixtureRequest,
    workspace: Workspace,
    declare: "Declare",
    spec: "Spec",
    start: "Start",
) -> "Session":
    """Return a kernel at work, and see that it is behind a relay or is none."""
    project = declare("pool", 'dependencies = ["ipykernel", "ipywidgets"]\n')
    if request.param == "fast":
        workspace.switch(project)
    found = start(spec("--declaration", project.path))
    own = int(found.printed("import os; print(os.getpid())"))
    assert (own == process_of(found).pid) is (request.param == "fast")
    return found


def process_of(kernel: "Session") -> Any:
    return kernel.manager.provisioner.process  # type: ignore[union-attr]


def published(kernel: "Session", parent: str | None = None) -> Iterator[Message]:
    """Yield what is published, about one request or whatever; it must go on to come."""
    while True:
        message: Message = kernel.client.get_iopub_msg(timeout=LIMIT)
        if parent in (None, message["parent_header"].get("msg_id")):
            yield message


def first(kernel: "Session", kind: str, parent: str | None = None) -> Message:
    """Return the content of the first message of a kind."""
    content: Message = next(
        each["content"] for each in published(kernel, parent) if each["msg_type"] == kind
    )
    return content


def reply(kernel: "Session", parent: str) -> Message:
    """Return what a cell was replied to with."""
    content: Message = kernel.client._recv_reply(parent, timeout=LIMIT)["content"]
    return content


def ask_control(kernel: "Session", kind: str, content: Message) -> Message:
    """Ask on the control channel, and return the answer's content."""
    message = kernel.client.session.msg(kind, content)
    kernel.client.control_channel.send(message)
    answer = kernel.client.get_control_msg(timeout=LIMIT)
    assert answer["parent_header"]["msg_id"] == message["header"]["msg_id"]
    found: Message = answer["content"]
    return found


class Debugger:
    """A front end's debugger."""

    def __init__(self, kernel: "Session") -> None:
        self._kernel = kernel
        self._count = 0

    def ask(self, command: str, **arguments: Any) -> Message:
        """Return the body of the answer to a command."""
        self._count += 1
        told = {"type": "request", "seq": self._count, "command": command, "arguments": arguments}
        answer = ask_control(self._kernel, "debug_request", told)
        assert answer["success"], answer
        body: Message = answer.get("body", {})
        return body


def test_the_debugger_stops_at_a_breakpoint_and_goes_on(kernel: "Session") -> None:
    debugger = Debugger(kernel)
    debugger.ask("initialize", clientID="test", adapterID="", pathFormat="path")
    debugger.ask("attach")
    code = "def double(x):\n    twice = 2 * x\n    return twice\nprint(double(21))"
    source = {"path": debugger.ask("dumpCell", code=code)["sourcePath"]}
    placed = debugger.ask("setBreakpoints", source=source, breakpoints=[{"line": 3}])
    assert [each["verified"] for each in placed["breakpoints"]] == [True]
    debugger.ask("configurationDone")
    cell = kernel.client.execute(code)
    thread = next(
        each["content"]["body"]["threadId"]
        for each in published(kernel)
        if each["msg_type"] == "debug_event" and each["content"]["event"] == "stopped"
    )
    frame = debugger.ask("stackTrace", threadId=thread)["stackFrames"][0]
    assert (frame["name"], frame["line"]) == ("double", 3)
    scope = debugger.ask("scopes", frameId=frame["id"])["scopes"][0]["variablesReference"]
    values = debugger.ask("variables", variablesReference=scope)["variables"]
    assert ("twice", "42") in {(each["name"], each["value"]) for each in values}
    debugger.ask("continue", threadId=thread)
    assert first(kernel, "stream", cell)["text"] == "42\n"
    assert reply(kernel, cell)["status"] == "ok"
    debugger.ask("disconnect", restart=False, terminateDebuggee=True)
    assert kernel.printed("print(double(1))") == "2\n"


def test_a_subshell_works_while_a_cell_is_at_work(kernel: "Session") -> None:
    subshell = ask_control(kernel, "create_subshell_request", {})["subshell_id"]
    listed = ask_control(kernel, "list_subshell_request", {})
    assert listed["subshell_id"] == [subshell]
    cell = kernel.client.execute(
        "import threading; done = threading.Event(); print('waiting', flush=True); done.wait(60)"
    )
    assert first(kernel, "stream", cell)["text"] == "waiting\n"
    told = kernel.client.session.msg("execute_request", {"code": "done.set()", "silent": False})
    told["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(told)
    assert first(kernel, "execute_result", cell)["data"]["text/plain"] == "True"
    assert ask_control(kernel, "delete_subshell_request", {"subshell_id": subshell}) == {
        "status": "ok"
    }


def test_a_widget_hears_the_front_end_and_is_heard(kernel: "Session") -> None:
    cell = kernel.client.execute(
        "from ipywidgets import IntSlider; slider = IntSlider(value=3); display(slider)"
    )
    opened: dict[str, Message] = {}
    for message in published(kernel, cell):
        if message["msg_type"] == "comm_open":
            opened[message["content"]["comm_id"]] = message["content"]["data"]["state"]
        elif message["msg_type"] == "display_data":
            view = message["content"]["data"]["application/vnd.jupyter.widget-view+json"]
            break
    model = view["model_id"]
    assert (opened[model]["_model_name"], opened[model]["value"]) == ("IntSliderModel", 3)
    moved = {"method": "update", "state": {"value": 42}, "buffer_paths": []}
    told = kernel.client.session.msg("comm_msg", {"comm_id": model, "data": moved})
    kernel.client.shell_channel.send(told)
    assert kernel.printed("print(slider.value)") == "42\n"
    cell = kernel.client.execute("slider.value = 7")
    heard = first(kernel, "comm_msg", cell)
    assert (heard["comm_id"], heard["data"]["state"]) == (model, {"value": 7})


def test_a_question_of_a_cell_is_answered(kernel: "Session") -> None:
    cell = kernel.client.execute("print(input('name? '))", allow_stdin=True)
    asked = kernel.client.get_stdin_msg(timeout=LIMIT)["content"]
    assert (asked["prompt"], asked["password"]) == ("name? ", False)
    kernel.client.input("Ada")
    assert first(kernel, "stream", cell)["text"] == "Ada\n"


def test_an_interrupt_ends_the_cell_and_what_it_runs(kernel: "Session") -> None:
    kernel.printed("kept = 6 * 7")
    cell = kernel.client.execute("!echo waiting; exec sleep 1000")
    assert first(kernel, "stream", cell)["text"].strip() == "waiting"
    kernel.manager.interrupt_kernel()
    reply(kernel, cell)
    assert kernel.printed("print(kept)") == "42\n"


def test_a_shutdown_ends_the_kernel_and_whoever_stands_before_it(kernel: "Session") -> None:
    behind = os.pidfd_open(int(kernel.printed("import os; print(os.getpid())")))
    told = kernel.client.shutdown(reply=True, timeout=LIMIT)["content"]
    assert (told["status"], told["restart"]) == ("ok", False)
    assert process_of(kernel).wait(LIMIT) == 0
    assert select.select([behind], [], [], LIMIT)[0] == [behind]
    os.close(behind)


def test_a_restart_forgets_what_was_and_works_on(kernel: "Session") -> None:
    kernel.printed("kept = 1")
    kernel.manager.restart_kernel()
    kernel.client.wait_for_ready(timeout=LIMIT)
    assert kernel.run("kept")[0]["ename"] == "NameError"
    assert kernel.printed("print(6 * 7)") == "42\n"
