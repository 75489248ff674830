"""Plain releases are compared as `packaging` compares them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from envtool.formats.releases import admits

releases = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(
    lambda numbers: ".".join(map(str, numbers))
)
plain = st.tuples(st.sampled_from(["==", "!=", "<=", ">=", "<", ">"]), releases).map("".join)
prefixes = st.tuples(st.sampled_from(["==", "!="]), releases).map(lambda pair: "".join(pair) + ".*")
compatible = st.tuples(st.integers(0, 3), releases).map(lambda pair: f"~={pair[0]}.{pair[1]}")


@given(st.lists(plain | prefixes | compatible, max_size=3).map(", ".join), releases)
def test_a_release_is_admitted_as_packaging_has_it(specifiers: str, version: str) -> None:
    assert admits(specifiers, version) is SpecifierSet(specifiers).contains(version)


@pytest.mark.parametrize(
    ("specifiers", "version"),
    [(">=1.0rc1", "1.0"), ("===1.0", "1.0"), (">1", "1.0.post1"), (">=1.*", "1.0"), ("~=1", "1.0")],
)
def test_of_the_rest_nothing_is_said(specifiers: str, version: str) -> None:
    assert admits(specifiers, version) is None
