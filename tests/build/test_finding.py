"""Outputs that name this machine's store directory: found whatever the pieces, and refused."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.build.finding import Finder, store_names
from envtool.build.unpack import unpack
from envtool.build.worker import Workers
from envtool.errors import WheelError
from envtool.machine.linux import contains
from envtool.machine.store import Store
from envtool.sources.wheel import CHUNK

if TYPE_CHECKING:
    from build.conftest import Environments
    from fixtures.wheels import MakeWheel


def found(*pieces: bytes, wanted: tuple[str, ...] = ("/root/store",)) -> str | None:
    finder = Finder(wanted)
    for piece in pieces:
        finder(piece)
    return finder.found


def test_every_split_gives_the_same_answer() -> None:
    stream = b"#!/root/store/bin/python\n"
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert found(stream[:first], stream[first:second], stream[second:]) == "/root/store"
    assert found(*(bytes([byte]) for byte in stream)) == "/root/store"


def test_what_is_torn_apart_is_not_found() -> None:
    assert found(b"/root/st", b"-", b"ore") is None
    assert found(b"/root/stor") is None
    assert found() is None


def test_the_first_of_several_is_told() -> None:
    assert found(b"x /b y /a", wanted=("/a", "/b")) in {"/a", "/b"}
    assert found(b"x /b", wanted=("/a", "/b")) == "/b"
    assert found(b"x", wanted=()) is None


@given(st.binary(max_size=60), st.binary(max_size=4))
def test_looking_agrees_with_a_plain_search(data: bytes, wanted: bytes) -> None:
    for much in (b"", b"\1" * 50_000):
        for each in (data + much, bytearray(data + much)):
            assert contains(each, wanted) == (wanted in each)
            assert contains(each + b"\0" + wanted + b"\0", wanted)


def test_store_behind_a_link_has_two_names(tmp_path: Path) -> None:
    (tmp_path / "real/store").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    store = str(tmp_path / "link/store")
    assert store_names(store) == (store, os.path.realpath(store))
    assert store_names(os.path.realpath(store)) == (os.path.realpath(store),)


@pytest.mark.parametrize("at", [0, 100, CHUNK - 5])
def test_wheel_with_a_file_that_names_the_store_is_refused(
    at: int, make_wheel: "MakeWheel", tmp_path: Path
) -> None:
    content = b"\xa5" * at + b"/home/me/store/lib" + b"\xa5" * at
    wheel = make_wheel("bad", files={"bad/data.bin": content})
    with pytest.raises(WheelError, match=r"bad/data\.bin names /home/me/store") as caught:
        unpack(str(wheel), wheel.name, str(tmp_path / "target"), refused=("/home/me/store",))
    assert caught.value.hint is not None
    assert "built in an environment" in caught.value.hint
    unpack(str(wheel), wheel.name, str(tmp_path / "other"), refused=("/home/other",))


def test_worker_refuses_it_too(make_wheel: "MakeWheel", tmp_path: Path) -> None:
    wheel = make_wheel("bad", files={"bad.py": "ROOT = '/home/me/store'\n"})
    with Workers(1) as workers, pytest.raises(WheelError, match=r"bad\.py names /home/me/store"):
        workers.unpack(
            str(wheel),
            wheel.name,
            str(tmp_path / "target"),
            lambda _: None,
            refused=("/home/me/store",),
        )


def test_package_that_names_the_store_leaves_nothing_behind(
    environments: "Environments", make_wheel: "MakeWheel", store: Store
) -> None:
    os.makedirs(store.settings.store)
    bad = make_wheel("bad", files={"bad.py": f"LIBRARY = {store.settings.store + '/x/lib'!r}\n"})
    with pytest.raises(WheelError, match=r"bad\.py names"):
        environments.of(bad)
    assert environments.in_store("*-bad-1.0") == []
    assert environments.in_store("*scratch*") == []


def test_environment_may_name_it_since_it_is_local(
    environments: "Environments", make_wheel: "MakeWheel", store: Store
) -> None:
    scripts = {"console_scripts": {"hello": "good:main"}}
    made = environments.of(make_wheel("good", entry_points=scripts))
    assert store.settings.store in (made.path / "bin/hello").read_text()
    assert store.is_valid(made.output)
