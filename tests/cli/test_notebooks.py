"""`notebook init|add|lock|show|run|verify|clean`, against an index on loopback where it will do."""

import json
from pathlib import Path
from typing import Any

import pytest

CELLS: list[dict[str, Any]] = [
    {"cell_type": "markdown", "id": "m", "metadata": {}, "source": ["# Ladoga é"]},
    {
        "cell_type": "code",
        "execution_count": 4,
        "id": "c",
        "metadata": {},
        "outputs": [{"name": "stdout", "output_type": "stream", "text": ["1\n"]}],
        "source": ["print(1)"],
    },
]


@pytest.fixture
def notebook(place: Any) -> Path:
    """Return a notebook that declares nothing and has an output, in four-space layout."""
    path = Path(place.project) / "tarn.ipynb"
    made = {"cells": CELLS, "metadata": {"kernelspec": {}}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(made, indent=4, ensure_ascii=False) + "\n")
    return path


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def is_within(before: list[str], after: list[str]) -> bool:
    """Say whether all lines of `before` are in `after`, in order."""
    rest = iter(after)
    return all(line in rest for line in before)


def test_init_writes_a_notebook_that_declares(envtool: Any, place: Any) -> None:
    done = envtool("notebook", "init", "--python", "3.12", "new.ipynb")
    assert done.stdout == "wrote new.ipynb\nnext: `envtool notebook add new.ipynb numpy`\n"
    made = json.loads((place.project / "new.ipynb").read_text())
    assert made["cells"][0]["source"][1] == '# requires-python = "==3.12.*"\n'
    assert "declares already" in envtool("notebook", "init", "new.ipynb").stdout


def test_init_adds_a_cell_and_changes_nothing_else(envtool: Any, notebook: Path) -> None:
    before = lines_of(notebook)
    assert envtool("notebook", "init", "tarn.ipynb").returncode == 0
    assert is_within(before, lines_of(notebook))
    cells = json.loads(notebook.read_text())["cells"]
    assert cells[0] == CELLS[0]
    assert cells[1]["source"][0] == "# /// script\n"
    assert cells[2:] == CELLS[1:]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["init", "plot.py"], "is not a notebook"),
        (["init", "--python", "nonsense", "new.ipynb"], "requires-python"),
        (["add", "envtool.toml", "six"], "is not a notebook"),
        (["clean", "none.ipynb"], "no such file"),
        (["clean", "broken.ipynb"], "not JSON"),
        (["show", "old.ipynb"], "nbformat 3 is older than 4"),
        (["run", "--in-place", "--output", "x", "tarn.ipynb"], "exclude each other"),
        (["run", "-p", "a b", "1", "tarn.ipynb"], "cannot be the name of a parameter"),
        (["run", "--jobs", "0", "tarn.ipynb"], "expected a whole number from 1"),
        (["verify", "--tolerance", "-1", "tarn.ipynb"], "expected a number from 0"),
        (["run", "--file", "x", "tarn.ipynb"], "takes the notebook itself"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    words: list[str], told: str, envtool: Any, notebook: Path, place: Any
) -> None:
    (place.project / "broken.ipynb").write_text('{"cells": [')
    (place.project / "old.ipynb").write_text('{"nbformat": 3, "worksheets": []}')
    before = {path: path.read_bytes() for path in Path(place.project).iterdir()}
    done = envtool("notebook", *words)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in Path(place.project).iterdir()} == before


def test_clean_takes_outputs_and_leaves_every_other_byte(envtool: Any, notebook: Path) -> None:
    checked = envtool("notebook", "clean", "--check", "tarn.ipynb")
    assert (checked.returncode, checked.stdout) == (1, "tarn.ipynb: is not clean\n")
    before = notebook.read_text()
    assert envtool("notebook", "clean", "tarn.ipynb").stdout == "tarn.ipynb: cleaned\n"
    start, end = (
        before.index('"outputs": [') + 12,
        before.index('"source": [\n                "print'),
    )
    expected = before[:start] + "],\n            " + before[end:]
    assert notebook.read_text() == expected.replace(
        '"execution_count": 4', '"execution_count": null'
    )
    assert envtool("notebook", "clean", "--check", "tarn.ipynb").stdout == "tarn.ipynb: is clean\n"


def test_show_tells_of_several_as_json(envtool: Any, notebook: Path, place: Any) -> None:
    envtool("notebook", "init", "new.ipynb")
    done = envtool("notebook", "show", "--json", "new.ipynb", "tarn.ipynb")
    new, old = json.loads(done.stdout)["notebooks"]
    assert (new["declares"], new["lock"], new["requirements"]) == ("cell", "none", [])
    assert (old["declares"], old["with_outputs"], old["origin"]) == ("nothing", 1, None)
    text = envtool("notebook", "show", "tarn.ipynb").stdout
    assert "outputs   1 of 1 code cell; nobody noted what made them" in text


