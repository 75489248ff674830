"""Closures compared by name and version."""

import pytest

from envtool.formats.nix.storepath import StorePath
from envtool.machine.asking.differences import compare, name_and_version

DIGEST = "7y5y8kdps9kcllzmy0qjhxc3rp5nypbs"


def path(name: str, at: int = 0) -> StorePath:
    return StorePath.parse(f"{at}{DIGEST[1:]}-{name}")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("numpy-2.1.0", ("numpy", "2.1.0")),
        ("python-dateutil-2.9.0.post0", ("python-dateutil", "2.9.0.post0")),
        ("glibc-2.36-dev", ("glibc", "2.36")),
        ("gcc-12.2.0-lib64", ("gcc", "12.2.0")),
        ("tree", ("tree", "")),
        ("demo-env", ("demo", "")),
        ("openssl-1.1.1w-bin", ("openssl", "1.1.1w")),
        ("ends-", ("ends-", "")),
        ("a-_b", ("a", "_b")),
    ],
)
def test_the_version_begins_at_the_dash_that_no_letter_follows(
    name: str, split: tuple[str, str]
) -> None:
    assert name_and_version(path(name)) == split


def test_versions_and_sizes_are_compared_by_name() -> None:
    before = {path("a-1"): 10, path("b-1"): 20, path("b-1-dev"): 5, path("same-3"): 1, path("c"): 7}
    after = {path("a-2"): 30, path("b-1"): 20, path("b-1-dev"): 9, path("same-3", 1): 1}
    found = [(each.name, each.removed, each.added, each.growth) for each in compare(before, after)]
    assert found == [
        ("a", ("1",), ("2",), 20),
        ("b", (), (), 4),
        ("c", ("",), (), -7),
    ]
    assert compare(before, before) == []
