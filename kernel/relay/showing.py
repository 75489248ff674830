"""The one output that tells, in the cell that waits first, how far its environment is."""

from collections.abc import Mapping

from envtool.kernel.relay.front import Front
from envtool.kernel.relay.wire import Message

__all__ = ["Showing"]


class Showing:
    """A picture, by MIME type, and the cell that shows it, as soon as one does."""

    def __init__(self, front: Front, picture: Mapping[str, str]) -> None:
        self._front = front
        self._picture = picture
        self._cell: Message | None = None

    def begin(self, cell: Message) -> None:
        """Show it in a cell, unless another one does."""
        if self._cell is None:
            self._cell = cell
            self._publish("display_data", cell)

    def show(self, picture: Mapping[str, str]) -> None:
        """Show another picture from now on."""
        self._picture = picture
        if self._cell is not None:
            self._publish("update_display_data", self._cell)

    def end(self) -> None:
        """Take it away; at once, since the cell may have no output of its own."""
        if self._cell is not None:
            self._front.publish("clear_output", {"wait": False}, self._cell)
            self._cell = None

    def _publish(self, kind: str, cell: Message) -> None:
        display = {"display_id": f"envtool-{cell.identity}"}
        told = {"data": self._picture, "metadata": {}, "transient": display}
        self._front.publish(kind, told, cell)
