"""`envtool store optimise`, through the program."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envtool.machine.store import Store

if TYPE_CHECKING:
    from cli.conftest import Place, Run

SAME = b"the same\n" * 1000


@pytest.fixture
def twins(place: "Place", tmp_path: Path) -> list[Path]:
    """Add an object with two identical files, and return where they lie."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(SAME)
    store = Store(place.settings_of().settings)
    folder = store.physical(store.add_tree(str(source), "twins"))
    return [Path(folder, name) for name in ("a", "b")]


def test_a_dry_run_says_what_would_be_saved(envtool: "Run", twins: list[Path]) -> None:
    done = envtool("store", "optimise", "--dry-run")
    assert done.stdout == "would link 1 file, 9.0 kB; hard links save 9.0 kB in all\n"
    assert not os.path.samefile(*twins)


def test_it_links_and_says_what_it_saved(envtool: "Run", twins: list[Path]) -> None:
    done = envtool("store", "optimise")
    assert (done.returncode, done.stdout) == (
        0,
        "linked 1 file, 9.0 kB; hard links save 9.0 kB in all\n",
    )
    assert "optimised 1 store path" in done.stderr
    assert os.path.samefile(*twins)
    again = envtool("store", "optimise", "--quiet")
    assert again.stdout == "nothing to link; hard links save 9.0 kB in all\n"
    assert again.stderr == ""


@pytest.mark.usefixtures("twins")
def test_json_has_the_same_keys_each_time(envtool: "Run") -> None:
    done = json.loads(envtool("store", "optimise", "--json").stdout)
    assert done == {
        "dry_run": False,
        "files": 1,
        "saved": len(SAME),
        "total": len(SAME),
        "damaged": 0,
        "supported": True,
    }


def test_a_damaged_shared_file_is_told(
    envtool: "Run", twins: list[Path], place: "Place", tmp_path: Path
) -> None:
    envtool("store", "optimise")
    twins[0].chmod(0o644)
    twins[0].write_bytes(SAME[::-1])
    twins[0].chmod(0o444)
    (tmp_path / "later").write_bytes(SAME)
    store = Store(place.settings_of().settings)
    store.add_tree(str(tmp_path / "later"), "later")
    done = envtool("store", "optimise")
    assert done.returncode == 0
    assert "1 shared file had been changed: `envtool store verify --contents`" in done.stderr


def test_where_there_are_no_hard_links_it_says_so(
    envtool: "Run", twins: list[Path], place: "Place"
) -> None:
    (place.root / "store/.links").symlink_to("/proc/self/fd")
    done = envtool("store", "optimise")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing done: there are no hard links where ")
    assert not os.path.samefile(*twins)


def test_a_store_that_cannot_be_written_to_is_an_error(
    envtool: "Run", twins: list[Path], place: "Place"
) -> None:
    (place.root / "store/.links").write_text("in the way")
    done = envtool("store", "optimise")
    assert done.returncode == 1
    assert "cannot optimise the store" in done.stderr
    assert not os.path.samefile(*twins)


def test_the_american_spelling_leads_to_the_command(envtool: "Run") -> None:
    done = envtool("store", "optimize")
    assert done.returncode == 2
    assert "did you mean `envtool store optimise`?" in done.stderr


def test_additions_share_with_everything_when_asked_to(
    envtool: Any, offering_twins: Any, place: Any
) -> None:
    environ = {"ENVTOOL_OPTIMISE": "all"}
    assert envtool("switch", environ=environ).returncode == 0
    (place.project / "mine").write_text(offering_twins)
    assert envtool("store", "add", "mine", environ=environ).returncode == 0
    found = [path for path in place.root.glob("store/*-*/**/*") if path.name == "twin.txt"]
    (mine,) = place.root.glob("store/*-mine")
    assert len(found) == 2
    assert {path.stat().st_ino for path in found} == {mine.stat().st_ino}


@pytest.fixture
def offering_twins(place: Any, index: Any, make_wheel: Any) -> str:
    """Declare two packages with one file in common; return its text."""
    text = "in common\n" * 100
    for name in ("alpha", "beta"):
        index.add(make_wheel(name, files={f"{name}/twin.txt": text}))
    (place.project / "envtool.toml").write_text(
        f'dependencies = ["alpha", "beta"]\nindex = "{index.url}"\n'
    )
    return text
