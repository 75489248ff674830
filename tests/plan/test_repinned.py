"""A lock that follows a changed pin by itself is the one that uv would have made."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.errors import EnvtoolError
from envtool.machine.project import Project
from envtool.machine.settings import Settings
from envtool.workspace.entering import open_project
from envtool.workspace.workspace import Workspace

if TYPE_CHECKING:
    from fixtures.index import Index
    from fixtures.wheels import MakeWheel


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def workspace_of(root: Path) -> Workspace:
    return Workspace(Settings(root=str(root), jobs=2, fsync=False))


def declare(folder: Path, index: "Index", *requirements: str) -> Project:
    folder.mkdir(exist_ok=True)
    listed = ", ".join(f'"{requirement}"' for requirement in requirements)
    (folder / "envtool.toml").write_text(
        f'name = "{folder.name}"\nindex = "{index.url}"\ndependencies = [{listed}]\n'
    )
    return open_project(str(folder))


def outcome(workspace: Workspace, project: Project) -> str:
    """Return the lock, or how locking fails."""
    try:
        workspace.lock(project)
    except EnvtoolError as error:
        return error.message
    return Path(project.folder, "pylock.toml").read_text()


def offer(index: "Index", make_wheel: "MakeWheel", name: str, version: str, *requires: str) -> None:
    index.add(make_wheel(name, version, requires=requires))


@pytest.fixture
def packages(index: "Index", make_wheel: "MakeWheel") -> None:
    for version in ("0.5", "1.0", "2.0"):
        offer(index, make_wheel, "leaf", version)
    offer(index, make_wheel, "other", "1.0")
    offer(index, make_wheel, "lib", "1.0", "leaf>=0.5", 'other; extra == "more"')


@pytest.mark.usefixtures("packages")
def test_a_known_version_is_locked_without_asking_uv(
    index: "Index", make_wheel: "MakeWheel", root: Path, tmp_path: Path
) -> None:
    offer(index, make_wheel, "lib", "2.0", "leaf>=1", 'other; extra == "more"')
    offer(index, make_wheel, "app", "1.0", "lib<3,>=1")
    workspace = workspace_of(root)
    for version in ("2.0", "1.0"):
        workspace.switch(declare(tmp_path / "project", index, "app", f"lib=={version}"))
    project = declare(tmp_path / "project", index, "app", "lib==2.0")
    former = Path(project.folder, "pylock.toml").read_text()
    asked = len(index.log)
    shutil.rmtree(root / "cache/uv")

    made, is_new = workspace.switch(project)

    lock = Path(project.folder, "pylock.toml").read_text()
    assert len(index.log) == asked
    assert is_new
    assert {each.name: each.version for each in made.record.packages}["lib"] == "2.0"
    Path(project.folder, "pylock.toml").write_text(former)
    assert outcome(workspace_of(tmp_path / "fresh"), project) == lock


@pytest.mark.parametrize("written", ["lib", "lib==1.0", "Lib == 1.0"])
@pytest.mark.usefixtures("packages")
def test_a_name_without_a_version_may_get_a_pin(
    index: "Index", make_wheel: "MakeWheel", root: Path, tmp_path: Path, written: str
) -> None:
    workspace = workspace_of(root)
    project = declare(tmp_path / "project", index, written)
    workspace.switch(project)
    offer(index, make_wheel, "lib", "2.0", "leaf", 'other; extra == "more"')
    workspace.build(declare(tmp_path / "knows", index, "lib==2.0"))
    asked = len(index.log)
    shutil.rmtree(root / "cache/uv")

    workspace.lock(declare(tmp_path / "project", index, "lib==2.0"))

    assert len(index.log) == asked
    assert 'version = "2.0"' in Path(project.folder, "pylock.toml").read_text()


@pytest.mark.parametrize(
    "case",
    [
        (["leaf", "other"], "lib", []),
        ([], "lib", []),
        (["leaf<1"], "lib", []),
        (["leaf>=0.1"], "lib", []),
        (["leaf; python_version > '3'"], "lib", []),
        (["leaf; python_version < '3'"], "lib", []),
        (["leaf>=0.5", 'other>=1; extra == "more"'], "lib[more]", []),
        (["leaf>=0.5", 'other; extra == "more"'], "lib[more]", []),
        (["leaf>=0.5", 'other; extra == "more"'], "lib<2", []),
        (["leaf>=0.5", 'other; extra == "more"'], "lib!=2.0.*", []),
        (["leaf>=0.5", 'other; extra == "more"'], "lib>=1.0rc1", []),
        (["leaf>=0.5", 'other; extra == "more"'], "lib", ["lib<2"]),
        (["leaf>=0.5", 'other; extra == "more"'], "lib", ["other"]),
    ],
)
@pytest.mark.usefixtures("packages")
def test_the_lock_is_the_one_that_uv_makes(
    index: "Index",
    make_wheel: "MakeWheel",
    root: Path,
    tmp_path: Path,
    case: tuple[Sequence[str], str, Sequence[str]],
) -> None:
    lib, app, more = case
    offer(index, make_wheel, "lib", "2.0", *lib)
    offer(index, make_wheel, "app", "1.0", app)
    workspace = workspace_of(root)
    workspace.build(declare(tmp_path / "knows", index, "lib==2.0"))
    project = declare(tmp_path / "project", index, "app", "lib==1.0")
    workspace.build(project)
    former = Path(project.folder, "pylock.toml").read_text()
    declare(tmp_path / "project", index, "app", "lib==2.0", *more)

    known = outcome(workspace, project)

    Path(project.folder, "pylock.toml").write_text(former)
    assert known == outcome(workspace_of(tmp_path / "fresh"), project)


@pytest.mark.usefixtures("packages")
def test_upgrading_asks_uv_all_the_same(
    index: "Index", make_wheel: "MakeWheel", root: Path, tmp_path: Path
) -> None:
    workspace = workspace_of(root)
    offer(index, make_wheel, "lib", "2.0", "leaf", 'other; extra == "more"')
    for version in ("2.0", "1.0"):
        workspace.switch(declare(tmp_path / "project", index, f"lib=={version}", "leaf"))
    offer(index, make_wheel, "leaf", "3.0")
    project = declare(tmp_path / "project", index, "lib==2.0", "leaf")

    workspace.upgrade(project)

    assert 'name = "leaf"\nversion = "3.0"' in Path(project.folder, "pylock.toml").read_text()


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"block": 1}', "\x00"])
@pytest.mark.usefixtures("packages")
def test_a_damaged_memory_is_no_obstacle(
    index: "Index", make_wheel: "MakeWheel", root: Path, tmp_path: Path, damage: str
) -> None:
    offer(index, make_wheel, "lib", "2.0", "leaf>=0.5")
    workspace = workspace_of(root)
    for version in ("2.0", "1.0"):
        workspace.switch(declare(tmp_path / "project", index, f"lib=={version}"))
    for file in (root / "cache/entries").glob("*/*.json"):
        file.write_text(damage)

    made, _ = workspace.switch(declare(tmp_path / "project", index, "lib==2.0"))

    assert {each.name: each.version for each in made.record.packages}["lib"] == "2.0"
