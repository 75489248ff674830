"""The real kernel of a relay: started on sockets of its own, its frames passed on as they are.

It signs with the key of the client's connection file, so a relay need not sign anything again.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from tempfile import gettempdir, mkdtemp
from typing import Any

import zmq

from envtool.errors import KernelError
from envtool.kernel.relay.child import Child
from envtool.kernel.relay.front import Front, drained, endpoint
from envtool.kernel.relay.wire import DELIMITER, Message
from envtool.machine.disk import disk_errors

__all__ = ["Behind"]

_PREFIX = "envtool-relay-"
_FILE = "kernel.json"
_LONGEST = 70
"""Bytes of the temporary folder's path that leave room for our names: a socket's has 107."""
_RECONNECT = 10
"""Milliseconds between two attempts to reach a kernel that is still starting."""
_PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}
_IDENTITY = b"envtool-relay"
"""The same towards shell, control and stdin: a kernel asks for input whoever sent the cell."""
_PARENT, _CONTENT = 3, 5
"""Where a message's parts stand, counted from its delimiter."""


class Behind:
    """A kernel that is starting, and then at work."""

    def __init__(
        self,
        context: "zmq.Context[Any]",
        front: Front,
        argv: Sequence[str],
        environ: Mapping[str, str],
    ) -> None:
        """Start it; `argv` is without the connection file.

        :raises KernelError: it cannot be started.
        """
        self._front = front
        with disk_errors("make a folder for the kernel's sockets", raising=KernelError):
            self._folder, self._lock = _made_folder(_short_folder())
        connection = {
            **front.connection,
            **_PORTS,
            "transport": "ipc",
            "ip": f"{self._folder}/kernel",
        }
        self.shell = _connected(context, connection, "shell")
        self.control = _connected(context, connection, "control")
        self.stdin = _connected(context, connection, "stdin")
        self.iopub = _subscribed(context, connection)
        self._unheard: set[str] = set()
        """Requests of ours, or answered before, whose outputs nobody is to hear; until idle."""
        self._unanswered: set[str] = set()
        """The same requests until they are replied to."""
        self._begun: set[str] = set()
        """Cells that were said to be at work before the kernel got them."""
        self._answered = False
        self._heard = False
        self._welcomed = False
        try:
            self.process = _started(argv, environ, f"{self._folder}/{_FILE}", connection)
        except KernelError:
            self.close()
            raise

    @property
    def ready(self) -> bool:
        """Whether it answers, and its outputs reach us."""
        return self._answered and self._heard

    def probe(self) -> None:
        """Ask it something, to see whether it is ready."""
        frames = self._front.wire.pack("kernel_info_request", {}, identities=[_IDENTITY])
        self._send_unseen(self._front.wire.unpack(frames))

    def listen(self) -> None:
        """Look for answers to the probes; whatever else a starting kernel says is its own."""
        for frames in drained(self.shell):
            self._answered |= self._is_unseen_reply(frames)
        for frames in drained(self.iopub):
            self._heard |= self._is_unseen_output(frames)
            self._is_welcome(frames)

    def replay(self, request: Message) -> None:
        """Have it do what was answered for it before."""
        self._send_unseen(request)

    def execute(self, request: Message) -> None:
        """Have it execute a cell that clients know to be at work."""
        self._begun.add(request.identity)
        self.shell.send_multipart(request.frames)

    def _send_unseen(self, request: Message) -> None:
        self._unheard.add(request.identity)
        self._unanswered.add(request.identity)
        self.shell.send_multipart(request.frames)

    def pass_replies(self) -> None:
        """Hand replies on to whoever asked."""
        for frames in drained(self.shell):
            if not self._is_unseen_reply(frames):
                self._front.shell.send_multipart(frames)

    def pass_outputs(self) -> None:
        """Hand outputs on to all clients."""
        for frames in drained(self.iopub):
            seen = self._is_known(frames) or self._is_unseen_output(frames)
            if not (seen or self._is_welcome(frames)):
                self._front.iopub.send_multipart(frames)

    def _is_welcome(self, frames: Sequence[bytes]) -> bool:
        """Say whether the kernel greets us, which its clients must not hear in midst of a cell."""
        if not self._welcomed and any(b'"iopub_welcome"' in frame for frame in frames[:4]):
            self._welcomed = True
            return True
        return False

    def _is_unseen_reply(self, frames: Sequence[bytes]) -> bool:
        if not self._unanswered:
            return False
        parent = _part(frames, _PARENT).get("msg_id")
        unseen = parent in self._unanswered
        self._unanswered.discard(parent)
        return unseen

    def _is_unseen_output(self, frames: Sequence[bytes]) -> bool:
        if not self._unheard:
            return False
        parent = _part(frames, _PARENT).get("msg_id")
        unseen = parent in self._unheard
        if unseen and _part(frames, _CONTENT).get("execution_state") == "idle":
            self._unheard.discard(parent)
        return unseen

    def _is_known(self, frames: Sequence[bytes]) -> bool:
        """Say whether it tells, of a cell that waited, that it is at work now."""
        if not self._begun or _part(frames, _CONTENT).get("execution_state") != "busy":
            return False
        parent = _part(frames, _PARENT).get("msg_id")
        known = parent in self._begun
        self._begun.discard(parent)
        return known

    def close(self) -> None:
        """Take the sockets and their folder away."""
        for socket in (self.shell, self.control, self.stdin, self.iopub):
            socket.close(linger=0)
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


