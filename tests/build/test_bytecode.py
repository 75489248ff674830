"""Bytecode: compiled once per package, shared by all environments, and only ever a cache."""

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.build import bytecode

if TYPE_CHECKING:
    from build.conftest import Environment, Environments
    from fixtures.wheels import MakeWheel


def cached(environment: "Environment", module: str) -> Path:
    """Import a module in the environment; return where its bytecode really lies."""
    shown = environment.python(f"import {module} as m; print(m.__spec__.cached)")
    return Path(shown).resolve()


def cache(environments: "Environments") -> Path:
    return Path(environments.store.settings.cache)


def prepared(environments: "Environments", environment: "Environment") -> None:
    settings = environments.store.settings
    stdlib = environments.interpreter.stdlib
    bytecode.prepare(settings.cache, settings.store, environment.output, stdlib)


@pytest.fixture
def package(make_wheel: "MakeWheel") -> Path:
    return make_wheel("one", files={"one/__init__.py": "", "one/sub/__init__.py": "VALUE = 1\n"})


def test_second_environment_takes_the_bytecode_of_the_first(
    environments: "Environments", make_wheel: "MakeWheel", package: Path
) -> None:
    first = cached(environments.of(package), "one.sub")
    before = first.stat()
    other = environments.of(package, make_wheel("two"), name="other")
    assert cached(other, "one.sub") == first
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_bytecode_lies_in_the_cache_under_the_packages_store_path(
    environments: "Environments", package: Path
) -> None:
    made = environments.of(package)
    output = made.made.output(made.made.packages["one"])
    place = cache(environments) / "bytecode/objects" / output / "site-packages/one"
    assert cached(made, "one").is_relative_to(place)


def test_another_version_of_a_package_has_bytecode_of_its_own(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    found = []
    for version in ("1.0", "2.0"):
        files = {"one/__init__.py": f"VERSION = {version!r}\n"}
        made = environments.of(make_wheel("one", version, files=files))
        found.append(cached(made, "one"))
        assert made.python("import one; print(one.VERSION)") == version
    assert found[0] != found[1]


def test_package_shared_by_two_wheels_is_cached_for_its_environment(
    environments: "Environments", make_wheel: "MakeWheel"
) -> None:
    made = environments.of(
        make_wheel("one", files={"space/one.py": ""}), make_wheel("two", files={"space/two.py": ""})
    )
    place = cache(environments) / "bytecode/environments" / made.output
    assert cached(made, "space.one").is_relative_to(place)


def test_standard_library_is_cached_without_a_trace_beside_it(
    environments: "Environments", package: Path
) -> None:
    folder = Path(environments.interpreter.stdlib, "json", "__pycache__")
    before = sorted(os.listdir(folder)) if folder.is_dir() else None
    assert cached(environments.of(package), "json.tool").is_file()
    after = sorted(os.listdir(folder)) if folder.is_dir() else None
    assert after == before


def test_hosts_bytecode_of_the_standard_library_is_used(
    environments: "Environments", package: Path
) -> None:
    stdlib = Path(environments.interpreter.stdlib)
    tag = sys.implementation.cache_tag
    theirs = stdlib / f"json/__pycache__/decoder.{tag}.pyc"
    made = environments.of(package)
    assert cached(made, "json.decoder").exists()
    assert cached(made, "json.decoder") == theirs.resolve() or not theirs.exists()


def test_environment_works_after_the_cache_is_deleted(
    environments: "Environments", package: Path
) -> None:
    made = environments.of(package)
    made.python("import one.sub")
    shutil.rmtree(cache(environments) / "bytecode")
    assert made.python("import one.sub; print(one.sub.VALUE)") == "1"
    assert environments.in_store("__pycache__") == []


def test_deleted_cache_is_made_again(environments: "Environments", package: Path) -> None:
    made = environments.of(package)
    first = cached(made, "one")
    shutil.rmtree(cache(environments) / "bytecode")
    prepared(environments, made)
    assert cached(made, "one") == first


def test_second_preparation_changes_nothing(environments: "Environments", package: Path) -> None:
    made = environments.of(package)
    root = cache(environments) / "bytecode"
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    prepared(environments, made)
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_cache_that_cannot_be_written_is_no_fault(
    environments: "Environments", package: Path
) -> None:
    place = cache(environments) / "bytecode"
    place.parent.mkdir(parents=True)
    place.write_text("not a folder")
    made = environments.of(package)
    assert made.python("import one.sub; print(one.sub.VALUE)") == "1"
    assert environments.in_store("__pycache__") == []


def test_users_own_choice_of_a_cache_is_honoured(
    environments: "Environments", package: Path, tmp_path: Path
) -> None:
    made = environments.of(package)
    shown = made.python(
        "import sys; print(sys.pycache_prefix)",
        environ={"PYTHONPYCACHEPREFIX": str(tmp_path / "mine")},
    )
    assert shown == str(tmp_path / "mine")


def test_preparing_at_once_leaves_one_whole_forest(
    environments: "Environments", package: Path
) -> None:
    made = environments.of(package)
    root = cache(environments) / "bytecode"
    whole = {path.relative_to(root) for path in root.rglob("*")}
    for _ in range(5):
        shutil.rmtree(root)
        start = threading.Barrier(4)

        def prepare(start: threading.Barrier = start) -> None:
            start.wait()
            prepared(environments, made)

        threads = [threading.Thread(target=prepare) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {path.relative_to(root) for path in root.rglob("*")} == whole
