"""A root with an environment of Debian's Python 3.11 and numpy, from the host's mirror."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from cli.conftest import Place, Run
    from conftest import EmptyRoot


@dataclass(frozen=True)
class Proof:
    """What is declared, and what shows that it works."""

    declaration: str = """\
name = "demo"
python = "3.11"
interpreter = "debian/bookworm"
dependencies = ["numpy"]

[kernel]
"""
    code: str = """
import lzma, numpy, sqlite3, ssl, sys
found = sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()[0]
print(sys.version_info[:2], numpy.arange(4).sum(), found, ssl.HAS_TLSv1_3)
"""
    said: str = "(3, 11) 6 42 True"


@pytest.fixture
def proof() -> Proof:
    return Proof()


@pytest.fixture
def declared(proof: Proof) -> str:
    return proof.declaration


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root in which an environment with Debian's Python 3.11 and numpy was realised."""
    return tmp_path_factory.mktemp("closed") / "root"


@pytest.fixture
def closed(switched: "Run") -> "Run":
    """Let the project be one with the interpreter of Debian; its root is the filled one."""
    return switched


class InEmptyRoot(Protocol):
    """Run the environment's Python where there is nothing but the store, /proc, /dev and /tmp."""

    def __call__(self, *words: str) -> str: ...


@pytest.fixture
def in_empty_root(place: "Place", empty_root: "EmptyRoot") -> InEmptyRoot:
    """Run the environment's Python so; a test that does is marked as one that needs namespaces."""

    def run(*words: str) -> str:
        return empty_root(f"{place.root}/store", environment(place) / "bin/python", *words)

    return run


def environment(place: "Place") -> Path:
    workspace = place.settings_of()
    current = workspace.current(place.project_of())
    assert current is not None
    return Path(workspace.physical(current[1].environment))
