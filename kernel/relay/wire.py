"""Messages of the Jupyter protocol, signed and packed as frames, without jupyter_client.

Importing `jupyter_client.session` takes 0.3 s and 20 MB; a relay that is to show progress within a
second, and that stays for as long as its kernel, needs neither. The form is that of "Messaging in
Jupyter", section "The Wire Protocol".
"""

import hmac
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from envtool.values import value

__all__ = ["DELIMITER", "Message", "Wire"]

DELIMITER = b"<IDS|MSG>"
_PARTS = 5
"""Signature, header, parent header, metadata, content."""


@value
class Message:
    """One message that was received."""

    frames: Sequence[bytes]
    """As they came: identities, delimiter, signature, the four parts, buffers."""
    identities: Sequence[bytes]
    header: Mapping[str, Any]
    parent: Mapping[str, Any]
    """The header of what it answers; empty when it answers nothing."""
    content: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The message's type, such as `execute_request`."""
        return str(self.header["msg_type"])

    @property
    def identity(self) -> str:
        """The message's id, which answers to it name."""
        return str(self.header["msg_id"])


class Wire:
    """Packs and unpacks the messages of one session; an empty key signs nothing."""

    def __init__(self, key: bytes, scheme: str = "hmac-sha256") -> None:
        self._key = key
        self._digest = scheme.removeprefix("hmac-")
        self._session = os.urandom(16).hex()
        self._count = 0

    def pack(
        self,
        kind: str,
        content: Mapping[str, Any],
        *,
        parent: Mapping[str, Any] | None = None,
        identities: Sequence[bytes] = (),
    ) -> list[bytes]:
        """Return the frames of a new message; `parent` is the header of what it answers."""
        self._count += 1
        header = {
            "msg_id": f"{self._session}_{self._count}",
            "msg_type": kind,
            "username": "envtool",
            "session": self._session,
            "date": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "version": "5.3",
        }
        parts = [_rendered(part) for part in (header, parent or {}, {}, content)]
        return [*identities, DELIMITER, self._signature(parts), *parts]

    def unpack(self, frames: Sequence[bytes]) -> Message:
        """Return the message that the frames hold.

        :raises ValueError: they are no message, or not signed with our key.
        """
        at = list(frames).index(DELIMITER)
        parts = frames[at + 1 : at + 1 + _PARTS]
        if len(parts) < _PARTS:
            raise ValueError("a message has a signature and four parts")
        if not hmac.compare_digest(parts[0], self._signature(parts[1:])):
            raise ValueError("not signed with the key of the connection file")
        header, parent, _, content = (json.loads(part) for part in parts[1:])
        if not all(isinstance(part, dict) for part in (header, parent, content)):
            raise ValueError("the parts of a message are objects")
        if not {"msg_id", "msg_type"} <= header.keys():
            raise ValueError("a header names its message and the message's type")
        return Message(frames, frames[:at], header, parent, content)

    def _signature(self, parts: Sequence[bytes]) -> bytes:
        if not self._key:
            return b""
        digest = hmac.new(self._key, digestmod=self._digest)
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()


def _rendered(part: Mapping[str, Any]) -> bytes:
    return json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
