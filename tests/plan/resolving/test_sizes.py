"""Sizes and hashes of artifacts that an index does not tell are found out once."""

import hashlib
from typing import TYPE_CHECKING

from fixtures.locks import Lockdown, package_of

if TYPE_CHECKING:
    from fixtures.index import Index
    from fixtures.wheels import MakeWheel


def test_sizes_are_asked_for_once_when_the_index_does_not_tell(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.json = False
    wheel = make_wheel("tiny")
    index.add(wheel)

    first = lock("tiny")
    asked = len(index.paths())
    second = lock("tiny", offline=True)

    assert package_of(first, "tiny").wheels[0].size == wheel.stat().st_size
    assert second == first
    assert len(index.paths()) == asked


def test_a_size_that_cannot_be_had_is_left_open(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.json = False
    wheel = make_wheel("tiny")
    index.add(wheel)
    index.behaviour[f"/files/{wheel.name}"] = 500

    assert package_of(lock("tiny"), "tiny").wheels[0].size is None


def test_a_size_is_asked_for_again_after_a_hang_up(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.json = False
    wheel = make_wheel("tiny")
    index.add(wheel)
    index.behaviour[f"/files/{wheel.name}"] = ["drop"]

    assert package_of(lock("tiny"), "tiny").wheels[0].size == wheel.stat().st_size


def test_what_an_index_gives_no_hash_of_is_hashed(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    wheel = make_wheel("tiny")
    index.add(wheel)
    index.hashes = False

    (artifact,) = package_of(lock("tiny"), "tiny").wheels

    assert artifact.sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest()
