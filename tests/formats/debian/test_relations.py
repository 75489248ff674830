"""Fields of relations, as Policy's chapter 7 has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.errors import FormatError
from envtool.formats.debian.architecture import counts, of_machine, triplet
from envtool.formats.debian.relations import Relation, parse, parse_flat, render

NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,8}", fullmatch=True)
OPERATED = st.tuples(st.sampled_from(["<<", "<=", "=", ">=", ">>"]), st.just("1:2.3~rc1-4+b1"))
RELATIONS = st.builds(
    lambda name, qualifier, version, architectures, profiles: Relation(
        name, qualifier, version[0], version[1], architectures, profiles
    ),
    NAMES,
    st.none() | st.sampled_from(["any", "native", "amd64"]),
    OPERATED | st.just((None, "")),
    st.sampled_from([(), ("amd64",), ("!i386", "!armhf"), ("linux-any", "any-arm64")]),
    st.sampled_from([(), (("!nocheck",),), (("stage1", "cross"), ("nodoc",))]),
)
GROUPS = st.lists(st.lists(RELATIONS, min_size=1, max_size=3).map(tuple), max_size=4).map(tuple)


def test_groups_and_alternatives_are_in_their_order() -> None:
    found = parse("libc6 (>= 2.34), default-mta | mail-transport-agent,\n python3:any (<< 3.12)")
    assert found == (
        (Relation("libc6", None, ">=", "2.34"),),
        (Relation("default-mta"), Relation("mail-transport-agent")),
        (Relation("python3", "any", "<<", "3.12"),),
    )


def test_blanks_do_not_matter() -> None:
    assert parse("a(>=1)|b,c [ amd64 ]<!x>") == parse(" a ( >= 1 ) | b , c [amd64] <!x> ")


def test_an_empty_field_has_no_groups() -> None:
    assert parse(" \n ") == ()


def test_the_old_signs_mean_or_equal() -> None:
    assert parse("a (< 1), b (> 2)") == parse("a (<= 1), b (>= 2)")


@given(GROUPS)
def test_what_is_rendered_is_parsed_again(groups: tuple[tuple[Relation, ...], ...]) -> None:
    assert parse(render(groups)) == groups


@pytest.mark.parametrize(
    "bad", ["a b", "a (1)", "a (>= )", "a,,b", "a |", "a (>= 1", "a (>= 1:)", "(>= 1)", "a (== 1)"]
)
def test_what_is_no_relation_is_named(bad: str) -> None:
    with pytest.raises(FormatError, match=r"relation|version"):
        parse(bad)


def test_provides_cannot_have_alternatives() -> None:
    with pytest.raises(FormatError, match="alternatives"):
        parse_flat("a | b")


def test_versions_decide_what_is_allowed() -> None:
    (relation,) = parse_flat("libc6 (>= 2.34)")
    assert relation.allows("2.36-9+deb12u10")
    assert not relation.allows("2.34~rc1")
    assert Relation("libc6").allows("0")


@pytest.mark.parametrize(
    ("restrictions", "holds"),
    [
        ("", True),
        ("amd64", True),
        ("arm64", False),
        ("!amd64", False),
        ("!arm64 !i386", True),
        ("linux-any", True),
        ("any-amd64", True),
        ("any-arm64 kfreebsd-any", False),
    ],
)
def test_restrictions_say_where_a_relation_counts(restrictions: str, *, holds: bool) -> None:
    assert counts(restrictions.split(), "amd64") is holds


def test_machines_have_an_architecture_and_a_folder() -> None:
    assert (of_machine("x86_64"), triplet("amd64")) == ("amd64", "x86_64-linux-gnu")
    assert (of_machine("aarch64"), triplet("arm64")) == ("arm64", "aarch64-linux-gnu")
