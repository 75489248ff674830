"""Projects of one's own, sdists and repositories: what is locked of them, and what they need."""

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fixtures.locks import Lockdown, package_of, versions

from envtool.errors import ResolutionError
from envtool.formats.declarations.declaration import PathSource
from envtool.formats.lock import Directory, parse, render

if TYPE_CHECKING:
    from fixtures.index import Index
    from fixtures.wheels import MakeSdist, MakeWheel


def backend(folder: Path, name: str, *, dynamic: bool) -> None:
    """Write a project with its own back end, which notes that it was run."""
    folder.mkdir(parents=True, exist_ok=True)
    said = 'dynamic = ["dependencies"]' if dynamic else 'dependencies = ["tiny"]'
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n{said}\n'
    )
    (folder / "own.py").write_text(
        "import os\n"
        "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"
        f"    open({str(folder / 'was-run')!r}, 'w').close()\n"
        f"    os.mkdir(folder + '/{name}-1.0.dist-info')\n"
        f"    with open(folder + '/{name}-1.0.dist-info/METADATA', 'w') as file:\n"
        f"        file.write('Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n'\n"
        "                   'Requires-Dist: tiny\\n')\n"
        f"    return '{name}-1.0.dist-info'\n"
        "prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel\n"
    )


def test_a_project_of_ones_own_keeps_the_path_it_was_declared_with(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, tmp_path: Path
) -> None:
    index.add(make_wheel("tiny"))
    folder = tmp_path / "a neighbour"
    backend(folder, "demo", dynamic=False)

    for editable in (True, False):
        source = PathSource("../a neighbour", editable=editable)
        found = lock("demo", sources=(("demo", source),))
        demo = package_of(found, "demo")

        assert demo.directory == Directory("../a neighbour", editable=editable)
        assert demo.dependencies == ("tiny",)
        assert demo.direct
        assert not (folder / "was-run").exists()


def test_extras_of_a_project_of_ones_own_are_honoured(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, project: Path
) -> None:
    index.add(make_wheel("extra"))
    (project / "pyproject.toml").write_text(
        '[project]\nname = "demo"\nversion = "1"\n[project.optional-dependencies]\nx = ["extra"]\n'
        '[build-system]\nrequires = []\nbuild-backend = "own"\n'
    )

    found = lock("demo[x]", sources=(("demo", PathSource(".", editable=True)),))

    assert sorted(versions(found)) == ["demo", "extra"]


def test_a_path_where_nothing_is_says_so(lock: Lockdown) -> None:
    with pytest.raises(ResolutionError, match="demo is to come from nowhere"):
        lock("demo", sources=(("demo", PathSource("nowhere", editable=True)),))


def test_only_a_project_of_ones_own_is_run_to_learn_what_it_requires(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, project: Path
) -> None:
    index.add(make_wheel("tiny"))
    backend(project / "own", "demo", dynamic=True)

    found = lock("demo", sources=(("demo", PathSource("own", editable=False)),))

    assert package_of(found, "demo").dependencies == ("tiny",)
    assert (project / "own/was-run").exists()


def test_build_requirements_are_locked_too(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, project: Path
) -> None:
    for name in ("hatchling", "editables", "pathspec"):
        index.add(make_wheel(name, requires=["pathspec"] if name == "hatchling" else []))
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "demo"\nversion = "1"\n'
    )

    found = lock("demo", sources=(("demo", PathSource(".", editable=True)),))

    (build,) = found.builds
    assert build.package == "demo"
    assert [package.name for package in build.packages] == ["editables", "hatchling", "pathspec"]
    assert build.packages[1].dependencies == ("pathspec",)
    assert parse(render(found), path="pylock.toml") == found


def test_a_project_that_does_not_say_is_built_by_setuptools(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, project: Path
) -> None:
    index.add(make_wheel("setuptools", "80.0"))
    index.add(make_wheel("wheel"))
    (project / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1"\n')

    found = lock("demo", sources=(("demo", PathSource(".", editable=False)),))

    assert [package.name for package in found.builds[0].packages] == ["setuptools", "wheel"]


def test_a_package_that_is_only_an_sdist_needs_to_be_allowed(
    index: "Index", make_wheel: "MakeWheel", make_sdist: "MakeSdist", lock: Lockdown
) -> None:
    index.add(make_sdist("source"))
    index.add(make_wheel("setuptools", "80.0"))

    with pytest.raises(ResolutionError, match="source comes only as an sdist") as caught:
        lock("source")
    assert 'sdists = ["source"]' in str(caught.value.hint)

    found = lock("source", sdists=("source",))
    sdist = package_of(found, "source").sdist
    assert sdist is not None
    assert sdist.filename == "source-1.0.tar.gz"
    assert [package.name for package in found.builds[0].packages] == ["setuptools"]


def test_an_sdist_beside_wheels_is_kept_only_when_allowed(
    index: "Index", make_wheel: "MakeWheel", make_sdist: "MakeSdist", lock: Lockdown
) -> None:
    index.add(make_sdist("tiny"))
    index.add(make_wheel("tiny"))
    index.add(make_wheel("setuptools"))

    assert package_of(lock("tiny"), "tiny").sdist is None
    assert package_of(lock("tiny", sdists=("tiny",)), "tiny").sdist is not None


def test_allowing_one_sdist_allows_no_other(
    index: "Index", make_sdist: "MakeSdist", lock: Lockdown
) -> None:
    index.add(make_sdist("allowed"))
    index.add(make_sdist("other"))

    with pytest.raises(ResolutionError, match="other"):
        lock("allowed", "other", sdists=("allowed",))


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_repository_is_locked_at_its_commit(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, tmp_path: Path
) -> None:
    index.add(make_wheel("tiny"))
    index.add(make_wheel("flit-core"))
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
        '[project]\nname = "demo"\nversion = "1"\ndescription = ""\ndependencies = ["tiny"]\n'
    )
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    commit = git(folder, "rev-parse", "HEAD")

    found = lock(f"demo @ git+file://{folder}")

    demo = package_of(found, "demo")
    assert demo.vcs is not None
    assert (demo.vcs.type, demo.vcs.commit_id) == ("git", commit)
    assert demo.dependencies == ("tiny",)
    assert [package.name for package in found.builds[0].packages] == ["flit-core"]


def test_a_repository_that_is_not_there_says_so(lock: Lockdown, tmp_path: Path) -> None:
    with pytest.raises(ResolutionError, match=r"repository of .* cannot be read"):
        lock(f"demo @ git+file://{tmp_path}/nowhere")


def test_a_wheel_beside_the_declaration_is_an_archive(
    make_wheel: "MakeWheel", lock: Lockdown, project: Path
) -> None:
    wheel = make_wheel("tiny", folder=project / "dist")

    found = lock("tiny", sources=(("tiny", PathSource(f"dist/{wheel.name}", editable=False)),))

    archive = package_of(found, "tiny").archive
    assert archive is not None
    assert archive.path == f"dist/{wheel.name}"
    assert found.builds == ()
