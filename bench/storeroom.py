"""The room of the store's benchmarks: trees, stores of ours and of Nix's, and what fills them."""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stage import envtool, perform, unlock
from timing import Command

FILL = Path(__file__).with_name("fill.py")
STEERING = ("ENVTOOL_", "NIX_", "PYTHON", "XDG_")
NIX_CONF = "build-users-group =\nsandbox = false\nsubstituters =\n"
TEXTS = """let
  step = made: i: made ++ [ (builtins.toFile "text-${toString i}"
    (builtins.concatStringsSep "\\n" ([ (toString i) ] ++ (if i == 0 || !LINKED then [ ] else
      map (builtins.elemAt made) [ (i - 1) (i / 2) (i / 3) ])))) ];
in builtins.concatStringsSep "\\n" (builtins.foldl' step [ ] (builtins.genList (i: i) COUNT))
"""
"""What `fill.py` adds, in Nix's language."""


@dataclass(frozen=True, slots=True)
class Room:
    """A fresh folder with any number of stores, each under a name."""

    folder: Path

    @property
    def python(self) -> str:
        """The version of this Python, such as 3.11."""
        return f"{sys.version_info.major}.{sys.version_info.minor}"

    def root(self, name: str) -> Path:
        """Return our root of this name."""
        return self.folder / f"ours-{name}"

    def ours(self, store: str, *argv: str | Path, stdin: Path | None = None) -> Command:
        """Return a command of envtool's."""
        return self._command([envtool(), *argv], {"ENVTOOL_ROOT": self.root(store)}, stdin)

    def fill_ours(self, store: str, count: int, *, cluster: int) -> str:
        """Add text objects to our store, see `fill.py`; return where the last one lies."""
        argv = (sys.executable, FILL, self.root(store), str(count), str(cluster))
        return perform(self._command(argv, {}, None))

    def theirs(self, store: str, *argv: str | Path, stdin: Path | None = None) -> Command:
        """Return a command of Nix's; its store is made if need be."""
        place = self.folder / f"nix-{store}"
        environment: dict[str, str | Path] = {
            "NIX_STORE_DIR": place / "store",
            "NIX_LOCALSTATE_DIR": place / "var",
            "NIX_STATE_DIR": place / "var/nix",
            "NIX_LOG_DIR": place / "var/log",
            "NIX_CONF_DIR": place / "etc",
            "HOME": place / "home",
            "_NIX_TEST_NO_ENVIRONMENT_WARNINGS": "1",
        }
        if not place.exists():
            for name in ("store", "var/nix", "etc", "home"):
                (place / name).mkdir(parents=True)
            (place / "etc/nix.conf").write_text(NIX_CONF)
            perform(self._command(["nix-store", "--init"], environment, None))
        return self._command(argv, environment, stdin)

    def fill_theirs(self, store: str, count: int, *, linked: bool) -> str:
        """Add the same to Nix's store; return where the last one lies."""
        file = self.folder / f"texts-{count}-{linked}.nix"
        text = TEXTS.replace("LINKED", str(linked).lower()).replace("COUNT", str(count))
        file.write_text(text)
        argv = ("nix-instantiate", "--eval", "--read-write-mode", file)
        said = perform(self.theirs(store, *argv))
        return said.strip('"').split("\\n")[-1]

    def _command(
        self,
        argv: Sequence[str | Path],
        environment: Mapping[str, str | Path],
        stdin: Path | None,
    ) -> Command:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(STEERING)}
        more = {name: str(text) for name, text in environment.items()}
        words = tuple(str(word) for word in argv)
        return Command(words, kept | more, str(self.folder), str(stdin or os.devnull))


@contextmanager
def room(folder: Path) -> Iterator[Room]:
    """Make the room; clear it at the end."""
    with tempfile.TemporaryDirectory(prefix="envtool-bench-", dir=folder) as fresh:
        try:
            yield Room(Path(fresh))
        finally:
            unlock(Path(fresh))


def require_nix() -> None:
    """Say which Nix is the peer. :raises SystemExit: there is none."""
    try:
        said = subprocess.run(
            ["nix-store", "--version"], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise SystemExit("nix-store is needed, for instance from the package nix-bin") from None
    print(f"beside {said.stdout.strip()}\n")


def make_tree(folder: Path, files: int) -> Path:
    """Make a tree of files of up to 8 kB in folders of 100; some are executable, some links."""
    dice = random.Random(1)
    for number in range(files // 100):
        below = folder / f"folder-{number:03}" / ("sub" if number % 3 else "")
        below.mkdir(parents=True)
        for each in range(100):
            file = below / f"file-{each:03}.{dice.choice(['py', 'txt', 'so', 'h'])}"
            file.write_bytes(dice.randbytes(dice.randrange(4096)) * 2)
            if each % 20 == 0:
                file.chmod(0o755)
        (below / "link").symlink_to("file-000.py")
    return folder


def make_copies(folder: Path, files: int, distinct: int) -> Path:
    """Make a tree in which each of so many contents of 10 kB occurs equally often."""
    dice = random.Random(2)
    contents = [dice.randbytes(10_000) for _ in range(distinct)]
    for number in range(files):
        below = folder / f"folder-{number // 200:02}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"file-{number}").write_bytes(contents[number % distinct])
    return folder
