"""What a kernel without its environment answers: what went wrong, and the command that mends it.

A client that gets no valid reply shows a dead kernel and no reason.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from envtool.errors import EnvtoolError
from envtool.kernel.relay.front import Front
from envtool.kernel.relay.wire import Message

if TYPE_CHECKING:
    import zmq

__all__ = ["answer_with", "explain", "interrupted"]


def explain(front: Front, request: Message, error: EnvtoolError) -> None:
    """Answer a cell with an error's diagnosis."""
    lines = [f"\x1b[31m{error.message}\x1b[0m"]
    if error.hint:
        lines += ["", f"To mend it: \x1b[1m{error.hint}\x1b[0m"]
    lines.append("Then restart the kernel.")
    value = error.message if error.hint is None else f"{error.message} ({error.hint})"
    front.fail(request, type(error).__name__, value, lines)


def interrupted(front: Front, request: Message) -> None:
    """Answer a cell whose environment was being built when the user had it stopped."""
    told = "the build of the environment was stopped; run a cell to go on with it"
    front.fail(request, "KeyboardInterrupt", told, [f"\x1b[31mKeyboardInterrupt\x1b[0m: {told}"])


def answer_with(
    error: EnvtoolError, front: Front, socket: "zmq.Socket[bytes]", request: Message
) -> None:
    """Answer whatever was asked while there is an error instead of a kernel."""
    if request.kind == "execute_request":
        explain(front, request, error)
    elif (content := _without_kernel(request)) is not None:
        front.answer(socket, request, content)
    elif request.kind.endswith("_request"):
        told = {"ename": type(error).__name__, "evalue": error.message, "traceback": []}
        front.reply(socket, request, {"status": "error", **told})


def _without_kernel(request: Message) -> Mapping[str, Any] | None:
    """Return what a kernel that knows nothing answers; None to what has no answer then."""
    at = request.content.get("cursor_pos", 0)
    answers: dict[str, dict[str, Any]] = {
        "is_complete_request": {"status": "complete"},
        "complete_request": {
            "matches": [],
            "cursor_start": at,
            "cursor_end": at,
            "metadata": {},
        },
        "inspect_request": {"found": False, "data": {}, "metadata": {}},
        "history_request": {"history": []},
    }
    return answers.get(request.kind)
