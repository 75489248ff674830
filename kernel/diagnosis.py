"""A kernel without Python: it answers each cell with what went wrong and the command that mends it.

It speaks just enough of the Jupyter messaging protocol 5.3 that every client takes it for a
kernel: a client that gets no valid reply shows a dead kernel and no reason.
"""

import json
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import zmq
from jupyter_client.session import Session

from envtool import __version__
from envtool.errors import EnvtoolError

__all__ = ["serve"]

_POLL = 1000
"""Milliseconds between two looks at whether our parent still lives."""
_SOCKETS = {
    "shell": zmq.ROUTER,
    "control": zmq.ROUTER,
    "stdin": zmq.ROUTER,
    "iopub": zmq.PUB,
    "hb": zmq.REP,
}

type_content = dict[str, Any]


def serve(connection_file: str, error: EnvtoolError) -> int:
    """Answer as the kernel of the connection file until told to shut down; return the exit code.

    It ends, too, when the process that started it ends.
    """
    # Jupyter interrupts the process group before it shuts down or restarts a kernel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(connection_file, encoding="utf-8") as file:
        connection = json.load(file)
    context = zmq.Context()
    try:
        _Kernel(context, connection, error).run()
    finally:
        context.destroy(linger=_POLL)
    return 0


def _bind(context: "zmq.Context[Any]", connection: Mapping[str, Any], name: str) -> Any:
    socket = context.socket(_SOCKETS[name])
    transport, address, port = connection["transport"], connection["ip"], connection[f"{name}_port"]
    separator = "-" if transport == "ipc" else ":"
    socket.bind(f"{transport}://{address}{separator}{port}")
    return socket


class _Kernel:
    def __init__(
        self, context: "zmq.Context[Any]", connection: Mapping[str, Any], error: EnvtoolError
    ) -> None:
        self._error = error
        self._session = Session(
            key=connection["key"].encode(), signature_scheme=connection["signature_scheme"]
        )
        self._sockets = {name: _bind(context, connection, name) for name in _SOCKETS}
        self._parent = os.getppid()
        self._count = 0
        self._ended = False
        self._answers: dict[str, Callable[[type_content], type_content]] = {
            "kernel_info_request": self._kernel_info,
            "execute_request": self._execute,
            "is_complete_request": lambda _: {"status": "complete"},
            "complete_request": self._complete,
            "inspect_request": lambda _: {"found": False, "data": {}, "metadata": {}},
            "history_request": lambda _: {"history": []},
            "comm_info_request": lambda _: {"comms": {}},
            "interrupt_request": lambda _: {},
            "shutdown_request": self._shutdown,
        }

    def run(self) -> None:
        poller = zmq.Poller()
        for name in ("shell", "control", "hb"):
            poller.register(self._sockets[name], zmq.POLLIN)
        self._publish("status", {"execution_state": "starting"}, None)
        while not self._ended and os.getppid() == self._parent:
            for socket, _ in poller.poll(_POLL):
                if socket is self._sockets["hb"]:
                    socket.send(socket.recv())
                else:
                    self._receive(socket)

    def _receive(self, socket: Any) -> None:
        try:
            identities, request = self._session.recv(socket, mode=0)
        except ValueError:
            return  # not signed with our key, or no message at all
        if request is None:
            return
        kind = request["header"]["msg_type"]
        answer = self._answers.get(kind)
        self._publish("status", {"execution_state": "busy"}, request)
        if answer is not None:
            content = {"status": "ok", **answer(request)}
            reply = f"{kind.removesuffix('request')}reply"
            self._session.send(socket, reply, content, parent=request, ident=identities)
        self._publish("status", {"execution_state": "idle"}, request)

    def _publish(self, kind: str, content: type_content, parent: type_content | None) -> None:
        topic = f"kernel.{self._session.session}.{kind}".encode()
        self._session.send(self._sockets["iopub"], kind, content, parent=parent, ident=topic)

    def _execute(self, request: type_content) -> type_content:
        content = request["content"]
        if content.get("silent"):
            # Front ends wait for their own silent code before they show a kernel as ready.
            return {"execution_count": self._count, "user_expressions": {}, "payload": []}
        self._count += 1
        told = {"code": content["code"], "execution_count": self._count}
        self._publish("execute_input", told, request)
        error = self._told()
        self._publish("error", error, request)
        return {"status": "error", "execution_count": self._count, **error}

    def _told(self) -> type_content:
        error = self._error
        lines = [f"\x1b[31m{error.message}\x1b[0m"]
        if error.hint:
            lines += ["", f"To mend it: \x1b[1m{error.hint}\x1b[0m"]
        lines.append("Then restart the kernel.")
        value = error.message if error.hint is None else f"{error.message} ({error.hint})"
        return {"ename": type(error).__name__, "evalue": value, "traceback": lines}

    def _complete(self, request: type_content) -> type_content:
        at = request["content"].get("cursor_pos", 0)
        return {"matches": [], "cursor_start": at, "cursor_end": at, "metadata": {}}

    def _shutdown(self, request: type_content) -> type_content:
        self._ended = True
        return {"restart": request["content"].get("restart", False)}

    def _kernel_info(self, _: type_content) -> type_content:
        return {
            "protocol_version": "5.3",
            "implementation": "envtool-diagnosis",
            "implementation_version": __version__,
            "banner": f"envtool {__version__}: this environment cannot be entered",
            "language_info": {
                "name": "python",
                "version": "3",
                "mimetype": "text/x-python",
                "file_extension": ".py",
            },
            "help_links": [],
        }
