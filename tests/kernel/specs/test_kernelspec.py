import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from envtool.errors import KernelError
from envtool.kernel.specs import kernelspec, registered
from envtool.machine import project as projects
from envtool.machine.project import Project
from envtool.machine.settings import load
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from kernel.conftest import Start  # noqa: TID251 - tests/kernel, not kernel/


def written(folder: Path, name: str) -> dict[str, object]:
    spec: dict[str, object] = json.loads((folder / "kernels" / name / "kernel.json").read_text())
    return spec


def test_a_spec_works_by_its_argv_alone(
    workspace: Workspace, with_kernel: Project, jupyter: Path
) -> None:
    info = kernelspec.install(workspace, with_kernel)
    spec = KernelSpecManager().get_kernel_spec("lake")
    assert (info.name, info.generation, info.stale) == ("lake", 1, None)
    assert spec.resource_dir == info.directory == str(jupyter / "kernels" / "lake")
    assert spec.argv[1:] == ["--declaration", with_kernel.path, "-f", "{connection_file}"]
    assert os.access(spec.argv[0], os.X_OK)
    assert not os.path.basename(spec.argv[0]).startswith("python")
    assert spec.interrupt_mode == "message"
    assert spec.metadata["debugger"] is True
    assert "kernel_provisioner" not in spec.metadata


