import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from envtool.errors import KernelError
from envtool.kernel import kernelspec
from envtool.machine.project import Project
from envtool.machine.settings import load
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace


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
    assert [info.name for info in kernelspec.list_kernels(workspace)] == ["mere", "tarn"]


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
    assert kernelspec.list_kernels(workspace) == []


def test_only_our_kernels_are_listed_and_removed(
    workspace: Workspace, installed: str, jupyter: Path
) -> None:
    foreign = jupyter / "kernels" / "foreign"
    foreign.mkdir()
    (foreign / "kernel.json").write_text('{"argv": ["true"], "display_name": "Foreign"}')
    (jupyter / "kernels" / "broken").mkdir()
    (jupyter / "kernels" / "broken" / "kernel.json").write_text("{")
    assert [info.name for info in kernelspec.list_kernels(workspace)] == [installed]
    for name in ("foreign", "broken"):
        with pytest.raises(KernelError, match="not written by envtool"):
            kernelspec.remove(name)
    assert kernelspec.remove(installed).name == installed
    assert sorted(os.listdir(jupyter / "kernels")) == ["broken", "foreign"]


def test_a_name_that_leads_elsewhere_removes_nothing(jupyter: Path) -> None:
    (jupyter / "kernels").mkdir(parents=True)
    with pytest.raises(KernelError, match="no kernel"):
        kernelspec.remove("../kernels")
    assert (jupyter / "kernels").is_dir()


def test_jupyter_path_is_searched_before_the_users_folder(
    workspace: Workspace, with_kernel: Project, installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = str(Path(with_kernel.path).parent / "prefix")
    info = kernelspec.install(workspace, with_kernel, prefix=prefix, display_name="First")
    monkeypatch.setenv("JUPYTER_PATH", f"{prefix}/share/jupyter")
    assert [found.directory for found in kernelspec.list_kernels(workspace)] == [info.directory]


def test_a_kernel_whose_declaration_is_gone_is_stale(
    workspace: Workspace, with_kernel: Project, installed: str
) -> None:
    os.unlink(with_kernel.path)
    (info,) = kernelspec.list_kernels(workspace)
    assert info.stale == f"its declaration {with_kernel.path} is gone"


def test_a_kernel_whose_launcher_is_gone_is_stale(
    workspace: Workspace, with_kernel: Project, installed: str, jupyter: Path
) -> None:
    file = jupyter / "kernels" / installed / "kernel.json"
    spec = json.loads(file.read_text())
    spec["argv"][0] = "/nowhere/envtool-kernel"
    file.write_text(json.dumps(spec))
    (info,) = kernelspec.list_kernels(workspace)
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
    (info,) = kernelspec.list_kernels(workspace)
    assert info.stale == "envtool is not in /nowhere any more"