def test_of_several_the_broken_ones_stop_no_other(envtool: Any, notebook: Path, place: Any) -> None:
    (place.project / "broken.ipynb").write_text('{"cells": [')
    (place.project / "typo.ipynb").write_text(
        notebook.read_text().replace("print(1)", "# /// script\\n# dependencis = []\\n# ///\\n")
    )
    names = ["broken.ipynb", "typo.ipynb", "tarn.ipynb"]
    shown = envtool("notebook", "show", *names)
    assert shown.returncode == 1
    assert shown.stdout.startswith("tarn.ipynb\n  declares  nothing of its own")
    assert shown.stderr.count("error: ") == 2
    assert "typo.ipynb, cell 2:2: dependencis: unknown key" in shown.stderr
    told = json.loads(envtool("notebook", "clean", "--json", *names).stdout)["notebooks"]
    assert [(each["notebook"], each["error"] is None) for each in told] == [
        (str(place.project / "broken.ipynb"), False),
        (str(place.project / "typo.ipynb"), True),
        (str(place.project / "tarn.ipynb"), True),
    ]
    for name in names[1:]:
        assert envtool("notebook", "clean", "--check", name).stdout == f"{name}: is clean\n"


def test_copies_are_left_out_where_their_notebooks_are_named(envtool: Any, place: Any) -> None:
    for name in ("a.ipynb", "a.executed.ipynb", "b.executed.ipynb"):
        (place.project / name).write_text("{")
    done = envtool("notebook", "run", "a.executed.ipynb", "a.ipynb")
    assert done.stderr.startswith(
        "note: left out a.executed.ipynb, the executed copy of a.ipynb\nerror: "
    )
    assert "a.ipynb:1: not JSON" in done.stderr
    assert "left out" not in envtool("notebook", "run", "b.executed.ipynb", "a.ipynb").stderr


def test_every_stale_lock_is_told_with_the_command_for_it(envtool: Any, place: Any) -> None:
    for name in ("a.ipynb", "b.ipynb"):
        envtool("notebook", "init", name)
    assert (
        "none yet: envtool notebook lock a.ipynb" in envtool("notebook", "show", "a.ipynb").stdout
    )
    done = envtool("notebook", "lock", "--check", "a.ipynb", "b.ipynb")
    assert done.returncode == 1
    assert "error: a.ipynb has no lock\nhint: envtool -f a.ipynb lock\n" in done.stderr
    assert "error: b.ipynb has no lock\nhint: envtool -f b.ipynb lock\n" in done.stderr


def test_from_init_to_verify(workspace: Any, tmp_path: Path, envtool: Any, place: Any) -> None:
    place.environ |= {"ENVTOOL_ROOT": workspace.settings.root}
    at = Path(place.project) / "tarn.ipynb"

    def notebook(*words: str) -> str:
        done = envtool("notebook", *words)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    notebook("init", "tarn.ipynb")
    assert "+  six" in notebook("add", "tarn.ipynb", "six")
    assert notebook("lock", "--check", "tarn.ipynb") == "tarn.ipynb: the lock is up to date\n"
    assert "the lock stays as it is" in notebook("lock", "tarn.ipynb")
    text = at.read_text().replace('"# ///"', '"# ///\\n",\n    "depth = 1\\n",\n    "print(depth)"')
    at.write_text(text)
    assert "ran 2 cells" in notebook("run", "-p", "depth", "31", "tarn.ipynb")
    shown = notebook("show", "tarn.executed.ipynb")
    assert "made by the lock it has, in /envtool/store/" in shown
    verified = notebook("verify", "tarn.executed.ipynb")
    assert verified.startswith("tarn.executed.ipynb: 2 cells, the same\n  ran in the very closure")
    copy = at.with_name("tarn.executed.ipynb")
    copy.write_text(copy.read_text().replace('"1\\n"', '"2\\n"'))
    differing = envtool("notebook", "verify", "tarn.executed.ipynb")
    assert differing.returncode == 1
    assert "  cell 1: depth = 1\n    text on stdout differs\n    - 2\n    + 1\n" in differing.stdout
    copy.write_text(copy.read_text().replace('"2\\n"', '"\\u001b]0;mine\\u0007"'))
    steering = envtool("notebook", "verify", "tarn.executed.ipynb").stdout
    assert "    - \\x1b]0;mine\\x07\n    + 1\n" in steering
    assert "\x1b" not in steering
    found = json.loads(envtool("notebook", "verify", "--json", "tarn.executed.ipynb").stdout)
    assert (found["same"], found["notebooks"][0]["same_closure"]) == (False, True)
