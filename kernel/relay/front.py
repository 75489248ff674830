"""What clients of a kernel connect to: the sockets of a connection file, and our own answers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import zmq

from envtool import __version__
from envtool.errors import KernelError
from envtool.kernel.relay.wire import Message, Wire

__all__ = ["Front", "drained", "kernel_info", "read_connection"]

_LINGER = 1000
"""Milliseconds that a socket may take for its last messages."""
_BURST = 200
"""Messages taken from one socket before the others have their turn."""
_SOCKETS = {
    "shell": zmq.ROUTER,
    "control": zmq.ROUTER,
    "stdin": zmq.ROUTER,
    "iopub": zmq.XPUB,
    "hb": zmq.ROUTER,
}


def read_connection(path: str) -> dict[str, Any]:
    """Return what a connection file says.

    :raises KernelError: it cannot be read, or lacks something.
    """
    try:
        with open(path, encoding="utf-8") as file:
            connection = json.load(file)
    except (OSError, ValueError) as error:
        raise KernelError(f"the connection file {path} cannot be read: {error}") from error
    wanted = {"transport", "ip", "key", *(f"{name}_port" for name in _SOCKETS)}
    if not isinstance(connection, dict) or (missing := wanted - connection.keys()):
        lacks = "is no object" if not isinstance(connection, dict) else f"lacks {sorted(missing)}"
        raise KernelError(f"the connection file {path} {lacks}")
    return {"signature_scheme": "hmac-sha256", **connection}


def drained(socket: "zmq.Socket[bytes]") -> Iterator[list[bytes]]:
    """Yield the messages that have arrived, as frames."""
    with suppress(zmq.Again):
        for _ in range(_BURST):
            yield socket.recv_multipart(zmq.NOBLOCK)


class Front:
    """The kernel's side of a connection."""

    def __init__(self, context: "zmq.Context[Any]", connection: Mapping[str, Any]) -> None:
        """Bind the sockets.

        :raises KernelError: a port is taken.
        """
        self.connection = connection
        self.wire = Wire(connection["key"].encode(), connection["signature_scheme"])
        self._sockets = {name: self._bound(context, name) for name in _SOCKETS}
        self.shell = self._sockets["shell"]
        self.control = self._sockets["control"]
        self.stdin = self._sockets["stdin"]
        self.iopub = self._sockets["iopub"]
        self.heartbeat = self._sockets["hb"]
        self.count = 0
        """Cells that were answered here."""

    def _bound(self, context: "zmq.Context[Any]", name: str) -> "zmq.Socket[bytes]":
        socket: zmq.Socket[bytes] = context.socket(_SOCKETS[name])
        socket.linger = _LINGER
        if _SOCKETS[name] == zmq.ROUTER:
            socket.router_handover = 1
        else:
            socket.sndhwm = 0  # a burst of outputs is passed on, never thinned out
            socket.xpub_verbose = 1  # each client is welcomed, not only the first
        address = endpoint(self.connection, name)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            raise KernelError(f"{address} cannot be bound: {error.strerror}") from error
        return socket

    def received(self, socket: "zmq.Socket[bytes]") -> Iterator[Message]:
        """Yield the valid messages that have arrived on a socket."""
        for frames in drained(socket):
            with suppress(ValueError):  # not signed with our key, or no message at all
                yield self.wire.unpack(frames)

    def beat(self) -> None:
        """Send every heartbeat back."""
        for frames in drained(self.heartbeat):
            self.heartbeat.send_multipart(frames)

    def welcome(self) -> bool:
        """Tell new subscribers that they are heard (JEP 65); say whether there were any."""
        are_there = False
        for frame in drained(self.iopub):
            if frame[0][:1] == b"\x01":
                are_there = True
                topic = frame[0][1:]
                content = {"subscription": topic.decode("utf-8", "replace")}
                self.iopub.send_multipart(
                    self.wire.pack("iopub_welcome", content, identities=[topic])
                )
        return are_there

    def publish(self, kind: str, content: Mapping[str, Any], parent: Message | None) -> None:
        """Tell all clients something about a request, or about the kernel."""
        header = None if parent is None else parent.header
        topic = [f"kernel.envtool.{kind}".encode()]
        self.iopub.send_multipart(self.wire.pack(kind, content, parent=header, identities=topic))

    def reply(
        self, socket: "zmq.Socket[bytes]", request: Message, content: Mapping[str, Any]
    ) -> None:
        """Answer a request and say that it is done with."""
        kind = f"{request.kind.removesuffix('request')}reply"
        answer = self.wire.pack(kind, content, parent=request.header, identities=request.identities)
        socket.send_multipart(answer)
        self.publish("status", {"execution_state": "idle"}, request)

    def answer(
        self, socket: "zmq.Socket[bytes]", request: Message, content: Mapping[str, Any]
    ) -> None:
        """Answer a request that costs nothing."""
        self.publish("status", {"execution_state": "busy"}, request)
        self.reply(socket, request, {"status": "ok", **content})

    def fail(self, request: Message, name: str, text: str, lines: Sequence[str]) -> None:
        """Answer a cell with an error, which stands below it as an exception's traceback would."""
        self.count += 1
        told = {"code": request.content.get("code", ""), "execution_count": self.count}
        error = {"ename": name, "evalue": text, "traceback": list(lines)}
        self.publish("execute_input", told, request)
        self.publish("error", error, request)
        content = {"status": "error", "execution_count": self.count, **error}
        self.reply(self.shell, request, content)


def endpoint(connection: Mapping[str, Any], name: str) -> str:
    """Return the address of one of a connection's sockets."""
    separator = "-" if connection["transport"] == "ipc" else ":"
    return f"{connection['transport']}://{connection['ip']}{separator}{connection[f'{name}_port']}"


def kernel_info(python: str) -> dict[str, Any]:
    """Return what an IPython kernel for a Python of that version says of itself.

    Clients write a part of it into notebooks, so it is what ipykernel says.
    """
    return {
        "protocol_version": "5.3",
        "implementation": "envtool",
        "implementation_version": __version__,
        "banner": f"envtool {__version__}: a kernel whose environment is not there yet",
        "language_info": {
            "name": "python",
            "version": python,
            "mimetype": "text/x-python",
            "codemirror_mode": {"name": "ipython", "version": 3},
            "pygments_lexer": "ipython3",
            "nbconvert_exporter": "python",
            "file_extension": ".py",
        },
        "help_links": [],
        "debugger": True,
        "supported_features": ["debugger", "kernel subshells"],
    }