def test_the_root_stands_in_a_spec_only_when_it_is_not_the_default(
    workspace: Workspace, with_kernel: Project, jupyter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernelspec.install(workspace, with_kernel)
    assert written(jupyter, "lake")["env"] == {"ENVTOOL_ROOT": workspace.settings.root}
    data = str(Path(with_kernel.path).parent / "data")
    os.mkdir(data)
    os.symlink(workspace.settings.root, f"{data}/envtool")
    monkeypatch.delenv("ENVTOOL_ROOT")
    monkeypatch.setenv("XDG_DATA_HOME", data)
    kernelspec.install(Workspace(load(os.environ)), with_kernel)
    assert written(jupyter, "lake")["env"] == {}


def test_names_are_as_asked_else_as_declared(
    workspace: Workspace, with_kernel: Project, jupyter: Path
) -> None:
    asked = kernelspec.install(workspace, with_kernel, name="tarn", display_name="A tarn")
    assert (asked.name, asked.display_name) == ("tarn", "A tarn")
    path = Path(with_kernel.path)
    path.write_text(path.read_text() + '[kernel]\nname = "mere"\ndisplay-name = "A mere"\n')
    declared = kernelspec.install(workspace, with_kernel)
    assert (declared.name, declared.display_name) == ("mere", "A mere")
    assert [info.name for info in registered.list_kernels(workspace)] == ["mere", "tarn"]


def test_a_name_that_jupyter_would_not_take_is_refused_with_one_that_it_does(
    workspace: Workspace, with_kernel: Project, jupyter: Path
) -> None:
    with pytest.raises(KernelError) as caught:
        kernelspec.install(workspace, with_kernel, name="My Lake")
    assert caught.value.hint == f"envtool kernel install {with_kernel.path} --name my-lake"
    assert not jupyter.exists()


def test_an_environment_without_ipykernel_is_refused(
    workspace: Workspace, without_kernel: Project, jupyter: Path
) -> None:
    with pytest.raises(KernelError, match="no ipykernel") as caught:
        kernelspec.install(workspace, without_kernel)
    assert "envtool add ipykernel" in (caught.value.hint or "")


def test_a_project_without_a_generation_is_refused(
    workspace: Workspace, tmp_path: Path, jupyter: Path
) -> None:
    (tmp_path / "envtool.toml").write_text('dependencies = ["ipykernel"]\n')
    with pytest.raises(KernelError, match="no generation") as caught:
        kernelspec.install(workspace, open_project(str(tmp_path)))
    assert caught.value.hint == "envtool switch"


def test_the_name_of_another_project_is_not_taken_from_it(
    workspace: Workspace, with_kernel: Project, jupyter: Path, tmp_path: Path
) -> None:
    kernelspec.install(workspace, with_kernel)
    folder = tmp_path / "other" / "lake"
    folder.mkdir(parents=True)
    (folder / "envtool.toml").write_text('dependencies = ["ipykernel"]\n')
    other = open_project(str(folder))
    workspace.switch(other)
    with pytest.raises(KernelError) as caught:
        kernelspec.install(workspace, other)
    assert with_kernel.path in caught.value.message
    assert other.path in caught.value.message
    assert "--name" in (caught.value.hint or "")
    assert kernelspec.install(workspace, other, name="lake-2").name == "lake-2"


def test_the_same_project_replaces_its_spec(
    workspace: Workspace, with_kernel: Project, jupyter: Path
) -> None:
    kernelspec.install(workspace, with_kernel)
    kernelspec.install(workspace, with_kernel, display_name="Again")
    assert written(jupyter, "lake")["display_name"] == "Again"
    assert sorted(os.listdir(jupyter / "kernels" / "lake")) == ["envtool-kernel", "kernel.json"]


def test_a_prefix_receives_the_spec(
    workspace: Workspace, with_kernel: Project, jupyter: Path, tmp_path: Path
) -> None:
    info = kernelspec.install(workspace, with_kernel, prefix=str(tmp_path / "venv"))
    assert info.directory == str(tmp_path / "venv/share/jupyter/kernels/lake")
    assert os.path.exists(f"{info.directory}/kernel.json")
    assert registered.list_kernels(workspace) == []


def test_only_our_kernels_are_listed_and_removed(
    workspace: Workspace, installed: str, jupyter: Path
) -> None:
    foreign = jupyter / "kernels" / "foreign"
    foreign.mkdir()
    (foreign / "kernel.json").write_text('{"argv": ["true"], "display_name": "Foreign"}')
    (jupyter / "kernels" / "broken").mkdir()
    (jupyter / "kernels" / "broken" / "kernel.json").write_text("{")
    assert [info.name for info in registered.list_kernels(workspace)] == [installed]
    for name in ("foreign", "broken"):
        with pytest.raises(KernelError, match="not written by envtool"):
            registered.remove(name)
    assert registered.remove(installed).name == installed
    assert sorted(os.listdir(jupyter / "kernels")) == ["broken", "foreign"]


def test_a_name_that_leads_elsewhere_removes_nothing(jupyter: Path) -> None:
    (jupyter / "kernels").mkdir(parents=True)
    with pytest.raises(KernelError, match="no kernel"):
        registered.remove("../kernels")
    assert (jupyter / "kernels").is_dir()


def test_jupyter_path_is_searched_before_the_users_folder(
    workspace: Workspace, with_kernel: Project, installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = str(Path(with_kernel.path).parent / "prefix")
    info = kernelspec.install(workspace, with_kernel, prefix=prefix, display_name="First")
    monkeypatch.setenv("JUPYTER_PATH", f"{prefix}/share/jupyter")
    assert [found.directory for found in registered.list_kernels(workspace)] == [info.directory]


def test_a_kernel_whose_declaration_is_gone_is_stale(
    workspace: Workspace, with_kernel: Project, installed: str
) -> None:
    os.unlink(with_kernel.path)
    (info,) = registered.list_kernels(workspace)
    assert info.stale == f"its declaration {with_kernel.path} is gone"


def test_a_kernel_whose_launcher_is_gone_is_stale(
    workspace: Workspace, with_kernel: Project, installed: str, jupyter: Path
) -> None:
    file = jupyter / "kernels" / installed / "kernel.json"
    spec = json.loads(file.read_text())
    spec["argv"][0] = "/nowhere/envtool-kernel"
    file.write_text(json.dumps(spec))
    (info,) = registered.list_kernels(workspace)
    assert info.stale == "its launcher /nowhere/envtool-kernel is gone"


@pytest.mark.parametrize("folder", ["bin", "a folder", "long" * 40])
def test_the_launcher_starts_whatever_the_path_of_python(
    workspace: Workspace,
    with_kernel: Project,
    jupyter: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
) -> None:
    lonely = jupyter.parent / folder / "python"
    lonely.parent.mkdir()
    lonely.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    lonely.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(lonely))
    info = kernelspec.install(workspace, with_kernel)
    launcher = written(jupyter, info.name)["argv"][0]  # type: ignore[index]
    assert launcher == f"{info.directory}/envtool-kernel"
    done = subprocess.run([launcher, "--nonsense"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:22]) == (2, "usage: envtool-kernel ")


def test_a_kernel_whose_envtool_is_gone_says_so(
    workspace: Workspace, with_kernel: Project, installed: str, jupyter: Path, tmp_path: Path
) -> None:
    folder = jupyter / "kernels" / installed
    package = written(jupyter, installed)["metadata"]["envtool"]["package"]  # type: ignore[index]
    for name in ("kernel.json", "envtool-kernel"):
        # The Python of a clone lies in envtool's own folder and is still there.
        first, body = (folder / name).read_text().split("\n", 1)
        (folder / name).write_text(f"{first}\n{body.replace(package, '/nowhere')}")
    done = subprocess.run(
        [folder / "envtool-kernel", "-f", "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "envtool is not in /nowhere any more" in done.stderr
    (info,) = registered.list_kernels(workspace)
    assert info.stale == "envtool is not in /nowhere any more"


# Of one notebook


@pytest.fixture
def notebook(tmp_path: Path) -> Project:
    """Return a notebook that nothing was made of yet."""
    cell = '# /// script\n# dependencies = ["tomli"]\n# ///\n'
    told = {"cells": [code(cell)], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path = tmp_path / "Deep Lake.ipynb"
    path.write_text(json.dumps(told))
    return open_project("/", file=str(path))


def code(source: str) -> dict[str, object]:
    return {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "source": source}


def test_a_notebook_has_a_kernel_before_its_environment_is_made(
    workspace: Workspace, notebook: Project, jupyter: Path, start: "Start"
) -> None:
    generic = kernelspec.install_generic(workspace)
    info = kernelspec.install(workspace, notebook)
    assert (info.name, info.display_name, info.generation) == ("deep-lake", "deep-lake", None)
    spec = written(jupyter, info.name)
    # What VS Code writes into the notebook is the name that every machine knows.
    told = spec["metadata"]["vscode"]  # type: ignore[index]
    assert told == {"originalSpecFile": f"{generic.directory}/kernel.json"}
    kernel = start(info.name)  # by a client that does not say which notebook it is for
    assert kernel.printed("import tomli; print(tomli.__name__)") == "tomli\n"
    (listed,) = (each for each in registered.list_kernels(workspace) if each.project)
    assert (listed.generation, listed.drifted, listed.stale) == (1, False, None)


def test_a_notebook_that_declares_nothing_has_no_kernel_of_its_own(
    workspace: Workspace, jupyter: Path, tmp_path: Path
) -> None:
    told = {"cells": [code("1")], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path = tmp_path / "plain.ipynb"
    path.write_text(json.dumps(told))
    with pytest.raises(KernelError, match="declares nothing") as caught:
        kernelspec.install(workspace, open_project("/", file=str(path)))
    assert caught.value.hint == f"envtool notebook init {path}"
    assert not jupyter.exists()


def test_a_kernel_of_a_notebook_goes_with_its_generations(
    workspace: Workspace, notebook: Project, jupyter: Path
) -> None:
    workspace.switch(notebook)
    info = kernelspec.install(workspace, notebook)
    assert registered.remove_gone(workspace) == []
    os.unlink(notebook.path)
    assert [each.name for each in registered.remove_gone(workspace)] == [info.name]
    forgotten = [each.declaration for each in workspace.forget_gone(dry_run=True)]
    assert notebook.path in forgotten
    assert os.listdir(jupyter / "kernels") == []


def test_a_kernel_tells_that_the_lock_is_another_one(
    workspace: Workspace, with_kernel: Project, installed: str
) -> None:
    assert installed
    path, kind = with_kernel.path, with_kernel.kind
    text = projects.read_lock_text(path, kind)
    assert text is not None
    projects.write_lock_text(path, kind, "default", f"{text}\n# from a colleague\n")
    (info,) = registered.list_kernels(workspace)
    assert (info.generation, info.drifted, info.stale) == (1, True, None)


def test_a_generation_that_was_lost_makes_no_kernel_stale(
    workspace: Workspace, with_kernel: Project, installed: str
) -> None:
    assert installed
    current = workspace.profile(with_kernel).current()
    assert current is not None
    link = f"{workspace.profile(with_kernel).directory}/default-1-link"
    os.unlink(link)
    os.symlink("/envtool/store/00000000000000000000000000000000-gone", link)
    (info,) = registered.list_kernels(workspace)
    assert (info.generation, info.drifted, info.stale) == (None, False, None)
