"""`kernel install|list|remove` and `notebook run`, as far as the command line goes."""

import json
import os
from typing import Any


def kernels(envtool: Any) -> Any:
    return json.loads(envtool("kernel", "list", "--json").stdout)["kernels"]


def test_a_kernel_comes_and_goes(envtool: Any, make_generation: Any, place: Any) -> None:
    make_generation(kernel="Demo")
    ended = envtool("kernel", "install", "envtool.toml", "--display-name", "My demo")
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
            "drifted": False,
            "stale": None,
        }
    ]
    assert envtool("kernel", "list").stdout.split()[:3] == ["demo", "My", "demo"]
    assert envtool("__complete", "--", "kernel", "remove", "").stdout == "demo\tMy demo\n"
    assert envtool("kernel", "remove", "demo").stdout == f"removed kernel demo from {folder}\n"
    assert kernels(envtool) == []
    assert envtool("kernel", "list").stdout.startswith("no kernels yet")


def test_one_kernel_serves_every_notebook(envtool: Any, place: Any) -> None:
    ended = envtool("kernel", "install")
    folder = place.home / ".local/share/jupyter/kernels/envtool"
    assert (ended.returncode, ended.stdout) == (0, f"kernel envtool (envtool) in {folder}\n")
    (only,) = kernels(envtool)
    assert (only["name"], only["project"], only["stale"]) == ("envtool", None, None)
    assert "every notebook" in envtool("kernel", "list").stdout
    assert envtool("kernel", "install", "--name", "other").returncode == 2
    assert envtool("kernel", "remove", "envtool").returncode == 0


def test_a_kernel_tells_that_its_declaration_moved_on(
    envtool: Any, make_generation: Any, place: Any
) -> None:
    make_generation(kernel="Demo")
    assert envtool("kernel", "install", "envtool.toml").returncode == 0
    declaration = place.project / "envtool.toml"
    declaration.write_text('dependencies = ["a"]\n')
    assert kernels(envtool)[0]["drifted"] is True
    assert "has changed since" in envtool("kernel", "list").stdout


def test_a_kernel_whose_declaration_is_gone_goes_with_its_generations(
    envtool: Any, make_generation: Any, place: Any
) -> None:
    make_generation(kernel="Demo")
    assert envtool("kernel", "install", "envtool.toml").returncode == 0
    (place.project / "envtool.toml").unlink()
    assert "is gone" in kernels(envtool)[0]["stale"]
    told = "to take demo away: envtool kernel remove demo\n"
    assert envtool("kernel", "list").stderr == told
    told = envtool("gc", "--gone", "--dry-run").stderr
    assert told.startswith("would remove kernel demo")
    assert len(kernels(envtool)) == 1
    assert envtool("gc", "--gone").stderr.startswith("removed kernel demo")
    assert kernels(envtool) == []


def test_a_kernel_that_is_not_there_cannot_be_removed(envtool: Any) -> None:
    ended = envtool("kernel", "remove", "nope")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: ")


def test_an_environment_without_ipykernel_has_no_kernel(
    envtool: Any, make_generation: Any, place: Any
) -> None:
    make_generation()
    ended = envtool("kernel", "install", "envtool.toml", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["error"]["kind"]) == (1, "kernel")
    assert not os.path.exists(place.home / ".local/share/jupyter")


def test_only_a_notebook_is_run_as_one(envtool: Any, place: Any) -> None:
    (place.project / "a.py").write_text("# /// script\n# dependencies = []\n# ///\n")
    ended = envtool("notebook", "run", "a.py")
    assert ended.returncode == 1
    assert "is not a notebook" in ended.stderr
    assert envtool("-f", "envtool.toml", "notebook", "run", "a.ipynb").returncode == 2
