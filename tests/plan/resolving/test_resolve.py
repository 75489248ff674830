"""Resolution with uv and git as they are: an index on loopback, and once the real one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uv
from fixtures.locks import Lockdown, package_of, versions

from envtool.formats.declarations.declaration import KernelChoice
from envtool.formats.lock import parse, render, select
from envtool.sources.interpreter import Interpreter, marker_environment, tags

if TYPE_CHECKING:
    from fixtures.index import Index
    from fixtures.wheels import MakeWheel


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
