"""What a lock evaluates to is remembered, and believed only while it is true."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.machine.collecting import gc
from envtool.machine.project import Project
from envtool.machine.settings import Settings
from envtool.plan import gather
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from fixtures.index import Index
    from fixtures.wheels import MakeWheel


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Settings(root=str(tmp_path / "root"), jobs=2, fsync=False))


@pytest.fixture
def project(tmp_path: Path, index: "Index", make_wheel: "MakeWheel") -> Project:
    for name in ("one", "two"):
        index.add(make_wheel(name, files={f"{name}.py": ""}))
    folder = tmp_path / "project"
    folder.mkdir()
    declare(folder, "first", index.url)
    return open_project(str(folder))


def declare(folder: Path, name: str, url: str) -> None:
    (folder / "envtool.toml").write_text(
        f'name = "{name}"\nindex = "{url}"\ndependencies = ["one", "two"]\n'
    )


def count_gathered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that grows with every evaluation that reads the lock's packages."""
    seen: list[object] = []
    original = gather.Gatherer.gather

    def watched(self: gather.Gatherer, lock: object) -> object:
        seen.append(lock)
        return original(self, lock)  # type: ignore[arg-type]

    monkeypatch.setattr(gather.Gatherer, "gather", watched)
    return seen


def test_the_same_lock_is_evaluated_once(
    workspace: Workspace, project: Project, index: "Index", monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count_gathered(monkeypatch)
    first = workspace.build(project)
    assert len(seen) == 1
    declare(Path(project.folder), "second", index.url)
    second = workspace.build(project)
    assert len(seen) == 1
    assert first.name == "first-env"
    assert second.name == "second-env"
    assert workspace.build(project) == second
    assert Path(workspace.physical(second), "bin/python").exists()


def test_a_remembered_environment_has_the_same_derivation(
    workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    remembered = [workspace.build(project), workspace.build(project)]
    deriver = workspace.store.info(remembered[0]).deriver
    assert remembered[0] == remembered[1]
    assert deriver is not None
    fresh = Workspace(Settings(root=str(tmp_path / "other"), jobs=1, fsync=False))
    assert fresh.build(project) == remembered[0]
    assert fresh.store.info(remembered[0]).deriver == deriver
    assert workspace.store.closure([remembered[0]]) == fresh.store.closure([remembered[0]])


def test_what_was_collected_is_realised_again(workspace: Workspace, project: Project) -> None:
    path = workspace.build(project)
    gc.collect(workspace.store)
    assert not workspace.store.is_valid(path)
    assert workspace.build(project) == path
    assert workspace.store.is_valid(path)


@pytest.mark.parametrize("text", ["", "[", "[{}]", '[{"name": 1}]', "null"])
def test_a_damaged_memory_is_no_fault(
    workspace: Workspace, project: Project, index: "Index", text: str
) -> None:
    workspace.build(project)
    (memory,) = Path(workspace.settings.cache, "evaluations").iterdir()
    memory.write_text(text)
    declare(Path(project.folder), "second", index.url)
    assert workspace.build(project).name == "second-env"
    assert os.path.getsize(memory) > 100


def test_only_what_a_new_lock_has_anew_is_evaluated(
    workspace: Workspace,
    project: Project,
    index: "Index",
    make_wheel: "MakeWheel",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace.build(project)
    index.add(make_wheel("three", files={"three.py": ""}, requires=["two"]))
    declared = Path(project.folder, "envtool.toml")
    declared.write_text(declared.read_text().replace('["one", "two"]', '["one", "three"]'))
    seen = count_gathered(monkeypatch)

    made = workspace.switch(project)[0].record

    assert [package.name for lock in seen for package in lock.packages] == ["three"]  # type: ignore[attr-defined]
    assert [(each.name, each.direct) for each in made.packages] == [
        ("one", True),
        ("three", True),
        ("two", False),
    ]
    fresh = Workspace(Settings(root=f"{project.folder}-root", jobs=1, fsync=False))
    assert fresh.build(project) == made.environment


def test_a_wheel_of_another_environment_is_not_evaluated_again(
    workspace: Workspace, project: Project, index: "Index", monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.build(project)
    other = Path(project.folder).with_name("other")
    other.mkdir()
    (other / "envtool.toml").write_text(f'index = "{index.url}"\ndependencies = ["one"]\n')
    there = open_project(str(other))
    workspace.build(there)
    declare(other, "other", index.url)
    seen = count_gathered(monkeypatch)

    built = workspace.build(there)

    assert seen == []
    names = {package.name for package in workspace.store.closure([built])}
    assert {"one-1.0", "two-1.0"} <= names
