"""Values are what frozen dataclasses are, as far as anybody here can tell."""

import copy
import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envtool.values import asdict, replace, value


@value
class Point:
    """A place."""

    x: int
    y: int = 0
    """Down."""

    @property
    def length(self) -> int:
        return abs(self.x) + abs(self.y)


@value
class Line:
    start: Point
    end: Point


@value
class Lonely:
    only: tuple[int, ...]


@value
class Nothing:
    pass


@dataclass(frozen=True, slots=True)
class Model:
    x: int
    y: int = 0


@given(st.lists(st.integers(), max_size=3), st.dictionaries(st.sampled_from("xyz"), st.integers()))
def test_they_are_made_as_dataclasses_are(given: list[int], named: dict[str, int]) -> None:
    try:
        model = Model(*given, **named)
    except TypeError:
        with pytest.raises(TypeError):
            Point(*given, **named)
    else:
        made = Point(*given, **named)
        assert (made.x, made.y) == (model.x, model.y)
        assert repr(made).removeprefix("Point") == repr(model).removeprefix("Model")


@given(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.tuples(*[st.integers(0, 2)] * 2))
def test_they_are_equal_when_their_fields_are(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (Point(*one) == Point(*other)) is (one == other)
    assert one != other or hash(Point(*one)) == hash(Point(*other))
    others: list[object] = [Model(*one), one]
    assert Point(*one) not in others


def test_they_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="x cannot be changed"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="x cannot be changed"):
        del point.x
    with pytest.raises(AttributeError):
        point.z = 2  # type: ignore[attr-defined]
    assert not hasattr(point, "__dict__")


def test_they_keep_their_methods_documentation_and_name() -> None:
    assert Point(3, -4).length == 7
    assert Point.__doc__ == "A place."
    assert Point.__qualname__ == "Point"
    assert Point.__module__ == __name__


def test_they_are_replaced_in_part_and_told_by_field() -> None:
    line = Line(Point(1), Point(2, 3))
    assert replace(line, end=Point(9)) == Line(Point(1), Point(9))
    assert line.end == Point(2, 3)
    assert asdict(line) == {"start": {"x": 1, "y": 0}, "end": {"x": 2, "y": 3}}
    with pytest.raises(TypeError):
        replace(line, middle=Point(0))


@pytest.mark.parametrize("each", [Point(1, 2), Line(Point(1), Point(2)), Lonely((1,)), Nothing()])
def test_they_are_copied_and_sent_elsewhere(each: object) -> None:
    assert copy.deepcopy(each) == each
    assert pickle.loads(pickle.dumps(each)) == each
    assert hash(copy.copy(each)) == hash(each)


def test_they_are_matched_by_position() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)
