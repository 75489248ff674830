"""`search`: packages of Debian and of the index, before anything is declared."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.conftest import Place, Run
    from fixtures.index import Index
    from fixtures.mirror import Mirror
    from fixtures.wheels import MakeWheel

NAMES = {
    "graph": "the package itself",
    "graph-tools": "tools for graph",
    "libgraph1": "library",
    "xdot": "viewer of GRAPH files",
    "tiny": "something else",
}


@pytest.fixture
def debian(
    mirror: "Mirror", place: "Place", index: "Index", make_wheel: "MakeWheel", tmp_path: Path
) -> "Mirror":
    """Give a mirror with a suite named tested, which is the stable one, and an index."""
    mirror.contents = (
        b"usr/bin/xdot                              x11/xdot\n"
        b"usr/lib/x86_64-linux-gnu/libgraph.so.1    libs/libgraph1\n"
    )
    publish(mirror)
    index.add(make_wheel("graph", "0.5", summary="a tiny package"))
    place.environ |= {
        "ENVTOOL_DEBIAN_MIRROR": mirror.url,
        "ENVTOOL_DEBIAN_KEYS": str(tmp_path / "key.pgp"),
        "ENVTOOL_DEBIAN_CHECK_AGE": "0",
        "ENVTOOL_INDEX_URL": index.url,
    }
    return mirror


def publish(mirror: "Mirror", version: str = "1.0", day: int = 0) -> None:
    stanzas = [
        mirror.stanza(name, version, installed_size="20").replace(f"what {name} is for", summary)
        for name, summary in NAMES.items()
    ]
    mirror.publish(*stanzas, date=mirror.now + day * 86400)
    shutil.rmtree(mirror.suite("stable"), ignore_errors=True)
    shutil.copytree(mirror.suite("tested"), mirror.suite("stable"))


def test_names_come_before_summaries_and_the_index_after_debian(
    debian: "Mirror", envtool: "Run"
) -> None:
    ended = envtool("search", "Graph", "--offline")
    assert ended.returncode == 1
    assert "never been fetched" in ended.stderr
    ended = envtool("search", "Graph")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "in Debian tested:",
        "  graph        1.0  1.0 kB  20.5 kB  the package itself",
        "  graph-tools  1.0  1.0 kB  20.5 kB  tools for graph",
        "  libgraph1    1.0  1.0 kB  20.5 kB  library",
        "  xdot         1.0  1.0 kB  20.5 kB  viewer of GRAPH files",
        "",
        "in the package index:",
        "  graph  0.5  a tiny package",
    ]
    assert envtool("search", "Graph", "--offline").stdout == ended.stdout


def test_all_words_must_be_there(debian: "Mirror", envtool: "Run") -> None:
    found = json.loads(envtool("search", "--json", "viewer", "graph").stdout)
    assert [each["name"] for each in found["debian"]] == ["xdot"]
    assert found["index"] is None
    assert json.loads(envtool("search", "--json", "viewer graph").stdout) == found


def test_json_has_it_all(debian: "Mirror", envtool: "Run") -> None:
    found = json.loads(envtool("search", "graph", "--json").stdout)
    assert found["suites"] == ["tested"]
    assert found["debian"][0] == {
        "name": "graph",
        "version": "1.0",
        "architecture": "amd64",
        "size": 1000,
        "unpacked": 20480,
        "suite": "tested",
        "component": "main",
        "summary": "the package itself",
    }
    assert found["index"] == {
        "name": "graph",
        "version": "0.5",
        "summary": "a tiny package",
    }
    assert (found["total"], found["near"], found["failures"]) == (4, [], [])


def test_of_a_package_that_was_updated_the_newest_version_is_shown(
    debian: "Mirror", envtool: "Run"
) -> None:
    newer = [debian.stanza(name, "1.0+deb1") for name in ("graph", "libgraph1")]
    debian.publish(*newer, suite="tested-updates")
    found = json.loads(envtool("search", "graph", "--json").stdout)
    assert [(each["name"], each["version"], each["suite"]) for each in found["debian"]] == [
        ("graph", "1.0+deb1", "tested-updates"),
        ("graph-tools", "1.0", "tested"),
        ("libgraph1", "1.0+deb1", "tested-updates"),
        ("xdot", "1.0", "tested"),
    ]
    assert (found["suites"], found["total"]) == (["tested"], 4)
    owners = json.loads(envtool("search", "--provides", "libgraph.so.1", "--json").stdout)["owners"]
    assert owners[0]["package"]["version"] == "1.0+deb1"


def test_nothing_found_suggests_what_is_near(debian: "Mirror", envtool: "Run") -> None:
    ended = envtool("search", "libgrahp1")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "nothing in Debian tested or in the package index is libgrahp1",
        "did you mean libgraph1?",
    ]


def test_more_than_a_screen_is_shown_when_asked_for(debian: "Mirror", envtool: "Run") -> None:
    debian.publish(*(debian.stanza(f"many-{number}") for number in range(25)), suite="tested")
    shutil.rmtree(debian.suite("stable"))
    shutil.copytree(debian.suite("tested"), debian.suite("stable"))
    few, every = envtool("search", "many").stdout, envtool("search", "many", "--all").stdout
    assert few.splitlines()[-1] == "and 5 more: add a word, or --all"
    assert len(every.splitlines()) == 26
    assert json.loads(envtool("search", "many", "--json").stdout)["total"] == 25


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "libgraph.so.1",
            "libgraph1  1.0  tested  1.0 kB  /usr/lib/x86_64-linux-gnu/libgraph.so.1",
        ),
        ("xdot", "xdot  1.0  tested  1.0 kB  /usr/bin/xdot"),
        ("/bin/xdot", "xdot  1.0  tested  1.0 kB  /usr/bin/xdot"),
    ],
)
def test_who_provides_a_library_or_program_is_told(
    debian: "Mirror", envtool: "Run", name: str, line: str
) -> None:
    ended = envtool("search", "--provides", name)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["in Debian tested:", f"  {line}"]
    (owner,) = json.loads(envtool("search", "--provides", name, "--json").stdout)["owners"]
    assert owner["package"]["name"] == owner["name"] == line.partition(" ")[0]


def test_a_file_that_nothing_provides_suggests_what_is_near(
    debian: "Mirror", envtool: "Run"
) -> None:
    ended = envtool("search", "--provides", "libgraph.so.7")
    assert ended.stdout.splitlines() == [
        "no package of Debian tested has a library or program libgraph.so.7",
        "did you mean libgraph.so.1?",
    ]
    elsewhere = envtool("search", "--provides", "/sbin/xdot")
    assert elsewhere.stdout.splitlines()[1:] == ["did you mean xdot?"]


def test_the_suite_is_the_declarations(debian: "Mirror", envtool: "Run", place: "Place") -> None:
    debian.publish(debian.stanza("xdot", "7.0"), suite="newer")
    (place.project / "envtool.toml").write_text('interpreter = "debian/newer"\n')
    assert envtool("search", "xdot").stdout.startswith("in Debian newer:\n  xdot  7.0")
    assert " 1.0 " in envtool("search", "xdot", "--suite", "tested").stdout
    (place.project / "envtool.toml").write_text("nonsense")
    assert " 1.0 " in envtool("search", "xdot").stdout


def test_several_suites_stand_side_by_side(debian: "Mirror", envtool: "Run") -> None:
    debian.publish(debian.stanza("graph", "2.0"), suite="newer")
    ended = envtool("search", "graph", "--suite", "tested", "--suite", "newer")
    assert ended.stdout.splitlines()[1:3] == [
        "  graph        1.0  tested  1.0 kB  20.5 kB  the package itself",
        "  graph        2.0  newer   1.0 kB      0 B  what graph is for",
    ]


def test_what_cannot_be_asked_is_told_beside_what_was_found(
    debian: "Mirror", index: "Index", envtool: "Run"
) -> None:
    index.behaviour["/simple/xdot/"] = 403
    ended = envtool("search", "xdot")
    assert ended.returncode == 0
    assert "xdot  1.0" in ended.stdout
    assert ended.stderr.splitlines()[-1].startswith("note: ")
    assert "403" in ended.stderr
    ended = envtool("search", "graph", "--component", "contrib")
    assert ended.returncode == 0
    assert "graph  0.5" in ended.stdout
    assert "has no component 'contrib'" in ended.stderr


def test_the_archive_is_asked_again_when_wanted(debian: "Mirror", envtool: "Run") -> None:
    assert " 1.0 " in envtool("search", "tiny").stdout
    publish(debian, "2.0", day=1)
    assert " 1.0 " in envtool("search", "tiny").stdout
    assert " 2.0 " in envtool("search", "tiny", "--refresh").stdout


def test_a_component_that_is_not_there_is_told(debian: "Mirror", envtool: "Run") -> None:
    ended = envtool("search", "xdot", "--component", "contrib")
    assert ended.returncode == 1
    assert "has no component 'contrib'" in ended.stderr


@pytest.mark.parametrize("words", [(), ("a", "--provides", "b"), ("",)])
def test_either_words_or_a_file_are_asked_for(envtool: "Run", words: tuple[str, ...]) -> None:
    ended = envtool("search", *words)
    assert ended.returncode == 2
    assert "search needs a word, or --provides" in ended.stderr


def test_names_and_suites_are_completed_from_what_is_kept(debian: "Mirror", envtool: Any) -> None:
    assert envtool("__complete", "--", "search", "gr").stdout == ""
    envtool("search", "graph")
    found = envtool("__complete", "--", "search", "gr").stdout
    assert found == "graph\tstable\ngraph-tools\tstable\n"
    debian.publish(debian.stanza("graph", "2.0"), suite="stable-updates")
    envtool("search", "--suite", "stable-updates", "graph")
    assert envtool("__complete", "--", "search", "gr").stdout == found
    suites = envtool("__complete", "--", "search", "--suite", "").stdout
    assert suites.split() == ["stable", "oldstable", "testing", "stable-updates"]
