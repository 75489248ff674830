"""A store in a root of its own for each test of the machine floor."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from envtool.formats.nix import nar
from envtool.formats.nix.derivation import Derivation, Output, with_output_paths
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.settings import Settings
from envtool.machine.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of an empty root, which do not wait for the disk."""
    return Settings(str(tmp_path / "root"), fsync=False)


class Kills(Protocol):
    """Return how often an operation was killed at every so many of its lines; all stayed whole."""

    def __call__(self, operation: str, *, every: int = 1) -> int: ...


@pytest.fixture
def kills(tmp_path: Path) -> Kills:
    child = Path(__file__).parent / "children/kill_everywhere.py"

    def run(operation: str, *, every: int = 1) -> int:
        done = subprocess.run(
            [sys.executable, child, operation, tmp_path / "killed", str(every)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    return run


class AsOwner(Protocol):
    """Return what code prints that file modes bind even when root runs the tests.

    Its `sys.argv[2:]` are these words.
    """

    def __call__(self, code: str, *words: str | Path) -> str: ...


@pytest.fixture
def as_owner() -> AsOwner:
    child = Path(__file__).parent / "children/ordinary.py"

    def run(code: str, *words: str | Path) -> str:
        argv = [sys.executable, child, code, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """Give a store that holds nothing yet."""
    with Store(settings) as store:
        yield store


class Realised(Protocol):
    """Add a derivation with these inputs, and its output; return both paths."""

    def __call__(self, name: str, *inputs: StorePath) -> tuple[StorePath, StorePath]: ...


@pytest.fixture
def realised(store: Store) -> Realised:
    def add(name: str, *inputs: StorePath) -> tuple[StorePath, StorePath]:
        bare = Derivation(name, {"out": Output(None)}, {}, frozenset(inputs), "x", "b", (), {})
        built = with_output_paths(bare, lambda _: "")
        drv = store.add_derivations([built])[0]
        temporary = store.scratch(name)
        Path(temporary).write_text(name)
        nar_hash, size = nar.hash_path(temporary)
        store.place(temporary, built.output_path(), canonical=False)
        store.register([PathInfo(built.output_path(), nar_hash, size, frozenset(), deriver=drv)])
        return drv, built.output_path()

    return add
