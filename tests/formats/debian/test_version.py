"""The order of versions; dpkg is the judge."""

import subprocess
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envtool.errors import FormatError
from envtool.formats.debian.version import compare, key, satisfies

ORDERED = [
    "0~~",
    "0~~a",
    "0~",
    "0",
    "0a",
    "0.0",
    "1.0~beta1~svn1245",
    "1.0~beta1",
    "1.0",
    "1.0-0.1",
    "1.0-1~bpo1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1+deb12u2",
    "1.0-1+deb12u10",
    "1.0a",
    "1.0+dfsg",
    "1.0.1",
    "1.2",
    "1.10",
    "1:0.1",
    "2:0",
]
PIECES = st.sampled_from([*"012389aZ.+~", "00", "10", "~~", "rc", "~"])
UPSTREAM = st.builds(
    "".join, st.tuples(st.sampled_from("0019"), st.lists(PIECES, max_size=3).map("".join))
)
VERSIONS = st.builds(
    lambda epoch, upstream, middle, revision: f"{epoch}{upstream}{middle}{revision}",
    st.sampled_from(["", "", "0:", "1:"]),
    UPSTREAM,
    st.sampled_from(["", "", "-3", "-a"]),
    st.lists(PIECES, min_size=1, max_size=4).map(lambda each: f"-{''.join(each)}") | st.just(""),
)


@pytest.mark.parametrize(("earlier", "later"), list(pairwise(ORDERED)))
def test_versions_of_the_manual_are_in_its_order(earlier: str, later: str) -> None:
    assert compare(earlier, later) == -1
    assert compare(later, earlier) == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [("1.0", "1.00"), ("0:1.0", "1.0"), ("1.0-0", "1.0"), ("1.", "1.0"), ("1.0-00", "1.0-0")],
)
def test_what_is_missing_counts_as_zero(left: str, right: str) -> None:
    assert compare(left, right) == 0
    assert satisfies(left, "=", right)


@pytest.mark.parametrize(
    "bad", ["", " ", "1.0 2", "a:1", "1:", "1.0-", "1_0", "9999999999:1", ":1", "1/2", "-1"]
)
def test_what_is_no_version_is_refused(bad: str) -> None:
    with pytest.raises(FormatError, match=r"version|epoch"):
        key(bad)


@pytest.mark.programs("dpkg")
@settings(max_examples=400, deadline=None)
@example("0~", "0")
@given(VERSIONS, VERSIONS)
def test_dpkg_agrees(left: str, right: str) -> None:
    sign = {-1: "lt", 0: "eq", 1: "gt"}[compare(left, right)]
    argv = ["dpkg", "--compare-versions", left, sign, right]
    judged = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (judged.returncode, judged.stderr) == (0, ""), (left, sign, right)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_one(first: str, second: str, third: str) -> None:
    assert compare(first, second) == -compare(second, first)
    if compare(first, second) <= 0 and compare(second, third) <= 0:
        assert compare(first, third) <= 0


@pytest.mark.parametrize(
    ("operator", "holds"),
    [("<<", False), ("<=", True), ("=", True), (">=", True), (">>", False)],
)
def test_a_version_stands_in_its_relations_to_itself(operator: str, *, holds: bool) -> None:
    assert satisfies("1.0-1", operator, "1.0-1") is holds
