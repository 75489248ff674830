"""Resolution with uv and git as they are: an index on loopback, and once the real one."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv

from envtool.errors import ResolutionError, StoreError
from envtool.formats.declarations.declaration import Declaration, KernelChoice, PathSource
from envtool.formats.lock import Directory, Lock, LockedPackage, parse, render, select
from envtool.plan.resolving.resolve import resolve
from envtool.plan.resolving.uv import run
from envtool.sources.interpreter import Interpreter, find, marker_environment, tags
from envtool.values import replace

if TYPE_CHECKING:
    from fixtures.index import Behaviour, Index
    from fixtures.wheels import MakeSdist, MakeWheel

HOST = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE") if name in os.environ}


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    return find(None, prefer=None, environ=os.environ)


Lockdown = Callable[..., Lock]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def lock(tmp_path: Path, project: Path, index: "Index", interpreter: Interpreter) -> Lockdown:
    """Lock some requirements against the index; keywords are the declaration's or resolve's."""

    def make(*requirements: str, **changes: Any) -> Lock:
        plain = Declaration(
            path=str(project / "envtool.toml"),
            kind="envtool.toml",
            name="project",
            environment="default",
            python=None,
            requirements=requirements,
            sources=(),
            index=None,
            exclude_newer=None,
            sdists=(),
            variables=(),
            hook=None,
            kernel=None,
        )
        both = {"index", "exclude_newer", "interpreter"}
        own = {name: changes.pop(name) for name in {*changes} - both if hasattr(plain, name)}
        if "own_index" in changes:
            own["index"] = changes.pop("own_index")
        options: dict[str, Any] = {
            "digest": "sha256-of-the-declaration",
            "interpreter": interpreter,
            "index": index.url,
            "cache_dir": str(tmp_path / "cache"),
            "environ": {**HOST, "HOME": str(tmp_path)},
            "timeout": 5.0,
            "retries": 0,
        }
        return resolve(replace(plain, **own), **(options | changes))

    return make


def versions(lock: Lock) -> dict[str, str | None]:
    return {package.name: package.version for package in lock.packages}


def package_of(lock: Lock, name: str) -> LockedPackage:
    return next(package for package in lock.packages if package.name == name)


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


def test_a_lock_says_what_requires_what_and_what_was_asked_for(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, interpreter: Interpreter
) -> None:
    index.add(make_wheel("app", "1.0", requires=["Tiny_Lib>=1", "leaf"]))
    index.add(make_wheel("tiny.lib", "1.5", requires=["leaf"]))
    index.add(make_wheel("leaf", "2.0"))

    found = lock("App", "leaf")

    assert versions(found) == {"app": "1.0", "leaf": "2.0", "tiny-lib": "1.5"}
    assert package_of(found, "app").dependencies == ("leaf", "tiny-lib")
    assert [package.name for package in found.packages if package.direct] == ["app", "leaf"]
    assert found.python.version == interpreter.feature
    assert found.declaration == "sha256-of-the-declaration"
    assert parse(render(found), path="pylock.toml") == found


def test_artifacts_have_url_size_and_hash(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    wheel = make_wheel("tiny")
    url = index.add(wheel)

    (artifact,) = package_of(lock("tiny"), "tiny").wheels

    assert (artifact.url, artifact.size) == (url, wheel.stat().st_size)
    assert len(artifact.sha256) == 64


def test_the_same_index_gives_the_same_bytes(
    index: "Index",
    make_wheel: "MakeWheel",
    lock: Lockdown,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("one", "two", "three"):
        index.add(make_wheel(name, requires=["leaf"]))
    index.add(make_wheel("leaf"))
    first = render(lock("one", "two", "three"))

    monkeypatch.chdir(tmp_path)
    second = render(lock("three", "two", "one", cache_dir=str(tmp_path / "other")))

    assert second == first


def test_wheels_for_every_glibc_and_no_other_machine_are_kept(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, interpreter: Interpreter
) -> None:
    abi, machine = interpreter.abi, interpreter.machine
    for platform in (f"manylinux_2_17_{machine}", f"manylinux_2_39_{machine}", "win_amd64"):
        index.add(make_wheel("tiny", tag=f"{abi}-{abi}-{platform}"))

    kept = {wheel.filename.split("-")[-1] for wheel in package_of(lock("tiny"), "tiny").wheels}

    assert kept == {f"manylinux_2_17_{machine}.whl", f"manylinux_2_39_{machine}.whl"}


def test_versions_of_the_previous_lock_are_kept_until_upgraded(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("app", "1.0", requires=["leaf"]))
    index.add(make_wheel("leaf", "1.0"))
    before = lock("app")
    index.add(make_wheel("app", "2.0", requires=["leaf"]))
    index.add(make_wheel("leaf", "2.0"))

    kept = lock("app", previous=before)
    one = lock("app", previous=before, upgrade=["leaf"])
    every = lock("app", previous=before, upgrade=True)

    assert kept == before
    assert versions(one) == {"app": "1.0", "leaf": "2.0"}
    assert versions(every) == {"app": "2.0", "leaf": "2.0"}


def test_what_was_published_after_the_date_does_not_count(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny", "1.0"), upload_time="2024-01-01T00:00:00Z")
    index.add(make_wheel("tiny", "2.0"), upload_time="2025-01-01T00:00:00Z")

    assert versions(lock("tiny", exclude_newer="2024-06-01")) == {"tiny": "1.0"}


def test_sizes_are_asked_for_once_when_the_index_does_not_tell(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.json = False
    wheel = make_wheel("tiny")
    index.add(wheel)

    first = lock("tiny")
    asked = len(index.paths())
    second = lock("tiny", offline=True)

    assert package_of(first, "tiny").wheels[0].size == wheel.stat().st_size
    assert second == first
    assert len(index.paths()) == asked


def test_a_size_that_cannot_be_had_is_left_open(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.json = False
    wheel = make_wheel("tiny")
    index.add(wheel)
    index.behaviour[f"/files/{wheel.name}"] = 500

    assert package_of(lock("tiny"), "tiny").wheels[0].size is None


def test_a_size_is_asked_for_again_after_a_hang_up(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.json = False
    wheel = make_wheel("tiny")
    index.add(wheel)
    index.behaviour[f"/files/{wheel.name}"] = ["drop"]

    assert package_of(lock("tiny"), "tiny").wheels[0].size == wheel.stat().st_size


def test_a_kernel_brings_ipykernel_which_nobody_asked_for(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("ipykernel"))
    kernel = KernelChoice(None, None)

    brought = package_of(lock(kernel=kernel), "ipykernel")
    asked_for = package_of(lock("ipykernel", kernel=kernel), "ipykernel")

    assert not brought.direct
    assert asked_for.direct


def test_a_requirement_for_another_platform_is_left_out(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))

    assert versions(lock("tiny", "gone; sys_platform == 'win32'")) == {"tiny": "1.0"}


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


def test_offline_the_cache_answers(index: "Index", make_wheel: "MakeWheel", lock: Lockdown) -> None:
    index.add(make_wheel("tiny"))
    online = lock("tiny")
    asked = len(index.log)

    assert lock("tiny", offline=True) == online
    assert len(index.log) == asked


def test_offline_without_the_cache_says_so(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))

    with pytest.raises(ResolutionError, match="offline, and tiny is not in the cache") as caught:
        lock("tiny", offline=True)

    assert "--offline" in str(caught.value.hint)
    assert index.log == []


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (404, "has no package tiny"),
        (401, "answered 401 Unauthorized"),
        (403, "answered 403 Forbidden"),
        (500, "the index answered 500 Internal Server Error"),
        (503, "the index answered 503 Service Unavailable"),
        ("truncate", "answer broke off"),
        ("stall", "did not answer in time"),
    ],
)
def test_an_index_that_fails_is_named_with_its_failure(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, behaviour: "Behaviour", message: str
) -> None:
    index.add(make_wheel("tiny"))
    index.behaviour["/simple/tiny/"] = behaviour

    with pytest.raises(ResolutionError) as caught:
        lock("tiny", timeout=1.0)

    assert message in caught.value.message.splitlines()[0]
    assert index.url in caught.value.message
    assert caught.value.hint is not None


def test_an_index_that_fails_once_is_asked_again(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))
    index.behaviour["/simple/tiny/"] = [503]

    assert versions(lock("tiny", retries=2)) == {"tiny": "1.0"}


def test_an_index_nobody_listens_at_is_unreachable(lock: Lockdown) -> None:
    with pytest.raises(ResolutionError, match=r"unreachable: .*Connection refused"):
        lock("tiny", index="http://127.0.0.1:1/simple/")


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        (("left", "right"), "no set of versions satisfies the requirements\n"),
        (("leaf>=9",), "no set of versions satisfies the requirements\n"),
        (("young",), "with this Python"),
        (("elsewhere",), "elsewhere has no wheel for this Python and platform"),
        (("leaf", "absent"), "has no package absent"),
    ],
)
def test_requirements_that_cannot_be_met_say_why(
    index: "Index",
    make_wheel: "MakeWheel",
    lock: Lockdown,
    requirements: Sequence[str],
    message: str,
) -> None:
    index.add(make_wheel("left", requires=["leaf<2"]))
    index.add(make_wheel("right", requires=["leaf>=2"]))
    index.add(make_wheel("leaf", "1.0"))
    index.add(make_wheel("leaf", "2.0"))
    index.add(make_wheel("elsewhere", tag="cp311-cp311-win_amd64"))
    index.add(make_wheel("young", requires_python=">=3.99"), requires_python=">=3.99")

    with pytest.raises(ResolutionError) as caught:
        lock(*requirements)

    assert message in caught.value.message
    assert len(caught.value.message.splitlines()) > 1


def test_credentials_of_an_index_reach_neither_lock_nor_message(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))
    secret = index.url.replace("http://", "http://user:hunter2@")

    text = render(lock("tiny", index=secret))
    with pytest.raises(ResolutionError) as caught:
        lock("absent", index=secret)

    assert "hunter2" not in text + caught.value.message + str(caught.value.hint)
    assert any("authorization" in request.headers for request in index.log)


@pytest.mark.parametrize(
    "environ",
    [{"UV_RESOLUTION": "lowest"}, {"UV_EXCLUDE_NEWER": "2001-01-01"}, {"UV_NO_INDEX": "1"}],
)
def test_variables_for_uv_do_not_change_the_answer(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, environ: Mapping[str, str]
) -> None:
    index.add(make_wheel("tiny", "1.0"))
    index.add(make_wheel("tiny", "2.0"))

    assert versions(lock("tiny", environ={**HOST, **environ})) == {"tiny": "2.0"}


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ({}, {"UV_SYSTEM_CERTS": "1"}),
        ({"UV_SYSTEM_CERTS": "false"}, {"UV_SYSTEM_CERTS": "false"}),
        ({"UV_NATIVE_TLS": "0"}, {"UV_NATIVE_TLS": "0"}),
    ],
)
def test_uv_trusts_the_authorities_of_the_host_unless_told_otherwise(
    index: "Index",
    make_wheel: "MakeWheel",
    lock: Lockdown,
    said: Mapping[str, str],
    heard: Mapping[str, str],
) -> None:
    index.add(make_wheel("tiny"))
    seen: list[dict[str, str]] = []

    def noting(
        arguments: Sequence[str], environ: Mapping[str, str], folder: str
    ) -> "subprocess.CompletedProcess[str]":
        names = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
        seen.append({name: environ[name] for name in names if name in environ})
        return run(arguments, environ, folder)

    lock("tiny", environ={**HOST, **said}, runner=noting)

    assert seen == [heard, heard]


def test_uv_settings_of_a_folder_above_the_cache_do_not_change_the_answer(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, tmp_path: Path
) -> None:
    (tmp_path / "uv.toml").write_text('resolution = "lowest"\n')
    index.add(make_wheel("tiny", "1.0"))
    index.add(make_wheel("tiny", "2.0"))

    assert versions(lock("tiny")) == {"tiny": "2.0"}


def test_the_host_says_which_index_when_nobody_else_does(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))
    environ = {**HOST, "PIP_INDEX_URL": index.url}

    assert versions(lock("tiny", index=None, environ=environ)) == {"tiny": "1.0"}


def test_the_declarations_index_goes_before_any_other(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    index.add(make_wheel("tiny"))

    found = lock("tiny", own_index=index.url, index="http://127.0.0.1:1/simple/")

    assert versions(found) == {"tiny": "1.0"}


def test_an_interrupt_leaves_nothing_behind(lock: Lockdown, tmp_path: Path) -> None:
    def interrupted(*_: object) -> "subprocess.CompletedProcess[str]":
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lock("tiny", runner=interrupted)

    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_made_says_so(lock: Lockdown) -> None:
    with pytest.raises(StoreError, match="cannot resolve"):
        lock("tiny", cache_dir="/proc/nowhere")


def test_an_interpreter_without_glibc_has_no_locks(
    lock: Lockdown, interpreter: Interpreter
) -> None:
    with pytest.raises(ResolutionError, match="without glibc"):
        lock("tiny", interpreter=replace(interpreter, glibc=None))


def test_the_real_index_gives_a_lock_that_uv_accepts(
    lock: Lockdown, tmp_path: Path, interpreter: Interpreter
) -> None:
    environ = dict(os.environ)
    found = lock("requests", "numpy", index=None, environ=environ, timeout=60.0, retries=3)
    path = tmp_path / "pylock.toml"
    path.write_text(render(found))
    chosen = select(
        found, tags=tags(interpreter), marker_environment=marker_environment(interpreter)
    )
    subprocess.run(
        [interpreter.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True
    )

    command = [uv.find_uv_bin(), "pip", "install", "--python", f"{tmp_path}/venv/bin/python"]
    command += ["-r", str(path)]
    done = subprocess.run(
        [*command, "--dry-run"], env=environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert all(artifact and artifact.size for _, artifact in chosen)
    for name, version in versions(found).items():
        assert f"{name}=={version}" in done.stderr


def test_uv_and_pip_take_real_packages_from_a_lock_of_ours(
    lock: Lockdown, tmp_path: Path, interpreter: Interpreter
) -> None:
    environ = {**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv")}
    found = lock("idna", "pip>=26.1", index=None, environ=environ, timeout=60.0, retries=3)
    path = tmp_path / "pylock.toml"
    path.write_text(render(found))
    venv = tmp_path / "venv"
    subprocess.run([interpreter.executable, "-m", "venv", "--without-pip", venv], check=True)

    by_uv = [uv.find_uv_bin(), "pip", "install", "--python", f"{venv}/bin/python"]
    trusting = {"UV_SYSTEM_CERTS": "1", **environ}
    subprocess.run([*by_uv, "-r", str(path)], env=trusting, check=True, capture_output=True)
    by_pip = [f"{venv}/bin/python", "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    done = subprocess.run(
        [*by_pip, "-r", str(path)], env=environ, check=True, capture_output=True, text=True
    )

    assert f"idna-{versions(found)['idna']}" in done.stdout
    assert (venv / interpreter.purelib / "idna/__init__.py").exists()


def test_uv_realises_a_lock_of_ours(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, tmp_path: Path
) -> None:
    index.add(make_wheel("tiny", requires=["leaf"]))
    index.add(make_wheel("leaf"))
    path = tmp_path / "pylock.toml"
    path.write_text(render(lock("tiny")))

    command = [uv.find_uv_bin(), "pip", "install", "--target", str(tmp_path / "target")]
    command += ["--python", sys.executable, "--cache-dir", str(tmp_path / "uv"), "-r", str(path)]
    subprocess.run(command, check=True, capture_output=True)

    assert (tmp_path / "target/tiny.py").read_text() == "VERSION = '1.0'\n"
    assert (tmp_path / "target/leaf.py").exists()


def test_what_an_index_gives_no_hash_of_is_hashed(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown
) -> None:
    wheel = make_wheel("tiny")
    index.add(wheel)
    index.hashes = False

    (artifact,) = package_of(lock("tiny"), "tiny").wheels

    assert artifact.sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.mark.parametrize("asked", ["app==2.0", "app>=2"])
@pytest.mark.parametrize("known", [True, False])
def test_what_requires_what_is_found_whether_or_not_it_could_be_guessed(
    index: "Index", make_wheel: "MakeWheel", lock: Lockdown, asked: str, *, known: bool
) -> None:
    index.add(make_wheel("app", "1.0", requires=["leaf"]))
    for name in ("leaf", "other"):
        index.add(make_wheel(name, "1.0"))
    former = lock("app", "leaf")
    index.add(make_wheel("app", "2.0", requires=["leaf", "other"]))
    if known:
        lock("app", "other")

    found = lock(asked, "leaf", preferences=render(former))

    assert versions(found) == {"app": "2.0", "leaf": "1.0", "other": "1.0"}
    assert package_of(found, "app").dependencies == ("leaf", "other")
