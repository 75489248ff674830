"""A store of the test's own, and environments realised in it from wheels on the disk."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from envtool.build import bytecode
from envtool.build.realise import realise
from envtool.formats.lock import Artifact, LockedPackage
from envtool.formats.nix.storepath import StorePath
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.settings import Settings
from envtool.machine.store import Store
from envtool.plan.derivations import Instantiation
from envtool.plan.instantiate import Selected, instantiate
from envtool.reporting import SilentReporter
from envtool.sources.interpreter import Interpreter, find


def selected(wheel: Path, *, url: str | None = None) -> Selected:
    """Return the package of a wheel as a lock would pin it, at a URL or where it lies."""
    name, version = wheel.name.split("-")[:2]
    content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    path = None if url else str(wheel)
    artifact = Artifact(wheel.name, url, path, len(content), digest)
    package = LockedPackage(
        name.lower().replace("_", "-"), version, None, wheels=(artifact,), direct=True
    )
    return Selected(package, artifact)


class Notes(SilentReporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@dataclass(frozen=True)
class Environment:
    """A realised environment."""

    path: Path
    output: StorePath
    made: Instantiation

    def run(
        self, program: str, *words: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment by its path, with no variables but these."""
        command = [str(self.path / "bin" / program), *words]
        return subprocess.run(
            command, env=environ or {}, capture_output=True, text=True, check=False, cwd="/"
        )

    def python(self, code: str, *flags: str, environ: Mapping[str, str] | None = None) -> str:
        """Return what Python code prints in the environment."""
        done = self.run("python", *flags, "-c", code, environ=environ)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@dataclass
class Environments:
    """Realises environments in one store."""

    store: Store
    interpreter: Interpreter
    notes: Notes = field(default_factory=Notes)

    @property
    def site(self) -> str:
        return f"lib/python{self.interpreter.feature}/site-packages"

    def instantiate(
        self, *wheels: Path, name: str = "demo", collisions: str = "refuse"
    ) -> Instantiation:
        chosen = sorted(map(selected, wheels), key=lambda each: each.package.name)
        return instantiate(name, chosen, self.interpreter, collisions=collisions)

    def realise(self, made: Instantiation) -> Environment:
        assert made.environment is not None
        settings = self.store.settings
        with Fetcher(offline=True) as fetcher:
            output = realise(
                self.store, fetcher, self.notes, made.derivations, made.environment, jobs=2
            )
        bytecode.prepare(settings.cache, settings.store, output, self.interpreter.stdlib)
        return Environment(Path(self.store.physical(output)), output, made)

    def of(self, *wheels: Path, name: str = "demo", collisions: str = "refuse") -> Environment:
        """Return the environment that joins these wheels."""
        return self.realise(self.instantiate(*wheels, name=name, collisions=collisions))

    def in_store(self, pattern: str) -> list[str]:
        """Return the files of the store that match, relative to it."""
        root = Path(self.store.settings.store)
        return sorted(path.relative_to(root).as_posix() for path in root.rglob(pattern))


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    """Return the interpreter that runs the tests, as envtool finds it."""
    feature = ".".join(map(str, sys.version_info[:2]))
    return find(f"=={feature}.*", prefer=feature, environ=os.environ)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(Settings(root=str(tmp_path / "root"), jobs=2, fsync=False)) as opened:
        yield opened


@pytest.fixture
def environments(store: Store, interpreter: Interpreter) -> Environments:
    return Environments(store, interpreter)
