"""The line of each place is that of a TOML reader that keeps none."""

import tomllib

from fixtures.tables import TABLES, as_toml
from hypothesis import HealthCheck, given, settings

from envtool.formats.declarations.toml_lines import scan

# A busy machine is no fault of the code under test.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def places(value: object, place: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    if isinstance(value, dict):
        below = value.items()
    elif isinstance(value, list):
        below = dict(enumerate(value)).items()
    else:
        return {place}
    return {place}.union(*(places(each, (*place, key)) for key, each in below))


@UNHURRIED
@given(TABLES)
def test_the_scanner_knows_the_line_of_each_place(tables: dict[str, object]) -> None:
    text = "".join(f"{key} = {as_toml(value)}\n" for key, value in tables.items())
    assert places(tomllib.loads(text)) - {()} == set(scan(text).lines)


def test_the_scanner_follows_tables_dotted_keys_and_strings_over_lines() -> None:
    text = '''\
a.b = """
c = 1 [x] "" \\"""
""""
'q.r'."s" = [ "]", ']', # ]
  { t = [1,
  2] } ]
[[items]]
x = """a"""
[items.sub]
y = 1
[[items]]
x = 2
'''
    found = scan(text).lines
    assert places(tomllib.loads(text)) - {()} == set(found)
    assert found["q.r", "s", 2, "t", 1] == 6
    assert (found["items", 0, "sub", "y"], found["items", 1, "x"]) == (10, 12)
