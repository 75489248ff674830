"""Packages, changes, plans and trees as text and as JSON."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from envtool.cli import render
from envtool.cli.options import Options
from envtool.cli.terminal import Terminal
from envtool.formats.changes import Changes
from envtool.formats.generation import Package
from envtool.formats.ground import Deb, Use
from envtool.formats.nix.storepath import StorePath
from envtool.formats.outcomes import Pending, Plan

PATH = StorePath.parse("0123456789abcdfghijklmnpqrsvwxyz-numpy-2.2.0")
PLAIN = Terminal(Options(color="never"))


def package(name: str, *requires: str, **given: Any) -> Package:
    settings: dict[str, Any] = {"version": "1.0", "path": None, "size": 1000, "direct": False}
    return Package(name=name, requires=requires, **{**settings, **given})


def deb(name: str, version: str = "1.0", *, use: Use = "system", direct: bool = False) -> Deb:
    return Deb(name, version, use, direct)


def changes(**given: Any) -> Changes:
    settings: dict[str, Any] = {
        "added": (),
        "removed": (),
        "changed": (),
        "python": ("3.11.2", "3.11.2"),
    }
    return Changes(**{**settings, **given})


SOME = changes(
    added=(
        package("numpy", version="2.2.0", size=45_000_000),
        package("local", version=None, size=None),
    ),
    removed=(package("polars", version="1.0"),),
    changed=(
        (package("pandas", size=1000), package("pandas", version="2.0", size=3500)),
        (package("same"), package("same")),
    ),
    python=("3.11.2", "3.12.1"),
)


def test_changes_are_a_table() -> None:
    assert render.changes_lines(SOME, PLAIN) == [
        "  +  numpy   2.2.0              45.0 MB",
        "  +  local",
        "  -  polars  1.0                 1.0 kB",
        "  ~  pandas  1.0 -> 2.0         +2.5 kB",
        "  ~  same    1.0 (other build)",
        "  ~  python  3.11.2 -> 3.12.1",
    ]
    assert render.counts_text(SOME) == "+2 -1 ~2, python"


DEBIAN = changes(
    source=("host", "debian"),
    debs_added=(
        deb("libc6", use="interpreter"),
        deb("git", "1:2.39", direct=True),
        deb("libc6"),
        deb("libcurl4"),
    ),
    debs_removed=(deb("graphviz", direct=True),),
    debs_changed=((deb("zlib1g", "1.2"), deb("zlib1g", "1.3")),),
)


def test_packages_of_debian_and_the_interpreter_are_told() -> None:
    assert render.changes_lines(DEBIAN, PLAIN) == [
        "  ~  python    3.11.2 (host) -> 3.11.2 (debian)",
        "  +  git       1:2.39                            Debian",
        "  -  graphviz  1.0                               Debian",
        "  ~  zlib1g    1.2 -> 1.3                        Debian",
        "  +  2 other packages of Debian",
    ]
    assert render.counts_text(DEBIAN) == "python, Debian +4 -1 ~1"
    told = render.changes_lines(DEBIAN, Terminal(Options(color="never", verbose=True)))
    assert [line.split()[1] for line in told] == [
        *("python", "libc6", "git", "libc6", "libcurl4", "graphviz", "zlib1g")
    ]
    assert told[1].endswith("Debian, interpreter")


def test_changes_of_debian_are_json() -> None:
    shape = render.changes_json(DEBIAN)
    assert json.loads(json.dumps(shape)) == shape
    assert shape["interpreter"] == {"before": "host", "after": "debian"}
    assert shape["debian"]["removed"] == [
        {"name": "graphviz", "version": "1.0", "use": "system", "direct": True}
    ]
    assert shape["debian"]["changed"][0]["after"]["version"] == "1.3"


def test_no_changes_are_no_lines() -> None:
    assert render.changes_lines(changes(python=(None, "3.11.2")), PLAIN) == []
    assert render.counts_text(changes()) == "="


def test_a_plan_tells_bytes() -> None:
    plan = Plan(
        environment=PATH,
        fetch=(Pending("numpy.whl", 12_000_000), Pending("local.whl", None)),
        build=(Pending("demo-env", None),),
        changes=SOME,
        fetch_size=12_000_000,
        lock_changed=True,
        up_to_date=False,
    )
    lines = render.plan_lines(plan, PLAIN)
    assert lines[:7] == [
        "would lock: the lock does not answer the declaration",
        "would fetch 2 artifacts, 12.0 MB",
        "  numpy.whl  12.0 MB",
        "  local.whl",
        "would build 1 derivation",
        "  demo-env",
        "would change +2 -1 ~2, python",
    ]
    shape = render.plan_json(plan)
    assert json.loads(json.dumps(shape)) == shape
    assert shape["environment"] == f"/envtool/store/{PATH}"
    assert shape["fetch"] == [
        {"label": "numpy.whl", "size": 12_000_000},
        {"label": "local.whl", "size": None},
    ]


def test_a_plan_of_nothing() -> None:
    plan = Plan(PATH, (), (), changes(), 0, lock_changed=False, up_to_date=True)
    assert render.plan_lines(plan, PLAIN) == ["nothing to do"]


def test_a_tree_repeats_no_branch() -> None:
    packages = [
        package("a", "b", "c", direct=True),
        package("b", "c"),
        package("c", "d"),
        package("d"),
        package("z", "c", direct=True),
        package("orphan", "d"),
    ]
    assert render.tree_lines(packages, unicode=True) == [
        "a 1.0  1.0 kB",
        "├── b 1.0  1.0 kB",
        "│   └── c 1.0  1.0 kB",
        "│       └── d 1.0  1.0 kB",
        "└── c 1.0  (*)",
        "z 1.0  1.0 kB",
        "└── c 1.0  (*)",
        "orphan 1.0  1.0 kB",
        "└── d 1.0  1.0 kB",
    ]
    assert render.tree_lines(packages, unicode=False)[1:3] == [
        "|-- b 1.0  1.0 kB",
        "|   `-- c 1.0  1.0 kB",
    ]


def test_a_tree_with_a_circle_and_a_gap_ends() -> None:
    packages = [package("a", "b", "gone", direct=True), package("b", "a", version=None, size=None)]
    assert render.tree_lines(packages, unicode=False) == [
        "a 1.0  1.0 kB",
        "|-- b",
        "|   `-- a 1.0  (*)",
        "`-- gone",
    ]


def test_a_long_chain_is_no_recursion() -> None:
    packages = [package(f"p{n}", f"p{n + 1}", direct=n == 0) for n in range(3000)]
    assert len(render.tree_lines(packages, unicode=False)) == 3001


def test_package_json_has_its_keys() -> None:
    shape = render.package_json(package("numpy", "a", path=PATH, direct=True))
    assert shape == {
        "name": "numpy",
        "version": "1.0",
        "path": f"/envtool/store/{PATH}",
        "size": 1000,
        "direct": True,
        "requires": ["a"],
    }


def test_colours_stand_around_the_line() -> None:
    [line] = render.changes_lines(changes(added=(package("a"),)), Terminal(Options(color="always")))
    assert line == "  \033[32m+  a  1.0  1.0 kB\033[0m"


@pytest.mark.parametrize(("count", "text"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells")])
def test_plural(count: int, text: str) -> None:
    assert render.plural(count, "cell") == text


def test_a_generation_is_json_in_utc() -> None:
    record = SimpleNamespace(
        environment=PATH, python="3.11.2", impure=True, name="demo", packages=(package("a"),)
    )
    generation: Any = SimpleNamespace(
        number=2,
        path=PATH,
        created=0.0,
        current=True,
        record=record,
        changes=SOME,
        size=5,
        used_by=(7,),
    )
    shape = render.generation_json(generation)
    assert list(shape) == [
        "number",
        "path",
        "created",
        "current",
        "environment",
        "python",
        "impure",
        "size",
        "packages",
        "changes",
        "used_by",
    ]
    assert shape["created"] == "1970-01-01T00:00:00Z"
    assert "generation 2 of demo: python 3.11.2, impure, 1 package, 5 B" in render.generation_line(
        generation, PLAIN
    )
