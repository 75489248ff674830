"""A kernel while its environment is built: it answers, shows the progress, and holds the cells.

A launcher that only waits is given up after 60 seconds by nbclient, nbconvert, papermill and VS
Code. So the ports are bound at once; what needs no Python is answered here; the rest is held until
the real kernel runs behind the relay, and from then on frames pass through unread. The next start
of the kernel finds the environment realised and needs no relay.

    building  ->  starting  ->  passing
        |             |
        +-> failed <--+      until a restart; a stopped build begins again with the next cell
"""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from envtool import errors
from envtool.errors import EnvtoolError, KernelError
from envtool.kernel.drift import mention
from envtool.kernel.entry import Entry
from envtool.kernel.goal import Goal
from envtool.kernel.relay.behind import Behind
from envtool.kernel.relay.building import Building
from envtool.kernel.relay.diagnosis import answer_with, explain, interrupted
from envtool.kernel.relay.front import Front, drained, kernel_info
from envtool.kernel.relay.progress import waiting
from envtool.kernel.relay.showing import Showing
from envtool.kernel.relay.waking import Waking
from envtool.kernel.relay.wire import Message

__all__ = ["serve"]

_POLL = 1000
"""Milliseconds between two looks at whether our parent still lives."""
_STARTING = 50
"""Milliseconds between two questions to a kernel that is starting."""


def serve(connection: Mapping[str, Any], goal: Goal, fault: EnvtoolError | None) -> int:
    """Be the kernel of a connection until told to end; return the exit code.

    With a `fault` there is nothing to be built, only something to be told. It ends, too, when the
    process that started it ends.

    :raises KernelError: its ports cannot be bound.
    """
    context = zmq.Context()
    try:
        relay = _Relay(context, Front(context, connection), goal, fault)
        with Waking() as wakeup:
            return relay.run(wakeup)
    finally:
        context.destroy()


