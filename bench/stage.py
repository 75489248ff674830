"""The stage of a benchmark: a fresh folder, the index on loopback, both tools and their projects.

Everything a run makes stays until the end. Nothing is deleted and made again in between: on some
file systems, making files where many were just deleted is ten times slower.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from index import REQUIREMENTS, uv
from timing import Command

HERE = Path(__file__).parent
DIRECT = REQUIREMENTS.with_suffix(".in").read_text().split()
"""What a project asks for by itself."""
ROOM = 8e9
"""Bytes that the longest benchmark takes at its end."""


@dataclass(frozen=True, slots=True)
class Options:
    """What every script's command line says."""

    index: Path
    folder: Path
    python: str
    rounds: int | None
    """None: as many as the script thinks right."""
    wait: float


def options(description: str) -> Options:
    """Read the command line of a script that installs from the index."""
    parser = arguments(description)
    parser.add_argument("index", type=Path, help="a folder that index.py filled")
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    return Options(**vars(parser.parse_args()))


def arguments(description: str, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """Return a parser of what every script takes; `rounds` is how many it measures by default."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=roomy(), help="where to make everything")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--wait", type=float, default=20, help="seconds to wait for idleness")
    return parser


def roomy() -> Path:
    """Return the tmpfs if it has room, else the folder for temporary files."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > ROOM:
        return memory
    return Path(tempfile.gettempdir())


@dataclass(frozen=True, slots=True)
class Stage:
    """Where both tools work."""

    folder: Path
    """Fresh; the script makes what it wants in it."""
    url: str
    """The index."""
    python: str
    """The version, such as 3.11."""

    def environment(self, **more: str | Path) -> dict[str, str]:
        """Return the variables of a child: this process's, less those that steer either tool."""
        steering = ("ENVTOOL_", "UV_", "PIP_", "PYTHON", "VIRTUAL_ENV", "CONDA_")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(steering)}
        ours = {"ENVTOOL_INDEX_URL": self.url, "ENVTOOL_ROOT": str(self.folder / "root")}
        theirs = {
            "UV_CACHE_DIR": str(self.folder / "uv-cache"),
            "UV_DEFAULT_INDEX": self.url,
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
        }
        return kept | ours | theirs | {name: str(text) for name, text in more.items()}

    def command(self, argv: Sequence[str | Path], **more: str | Path) -> Command:
        """Return a command that works in the stage's folder."""
        return Command(
            tuple(str(part) for part in argv), self.environment(**more), str(self.folder)
        )

    def envtool(self, project: Path, *argv: str, **more: str | Path) -> Command:
        """Return envtool's command for a project."""
        return self.command([envtool(), "-C", project, *argv], **more)

    def uv(self, *argv: str | Path, **more: str | Path) -> Command:
        """Return uv's command."""
        return self.command([uv(), *argv], **more)

    def project(self, name: str) -> Path:
        """Make a project of envtool's that asks for the set, locked.

        The name goes into the environment's store path and into no wheel's. The lock is made
        with another root, so that what locking keeps does not help realising.
        """
        folder = self.folder / "projects" / name
        folder.mkdir(parents=True)
        wanted = "".join(f'    "{requirement}",\n' for requirement in DIRECT)
        (folder / "envtool.toml").write_text(
            f'name = "{name}"\npython = "{self.python}"\ndependencies = [\n{wanted}]\n'
        )
        perform(self.envtool(folder, "lock", ENVTOOL_ROOT=self.folder / "lock-root"))
        return folder

    def venv(self, name: str, **more: str | Path) -> Path:
        """Make an empty virtual environment."""
        folder = self.folder / "venvs" / name
        perform(self.uv("venv", "-q", "--python", self.python, folder, **more))
        return folder

    def uv_lock(self) -> Path:
        """Return a pylock.toml of the same wheels, made by uv; with sizes and hashes as ours."""
        path = self.folder / "pylock.uv.toml"
        if not path.exists():
            command = ["pip", "compile", "-q", "--no-deps", "--python-version", self.python]
            command += ["--format", "pylock.toml", "-o", str(path), str(REQUIREMENTS)]
            perform(self.uv(*command))
        return path

    def uv_sync(self, venv: Path, *argv: str, **more: str | Path) -> Command:
        """Return the command that fills a virtual environment from uv's lock."""
        return self.uv(
            "pip", "sync", "-q", "--python", venv / "bin/python", *argv, self.uv_lock(), **more
        )


def envtool() -> str:
    """Return the envtool of this Python."""
    return os.path.join(sysconfig.get_path("scripts"), "envtool")


def perform(command: Command) -> str:
    """Run a command, untimed, and return what it printed.

    :raises SystemExit: it failed; with what it had to say.
    """
    result = subprocess.run(
        command.argv,
        env=command.environment,
        cwd=command.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise SystemExit(f"{' '.join(command.argv)} failed:\n{result.stderr}")
    return result.stdout.strip()


@contextmanager
def stage(chosen: Options) -> Iterator[Stage]:
    """Set the stage, with the index served by a process of its own; clear it at the end."""
    argv = [sys.executable, str(HERE / "index.py"), "serve", str(chosen.index)]
    with (
        tempfile.TemporaryDirectory(prefix="envtool-bench-", dir=chosen.folder) as folder,
        subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            if not url:
                raise SystemExit(f"{chosen.index} holds no index; run index.py fill first")
            yield Stage(Path(folder), url, chosen.python)
        finally:
            server.terminate()
            unlock(Path(folder))


def unlock(folder: Path) -> None:
    """Make the folders of the store writable, or they could not be deleted."""
    for place, _, _ in os.walk(folder):
        os.chmod(place, 0o700)
