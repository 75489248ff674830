"""Messages of ours are those of jupyter_client, and the other way round."""

from typing import Any

import pytest
from jupyter_client.session import Session as Judge

from envtool.kernel.relay.wire import DELIMITER, Wire

KEY = b"a key"


def judge() -> Any:
    return Judge(key=KEY)


def test_jupyter_reads_what_is_packed() -> None:
    wire = Wire(KEY)
    request = wire.unpack(judge().serialize(judge().msg("execute_request", {"code": "1"})))
    content = {"status": "ok", "text": "naïve ☃"}
    frames = wire.pack("execute_reply", content, parent=request.header, identities=[b"who"])
    identities, parts = judge().feed_identities(frames)
    message = judge().deserialize(parts)
    assert identities == [b"who"]
    assert message["header"]["msg_type"] == "execute_reply"
    assert message["parent_header"]["msg_id"] == request.identity
    assert message["content"] == content


def test_what_jupyter_packs_is_read() -> None:
    request = judge().msg("execute_request", {"code": "☃"})
    frames = judge().serialize(request, ident=[b"who"])
    message = Wire(KEY).unpack([*frames, b"a buffer"])
    assert (message.kind, message.identity) == ("execute_request", request["header"]["msg_id"])
    assert list(message.identities) == [b"who"]
    assert message.content == {"code": "☃"}
    assert message.frames[-1] == b"a buffer"


def test_an_empty_key_signs_nothing() -> None:
    frames = Wire(b"").pack("status", {})
    assert frames[1] == b""
    assert Wire(b"").unpack(frames).kind == "status"


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"no delimiter"],
        [DELIMITER, b"signature", b"{}"],
        [DELIMITER, b"false", b"{}", b"{}", b"{}", b"{}"],
    ],
)
def test_what_is_no_message_of_this_kernel_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Wire(KEY).unpack(frames)


@pytest.mark.parametrize("header", ["[]", "{}", '{"msg_id": 1}', "no JSON"])
def test_a_header_that_is_none_is_refused_though_it_is_signed(header: str) -> None:
    parts = [header.encode(), b"{}", b"{}", b"{}"]
    signature = judge().sign(parts)
    with pytest.raises(ValueError, match=r"."):
        Wire(KEY).unpack([DELIMITER, signature, *parts])