class _Relay:
    def __init__(
        self,
        context: "zmq.Context[Any]",
        front: Front,
        goal: Goal,
        fault: EnvtoolError | None,
    ) -> None:
        self._context, self._front, self._goal = context, front, goal
        self._fault = fault
        self._parent = os.getppid()
        self._code: int | None = None
        self._building: Building | None = None
        self._behind: Behind | None = None
        self._passing = False
        self._replayed: list[Message] = []
        """Silent requests, answered already, that the kernel is to execute nevertheless."""
        self._held: list[tuple[zmq.Socket[bytes], Message]] = []
        self._showing = Showing(front, waiting("this notebook", "looking for what it needs"))
        self._poller = zmq.Poller()
        self._handlers: dict[Any, Callable[[], None]] = {}

    # The loop

    def run(self, wakeup: int) -> int:
        """Work until the end; return the exit code."""
        front = self._front
        self._on(front.heartbeat, front.beat)
        self._on(front.iopub, self._welcome)
        self._on(front.shell, self._hear_shell)
        self._on(front.control, self._hear_control)
        self._on(wakeup, lambda: self._hear_signals(wakeup))
        front.publish("status", {"execution_state": "starting"}, None)
        try:
            self._begin()
            while self._code is None:
                self._turn()
        finally:
            self._end()
        return self._code

    def _turn(self) -> None:
        starting = self._behind is not None and not self._passing
        sources = self._poller.poll(_STARTING if starting else _POLL)
        for source, _ in sources:
            # What comes before it in this turn may have taken it away.
            self._handlers.get(source, _nothing)()
        if starting and self._behind is not None:
            self._ask(self._behind, again=not sources)
        if self._behind is not None:
            self._look_after(self._behind)
        if os.getppid() != self._parent:
            self._code = 0

    def _on(self, source: Any, handler: Callable[[], None]) -> None:
        self._handlers[source] = handler
        self._poller.register(source, zmq.POLLIN)

    def _welcome(self) -> None:
        """Tell who begins to listen that cells are taken; JupyterLab shows no other status."""
        waits = any(request.kind == "execute_request" for _, request in self._held)
        if self._front.welcome() and not self._passing and not waits:
            self._front.publish("status", {"execution_state": "idle"}, None)

    def _off(self, source: Any) -> None:
        del self._handlers[source]
        self._poller.unregister(source)

    def _hear_signals(self, wakeup: int) -> None:
        for number in os.read(wakeup, 64):
            if number == signal.SIGTERM:
                self._code = 128 + number
            elif number == signal.SIGINT and self._behind is not None:
                self._behind.process.send(number)
            elif number == signal.SIGINT:
                self._stop_building()

    def _end(self) -> None:
        if self._building is not None:
            self._building.stop()
        if self._behind is not None:
            self._behind.process.stop()
            self._behind.close()

    # Building

    def _begin(self) -> None:
        """Enter the environment if it is there, else begin to build it, as far as it is known."""
        if self._fault is not None or self._building is not None or self._behind is not None:
            return
        try:
            entry, project = self._goal.entry(), self._goal.project
            if entry is not None:
                self._start(entry)
            elif project is not None:
                self._showing.show(waiting(os.path.basename(project.path), "starting to build it"))
                self._building = Building(project, os.environ, is_asked=self._goal.is_asked)
                self._on(self._building.descriptor, self._hear_building)
        except EnvtoolError as error:
            self._fail(error)

    def _hear_building(self) -> None:
        assert self._building is not None
        for told in self._building.news():
            if "progress" in told:
                self._showing.show(told["progress"])
            else:
                self._drop_building()
                self._built(told.get("error"))
                return

    def _drop_building(self) -> None:
        assert self._building is not None
        self._off(self._building.descriptor)
        self._building.stop()
        self._building = None

    def _built(self, error: tuple[str, str, str | None] | None) -> None:
        if error is not None:
            self._fail(_error(*error))
            return
        try:
            self._start(self._goal.built())
        except EnvtoolError as fault:
            self._fail(fault)

    def _stop_building(self) -> None:
        if self._building is None:
            return
        self._drop_building()
        self._showing.end()
        for socket, request in self._take_held():
            if request.kind == "execute_request":
                interrupted(self._front, request)
            else:
                self._held.append((socket, request))

    def _fail(self, error: EnvtoolError) -> None:
        self._fault = error
        self._showing.end()
        for socket, request in self._take_held():
            answer_with(error, self._front, socket, request)

    def _take_held(self) -> "list[tuple[zmq.Socket[bytes], Message]]":
        held, self._held = self._held, []
        return held

    # What clients ask while there is no kernel

    def _hear_shell(self) -> None:
        front = self._front
        for request in front.received(front.shell):
            if request.kind == "execute_request":
                self._execute(request)
            elif not self._answer_simply(front.shell, request):
                self._hold(front.shell, request)

    def _execute(self, request: Message) -> None:
        code, silent = str(request.content.get("code", "")), bool(request.content.get("silent"))
        try:
            self._goal.learn(code, silent=silent)
        except EnvtoolError as error:
            if not silent:
                self._front.publish("status", {"execution_state": "busy"}, request)
                explain(self._front, request, self._fault or error)
                return
            self._fault = self._fault or error
        if silent:
            # Front ends wait for their own silent code before they show a kernel as ready.
            self._replayed.append(request)
            reply = {"execution_count": self._front.count, "user_expressions": {}, "payload": []}
            self._front.answer(self._front.shell, request, reply)
            self._begin()
            return
        self._front.publish("status", {"execution_state": "busy"}, request)
        if self._fault is not None:
            explain(self._front, request, self._fault)
            return
        self._held.append((self._front.shell, request))
        self._showing.begin(request)
        self._begin()

    def _hear_control(self) -> None:
        front = self._front
        for request in front.received(front.control):
            if request.kind == "interrupt_request":
                self._stop_building()
                front.answer(front.control, request, {})
            elif request.kind == "shutdown_request":
                front.answer(
                    front.control, request, {"restart": request.content.get("restart", False)}
                )
                self._code = 0
            elif not self._answer_simply(front.control, request):
                self._hold(front.control, request)

    def _answer_simply(self, socket: "zmq.Socket[bytes]", request: Message) -> bool:
        """Answer what a kernel without any state answers as one that has some."""
        if request.kind == "kernel_info_request":
            self._front.answer(socket, request, kernel_info(self._goal.python()))
        elif request.kind == "comm_info_request":
            self._front.answer(socket, request, {"comms": {}})
        else:
            return False
        return True

    def _hold(self, socket: "zmq.Socket[bytes]", request: Message) -> None:
        if self._fault is not None:
            answer_with(self._fault, self._front, socket, request)
        else:
            self._held.append((socket, request))

    # The kernel behind

    def _start(self, entry: Entry) -> None:
        mention(entry.environ)
        self._showing.show(waiting("this notebook", "starting the kernel"))
        self._behind = Behind(self._context, self._front, entry.argv, entry.environ)
        self._on(self._behind.iopub, self._behind.listen)
        self._on(self._behind.shell, self._behind.listen)

    def _ask(self, behind: Behind, *, again: bool) -> None:
        """Ask a starting kernel whether it is there; if so, give it all that was held."""
        if not behind.ready:
            if again:
                behind.probe()
            return
        self._showing.end()
        self._pass_on(behind)
        for request in self._replayed:
            behind.replay(request)
        for socket, request in self._take_held():
            if request.kind == "execute_request":
                behind.execute(request)
            else:
                target = behind.shell if socket is self._front.shell else behind.control
                target.send_multipart(request.frames)

    def _pass_on(self, behind: Behind) -> None:
        front = self._front
        self._passing = True
        front.iopub.xpub_verbose = 0  # as a kernel has it: who is there already hears no welcome
        self._on(behind.iopub, behind.pass_outputs)
        self._on(behind.shell, behind.pass_replies)
        self._on(behind.control, lambda: _pass(behind.control, front.control))
        self._on(behind.stdin, lambda: _pass(behind.stdin, front.stdin))
        self._on(front.shell, lambda: _pass(front.shell, behind.shell))
        self._on(front.control, lambda: _pass(front.control, behind.control))
        self._on(front.stdin, lambda: _pass(front.stdin, behind.stdin))

    def _look_after(self, behind: Behind) -> None:
        code = behind.process.code
        if code is None:
            return
        if self._passing:
            for socket in (behind.iopub, behind.shell, behind.control):
                self._handlers[socket]()
            self._code = code if code >= 0 else 128 - code
            return
        for socket in (behind.iopub, behind.shell):
            self._off(socket)
        behind.close()
        self._behind = None
        self._fail(
            KernelError(
                f"the kernel ended with exit code {code} before it answered",
                hint="look at what it printed into the log of Jupyter",
            )
        )


def _pass(source: "zmq.Socket[bytes]", target: "zmq.Socket[bytes]") -> None:
    for frames in drained(source):
        target.send_multipart(frames)


def _error(name: str, message: str, hint: str | None) -> EnvtoolError:
    kind: type[EnvtoolError] = getattr(errors, name, EnvtoolError)
    error = EnvtoolError.__new__(kind)
    EnvtoolError.__init__(error, message, hint=hint)
    return error


def _nothing() -> None:
    pass
