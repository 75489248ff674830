"""Debian's interpreter for Python 3.11, realised once from the host's mirror of Debian."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from envtool.build import bytecode
from envtool.build.realise import realise
from envtool.formats.declarations.reading import parse
from envtool.formats.nix.storepath import StorePath
from envtool.formats.selection import select
from envtool.machine.debian.archive import open_archive
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import Settings
from envtool.machine.store import Store
from envtool.plan.closed.interpreters import pin_interpreter
from envtool.plan.closed.python import (
    ClosedPython,
    add_closed_interpreter,
    describe,
)
from envtool.plan.derivations import Instantiation
from envtool.plan.instantiate import Selected, add_environment, add_packages
from envtool.plan.resolving.resolve import resolve
from envtool.reporting import SilentReporter
from envtool.sources.interpreter import Interpreter, find, marker_environment, tags
from envtool.values import replace


@dataclass(frozen=True)
class Closed:
    """A store with the interpreter in it."""

    store: Store
    pinned: ClosedPython
    output: StorePath

    @property
    def physical(self) -> Path:
        return Path(self.store.physical(self.output))

    @property
    def interpreter(self) -> Interpreter:
        return describe(self.pinned, str(self.physical))

    @property
    def program(self) -> str:
        return self.interpreter.executable

    def environment(self, *requirements: str) -> Path:
        """Return where an environment of these requirements lies, from the host's index."""
        text = f"dependencies = {list(requirements)!r}\n"
        path = f"{self.store.settings.root}/envtool.toml"
        declaration = parse(text, path=path, kind="envtool.toml", environment="default")
        host = find(None, prefer=None, environ=os.environ)
        lock = resolve(
            declaration,
            digest="0" * 64,
            interpreter=replace(self.interpreter, executable=host.executable),
            cache_dir=self.store.settings.cache,
        )
        python = self.interpreter
        chosen = select(lock, tags=tags(python), marker_environment=marker_environment(python))
        made = Instantiation()
        drv = add_closed_interpreter(made, self.pinned)
        add_packages(made, [Selected(*each) for each in chosen], drv, python)
        wanted = add_environment(made, "closed", drv, python)
        output = realise_in(self.store, made, wanted)
        settings = self.store.settings
        bytecode.prepare(settings.cache, settings.store, output, python.stdlib)
        return Path(self.store.physical(output))


def realise_in(store: Store, made: Instantiation, wanted: StorePath) -> StorePath:
    """Return the realised output of a derivation, fetching what is needed."""
    with Fetcher(offline=False) as fetcher:
        return realise(store, fetcher, SilentReporter(), made.derivations, wanted, jobs=2)


def realised(pinned: ClosedPython, store: Store) -> Closed:
    """Return a store with the interpreter realised in it."""
    made = Instantiation()
    return Closed(store, pinned, realise_in(store, made, add_closed_interpreter(made, pinned)))


@pytest.fixture(scope="session")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> ClosedPython:
    """Return Debian bookworm's Python 3.11 as its archive has it now."""
    root = tmp_path_factory.mktemp("archive")
    with Fetcher(offline=False) as fetcher:
        archive = open_archive(Settings(root=str(root)), fetcher)
        return pin_interpreter(archive, "==3.11.*", ["bookworm"])


class Unpacked(Protocol):
    """Make an unpacked .deb whose files hold their own places, and return where it lies."""

    def __call__(self, name: str, *places: str, links: Mapping[str, str] | None = None) -> str: ...


@pytest.fixture
def unpacked(tmp_path: Path) -> Unpacked:
    def make(name: str, *places: str, links: Mapping[str, str] | None = None) -> str:
        for place in (*places, *(links or ())):
            (tmp_path / name / place).parent.mkdir(parents=True, exist_ok=True)
        for place in places:
            (tmp_path / name / place).write_text(place)
        for place, target in (links or {}).items():
            (tmp_path / name / place).symlink_to(target)
        return str(tmp_path / name)

    return make


def settings(root: Path) -> Settings:
    return Settings(root=str(root), jobs=2, fsync=False, path=os.environ["PATH"])


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory, pinned: ClosedPython) -> Iterator[Closed]:
    with Store(settings(tmp_path_factory.mktemp("closed") / "root")) as store:
        yield realised(pinned, store)


@pytest.fixture
def elsewhere(tmp_path: Path, pinned: ClosedPython) -> Iterator[Closed]:
    """Return the same in a root whose path is longer, and has spaces in it."""
    root = tmp_path / "a root with a rather longer path" / "than the other one has"
    with Store(settings(root)) as store:
        yield realised(pinned, store)
