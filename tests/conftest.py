"""The fixtures every floor shares; those of `fixtures/` make wheels, an index and a mirror.

A test that names their types imports them for the type checker only::

    if TYPE_CHECKING:
        from fixtures.index import Index
        from fixtures.wheels import MakeWheel
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest

from envtool.errors import SandboxError
from envtool.machine.isolating import sandbox
from envtool.machine.isolating.sandbox import Sandbox, View, require
from envtool.machine.settings import load
from envtool.workspace.workspace import Workspace

pytest_plugins = ["fixtures.index", "fixtures.mirror", "fixtures.wheels"]


@cache
def _has_sandbox() -> bool:
    try:
        require(os.environ.get("PATH", os.defpath))
    except SandboxError:
        return False
    return True


@cache
def _is_missing(program: str) -> bool:
    return shutil.which(program) is None


@cache
def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


# Where the machine gives no sandbox, source packages are built without one.
os.environ["ENVTOOL_SANDBOX"] = "auto" if _has_sandbox() else "off"
_NEEDS: Mapping[str, tuple[Callable[[], bool], str]] = {
    "namespaces": (_has_sandbox, "this machine denies namespaces"),
    "mounts": (_can_mount, "this machine denies mounting in a namespace"),
}
"""By marker: what it asks of the machine, and what is said where that is not so."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Leave out what is marked as needing what this machine does not give."""
    for item in items:
        for marker, (is_given, otherwise) in _NEEDS.items():
            if item.get_closest_marker(marker) and not is_given():
                item.add_marker(pytest.mark.skip(reason=otherwise))
        for named in item.iter_markers("programs"):
            for name in filter(_is_missing, named.args):
                item.add_marker(pytest.mark.skip(reason=f"there is no {name}"))


class EmptyRoot(Protocol):
    """Return what a program prints where only a store, /proc, /dev and /tmp are."""

    def __call__(self, store: str, program: str | Path, *words: str) -> str: ...


@pytest.fixture
def empty_root(tmp_path: Path) -> EmptyRoot:
    """Run programs in an empty root; a test that does is marked as one that needs namespaces."""

    def run(store: str, program: str | Path, *words: str) -> str:
        bwrap = require(os.environ["PATH"])
        inside = Sandbox((View(store),), {"HOME": "/tmp"}, "/tmp")
        with open(tmp_path / "output", "w+b") as output:
            status = sandbox.run(bwrap, inside, [str(program), *words], output=output)
            output.seek(0)
            said = output.read().decode()
        assert status == 0, said
        return said.strip()

    return run


@pytest.fixture(scope="session")
def real_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root that the workers of this run share: each real wheel is fetched once."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return shared / "real-root"


@pytest.fixture
def workspace(real_root: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return a workspace in the shared root, which this process and its children use too.

    The index is the one of the host's configuration.
    """
    monkeypatch.setenv("ENVTOOL_ROOT", str(real_root))
    monkeypatch.setenv("ENVTOOL_FSYNC", "0")
    return Workspace(load(os.environ))
