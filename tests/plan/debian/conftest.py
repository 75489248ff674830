"""Made-up suites, as real indices on this disk.

A test that names their types imports them for the type checker only::

    if TYPE_CHECKING:
        from plan.debian.conftest import MakeUniverse
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from envtool.formats.debian.package import Origin
from envtool.machine.debian.index import PackageIndex, build
from envtool.plan.debian.universe import Universe


class MakeUniverse(Protocol):
    """Make a universe of the packages of one suite.

    Each line is `NAME VERSION` and then fields: `; Depends: …; Provides: …`.
    """

    def __call__(self, text: str, *, suite: str = "tested") -> Universe: ...


def _stanza(line: str) -> str:
    head, *fields = line.split(";")
    name, version = head.split()
    digest = hashlib.sha256(line.encode()).hexdigest()
    rest = "".join(f"{each.strip()}\n" for each in fields)
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nSize: 1\n{rest}"
        f"Filename: pool/{name}.deb\nSHA256: {digest}\n"
    )


@pytest.fixture
def universe(tmp_path: Path) -> Iterator[MakeUniverse]:
    """Make universes; several if a test wants them."""
    opened: list[PackageIndex] = []

    def make(text: str, *, suite: str = "tested") -> Universe:
        folder = str(tmp_path / f"index{len(opened)}")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        build("\n".join(map(_stanza, lines)).encode(), folder)
        opened.append(PackageIndex(folder, Origin("debian", suite, "main")))
        return Universe([opened[-1]], "amd64")

    yield make
    for each in opened:
        each.close()
