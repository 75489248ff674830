"""A root with an environment of Debian's Python 3.11 and numpy, from the host's mirror."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from envtool.errors import SandboxError
from envtool.machine import sandbox
from envtool.machine.sandbox import Sandbox, View

if TYPE_CHECKING:
    from cli.conftest import Place, Run


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


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root in which an environment with Debian's Python 3.11 and numpy was realised."""
    return tmp_path_factory.mktemp("closed") / "root"


@pytest.fixture
def closed(filled: Path, place: "Place", envtool: "Run", proof: Proof) -> "Run":
    """Let the project be one with the interpreter of Debian; its root is the filled one."""
    place.root = filled
    place.environ |= {"ENVTOOL_ROOT": str(filled)}
    place.environ |= {key: text for key, text in os.environ.items() if key.startswith("PIP_")}
    (place.project / "envtool.toml").write_text(proof.declaration)
    ended = envtool("switch")
    assert ended.returncode == 0, ended.stderr
    return envtool


class InEmptyRoot(Protocol):
    """Run the environment's Python where there is nothing but the store, /proc, /dev and /tmp."""

    def __call__(self, *words: str) -> str: ...


@pytest.fixture
def in_empty_root(place: "Place", tmp_path: Path) -> InEmptyRoot:
    try:
        program = sandbox.require(os.environ["PATH"])
    except SandboxError:
        pytest.skip("this machine gives no sandbox")

    def run(*words: str) -> str:
        inside = Sandbox((View(f"{place.root}/store"),), {"HOME": "/tmp"}, "/tmp")
        argv = [str(environment(place) / "bin/python"), *words]
        with open(tmp_path / "output", "w+b") as output:
            status = sandbox.run(program, inside, argv, output=output)
            output.seek(0)
            said = output.read().decode()
        assert status == 0, said
        return said.strip()

    return run


def environment(place: "Place") -> Path:
    workspace = place.settings_of()
    current = workspace.current(place.project_of())
    assert current is not None
    return Path(workspace.physical(current[1].environment))
