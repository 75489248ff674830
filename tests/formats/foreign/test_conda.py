"""conda's environment.yml."""

import pytest

from envtool.errors import DeclarationError
from envtool.formats.foreign.conda import parse

TEXT = """\
name: lake
channels: [conda-forge, nodefaults]
dependencies:
  - python=3.11
  - conda-forge::numpy=1.26
  - pandas>=2,<3
  - scipy==1.11.4=py311h_0
  - scikit-learn=1.4.*=py*_0
  - matplotlib-base
  - pytorch 2.1.0
  - libgdal
  - r-base=4.3
  - pip
  - weird 1.0|2.0
  - pip:
      - six==1.16.0
      - -r more.txt
      - "lib @ https://x.invalid/lib.zip"
variables:
  LAKE: 1
"""


def test_packages_get_their_names_and_specifiers_on_the_index() -> None:
    carried = parse(TEXT)
    assert carried.python == "3.11"
    assert carried.requirements == (
        "numpy==1.26.*",
        "pandas>=2,<3",
        "scipy==1.11.4",
        "scikit-learn==1.4.*",
        "matplotlib",
        "torch==2.1.0",
        "weird",
        "six==1.16.0",
        "lib @ https://x.invalid/lib.zip",
    )
    assert carried.variables == (("LAKE", "1"),)


def test_what_is_not_of_python_is_left_and_told() -> None:
    assert parse(TEXT).left == (
        "libgdal (not a package of Python)",
        "r-base=4.3 (not a package of Python)",
        "weird 1.0|2.0: only its name was carried over",
        "-r more.txt",
    )


@pytest.mark.parametrize(
    "text",
    ["{", "- a", "dependencies: 3", "variables: [1]", "a: !!python/object:os.x {}", "[" * 9999],
)
def test_what_is_no_environment_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match=r"environment\.yml"):
        parse(text)


def test_an_empty_one_asks_for_nothing() -> None:
    carried = parse("name: x\ndependencies:\n")
    assert carried.requirements == ()
    assert carried.python is None
