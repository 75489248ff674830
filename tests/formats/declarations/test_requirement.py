import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from envtool.formats.declarations.requirement import (
    canonical,
    identity,
    name_of,
    normalised,
    python_specifier,
    why_not_requirement,
)

# A busy machine is no fault of the code under test.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PIECES = ["a", "Num_py", "-", ".", "1", "2.0", "01", "==", ">=", "<", "!=", "~=", "===", ",", " "]
MORE_PIECES = ["[x]", ";", "python_version<'3'", "*", "rc1", "@", "https://a.org/b", "é", "\n"]
ALMOST = st.lists(st.sampled_from(PIECES + MORE_PIECES), max_size=8).map("".join)


def packaging_accepts(text: str) -> bool:
    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


@UNHURRIED
@given(ALMOST)
def test_the_judgement_is_that_of_packaging(text: str) -> None:
    assert (why_not_requirement(text) is None) == (packaging_accepts(text) and text.isprintable())


SPECIFIERS = st.lists(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["==", ">=", "<", "!=", ">= "]),
            st.sampled_from(["1", "2.0", "01", "1rc1", "10.2"]),
        ),
    ),
    max_size=3,
).flatmap(lambda each: st.sampled_from([",".join(each), ", ".join(each)]))
VALID = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["a", "Num_py", "x.y-z"]),
        st.sampled_from(["", "[x]", "[y,x]"]),
        st.sampled_from(["", " "]),
        SPECIFIERS,
        st.sampled_from(["", "; python_version<'3'"]),
    ),
)


@UNHURRIED
@given(VALID)
def test_the_one_spelling_is_that_of_packaging(text: str) -> None:
    expected = Requirement(text)
    expected.name = normalised(expected.name)
    assert Requirement(canonical(text)) == expected
    assert canonical(canonical(text)) == canonical(text)
    assert name_of(text) == identity(text)[0] == expected.name


@UNHURRIED
@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join).map(str.strip))
def test_a_python_specifier_is_what_packaging_takes(text: str) -> None:
    try:
        expected = str(SpecifierSet(text)) or None
    except InvalidSpecifier:
        with pytest.raises(ValueError, match="is not a specifier"):
            python_specifier(text, bare=False)
    else:
        assert SpecifierSet(python_specifier(text, bare=False) or "") == SpecifierSet(
            expected or ""
        )


@pytest.mark.parametrize("same", ["NumPy >=2, <3", "numpy<3,>=2", "num.py>=2,<3"])
def test_spellings_of_one_requirement_are_one(same: str) -> None:
    assert canonical(same).replace("num-py", "numpy") == "numpy<3,>=2"


def test_markers_are_part_of_the_identity() -> None:
    assert identity("A_b>1; python_version<'3'") == ("a-b", 'python_version < "3"')
