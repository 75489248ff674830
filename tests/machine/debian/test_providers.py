"""Which of the packages that have a library is taken, and what says that a host is a Debian."""

from pathlib import Path

import pytest

from envtool.formats.debian.contents import Library
from envtool.machine.debian.providers import best, host_suite

LIB = "usr/lib/x86_64-linux-gnu"


@pytest.mark.parametrize(
    ("soname", "places"),
    [
        ("libGL.so.1", {"libgl1": "", "primus-libs": "primus/"}),
        ("libstdc++.so.6", {"libstdc++6": "", "libstdc++6-12-dbg": "debug/"}),
        (
            "libblas.so.3",
            {"libblas3": "blas/", "libatlas3-base": "atlas/", "libopenblas0-serial": "openblas/"},
        ),
        ("libglib-2.0.so.0", {"libglib2.0-0t64": "", "a-bundle-with-it": "bundle/"}),
        ("libpq.so.5", {"libpq5": "", "libpq-dev": ""}),
    ],
)
def test_the_package_that_is_meant_is_taken(soname: str, places: dict[str, str]) -> None:
    found = [
        Library(soname, f"{LIB}/{below}{soname}", package) for package, below in places.items()
    ]
    for order in (found, found[::-1]):
        taken = best(soname, order)
        assert taken is not None
        assert taken.package == next(iter(places))


def test_of_none_there_is_no_best() -> None:
    assert best("libz.so.1", []) is None


@pytest.mark.parametrize(
    ("text", "suite"),
    [
        ('ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian = 12"\n', "bookworm"),
        ("ID='debian'\nVERSION_CODENAME='trixie'\n", "trixie"),
        ("ID=debian\n", None),
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n", None),
        ("", None),
    ],
)
def test_a_host_is_a_debian_if_it_says_so(tmp_path: Path, text: str, suite: str | None) -> None:
    path = tmp_path / "os-release"
    path.write_text(text)
    assert host_suite(str(path)) == suite
    assert host_suite(str(tmp_path / "absent")) is None
