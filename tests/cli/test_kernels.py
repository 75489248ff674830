"""`kernel install|list|remove` and `notebook run`, as far as the command line goes."""

import json
import os
from typing import Any


def kernels(envtool: Any) -> Any:
    return json.loads(envtool("kernel", "list", "--json").stdout)["kernels"]


def test_a_kernel_comes_and_goes(envtool: Any, make_generation: Any, place: Any) -> None:
    make_generation(kernel="Demo")
    ended = envtool("kernel", "install", "--display-name", "My demo")
    assert (ended.returncode, ended.stderr) == (0, "")
    folder = place.home / ".local/share/jupyter/kernels/demo"
    assert ended.stdout == f"kernel demo (My demo) in {folder}\n"
    assert json.loads((folder / "kernel.json").read_text())["display_name"] == "My demo"
    assert kernels(envtool) == [
        {
            "name": "demo",
            "display_name": "My demo",
            "directory": str(folder),
            "project": str(place.project / "envtool.toml"),
            "environment": "default",
            "generation": 1,
            "stale": None,
        }
    ]
    assert envtool("kernel", "list").stdout.split()[:3] == ["demo", "My", "demo"]
    assert envtool("__complete", "--", "kernel", "remove", "").stdout == "demo\tMy demo\n"
    assert envtool("kernel", "remove", "demo").stdout == f"removed kernel demo from {folder}\n"
    assert kernels(envtool) == []
    assert envtool("kernel", "list").stdout.startswith("no kernels yet")


def test_a_kernel_that_is_not_there_cannot_be_removed(envtool: Any) -> None:
    ended = envtool("kernel", "remove", "nope")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: ")


def test_an_environment_without_ipykernel_has_no_kernel(
    envtool: Any, make_generation: Any, place: Any
) -> None:
    make_generation()
    ended = envtool("kernel", "install", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["error"]["kind"]) == (1, "kernel")
    assert not os.path.exists(place.home / ".local/share/jupyter")


def test_only_a_notebook_is_run_as_one(envtool: Any, place: Any) -> None:
    (place.project / "a.py").write_text("# /// script\n# dependencies = []\n# ///\n")
    ended = envtool("notebook", "run", "a.py")
    assert ended.returncode == 1
    assert "is not a notebook" in ended.stderr
    assert envtool("-f", "envtool.toml", "notebook", "run", "a.ipynb").returncode == 2
