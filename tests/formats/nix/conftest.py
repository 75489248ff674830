"""Real Nix as the judge of formats.

Each start of it takes 30 ms, so tests give it hundreds of inputs at once. They name the types for
the type checker only::

    if TYPE_CHECKING:
        from formats.nix.conftest import Nix
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest


@dataclass(frozen=True)
class Nix:
    """Nix (tried with Debian's `nix-bin` 2.8.0) with a chroot store of its own.

    The logical store directory is `/nix/store`; nothing is built or fetched, so neither root
    nor a daemon nor the network is needed.
    """

    root: Path

    def attempt(
        self, *command: str | Path, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end, whatever that is."""
        environment = {
            "HOME": os.fspath(self.root),
            "NIX_CONF_DIR": os.fspath(self.root),
            "NIX_REMOTE": os.fspath(self.root),
            "PATH": os.environ["PATH"],
        }
        return subprocess.run(
            command, input=stdin, capture_output=True, check=False, env=environment
        )

    def run(self, *command: str | Path, stdin: bytes = b"") -> bytes:
        """Return what the command prints; fail the test if it fails."""
        done = self.attempt(*command, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    def lines(self, *command: str | Path, stdin: bytes = b"") -> list[str]:
        return self.run(*command, stdin=stdin).decode().splitlines()

    def physical(self, path: str) -> Path:
        """Return where the object with this logical path lies."""
        return self.root / path.removeprefix("/")


class MakeNix(Protocol):
    """Make a Nix whose store is empty."""

    def __call__(self) -> Nix: ...


@pytest.fixture(scope="module")
def make_nix(tmp_path_factory: pytest.TempPathFactory) -> MakeNix:
    if shutil.which("nix-store") is None:
        pytest.skip("real Nix is the judge, and nix-store is not on PATH")

    def make() -> Nix:
        root = tmp_path_factory.mktemp("nix")
        (root / "nix.conf").write_text(
            "build-users-group =\nsubstituters =\nexperimental-features = nix-command\n"
        )
        return Nix(root)

    return make


@pytest.fixture(scope="module")
def nix(make_nix: MakeNix) -> Nix:
    """Return a Nix whose store the tests of one module share."""
    return make_nix()