def _part(frames: Sequence[bytes], number: int) -> dict[str, Any]:
    part: dict[str, Any] = json.loads(frames[list(frames).index(DELIMITER) + number])
    return part


def _connected(
    context: "zmq.Context[Any]", connection: Mapping[str, Any], name: str
) -> "zmq.Socket[bytes]":
    socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, _IDENTITY)
    socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT)
    socket.sndhwm = socket.rcvhwm = 0
    socket.connect(endpoint(connection, name))
    return socket


def _subscribed(context: "zmq.Context[Any]", connection: Mapping[str, Any]) -> "zmq.Socket[bytes]":
    socket: zmq.Socket[bytes] = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT)
    socket.rcvhwm = 0
    socket.subscribe(b"")
    socket.connect(endpoint(connection, "iopub"))
    return socket


def _started(
    argv: Sequence[str], environ: Mapping[str, str], file: str, connection: Mapping[str, Any]
) -> Child:
    """Write the connection file and start the kernel that reads it."""
    with (
        disk_errors("write the kernel's connection file", raising=KernelError),
        open(file, "w", encoding="utf-8") as stream,
    ):
        json.dump(connection, stream)
    # ipykernel ends when its parent is not the one it was told of.
    told = {**environ, "JPY_PARENT_PID": str(os.getpid())}
    try:
        return Child([*argv, "-f", file], told)
    except OSError as error:
        raise KernelError(
            f"{argv[0]} cannot be started: {error.strerror}", hint="envtool switch"
        ) from error


def _made_folder(parent: str) -> tuple[str, int]:
    """Make a folder for sockets; return it and the descriptor that says that it is in use.

    Those of relays that were killed go away.
    """
    for name in os.listdir(parent):
        if name.startswith(_PREFIX) and os.path.exists(f"{parent}/{name}/{_FILE}"):
            _remove_unused(f"{parent}/{name}")
    folder = mkdtemp(prefix=_PREFIX, dir=parent)
    return folder, _locked(folder)


def _remove_unused(folder: str) -> None:
    with suppress(OSError):  # in use, somebody else's, or removed by another relay
        descriptor = _locked(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked(folder: str) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _short_folder() -> str:
    """Return where sockets can be: their whole path may have 107 bytes only (unix(7))."""
    usual = gettempdir()
    return usual if len(os.fsencode(usual)) <= _LONGEST else "/tmp"  # noqa: S108 - made private
