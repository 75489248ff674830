"""The trees of several .debs: who owns a place, where links lead, what stays behind."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.build.system.unpacking import lay_out
from envtool.errors import BuildError
from envtool.machine.metadata import delete_tree

if TYPE_CHECKING:
    from build.system.conftest import MakeDeb

Unpack = Callable[..., Path]


@pytest.fixture
def unpack(tmp_path: Path) -> Iterator[Unpack]:
    made = []

    def run(*debs: tuple[str, str], name: str = "tree") -> Path:
        made.append(tmp_path / name)
        lay_out(debs, str(made[-1]), str(tmp_path / f"{name}-scratch"), jobs=2)
        return made[-1]

    yield run
    for target in made:
        delete_tree(str(target))


def test_usr_is_merged_and_documentation_stays_behind(make_deb: "MakeDeb", unpack: Unpack) -> None:
    files = {
        "bin/tiny": "#!/bin/sh\n",
        "usr/share/man/man1/tiny.1": "x",
        "usr/share/doc/tiny/copyright": "free",
        "usr/share/doc/tiny/changelog": "long",
    }
    root = unpack(make_deb("tiny", files))
    assert os.readlink(root / "bin") == "usr/bin"
    assert (root / "usr/bin/tiny").exists()
    assert not (root / "usr/share/man/man1").exists() or not list(
        (root / "usr/share/man").rglob("*.1")
    )
    assert os.listdir(root / "usr/share/doc/tiny") == ["copyright"]


def test_a_link_of_one_package_leads_another_nowhere_outside(
    make_deb: "MakeDeb", unpack: Unpack
) -> None:
    absolute = make_deb("absolute", {"usr/share/aa": "-> /opt/envtool-outside"})
    climbing = make_deb("climbing", {"usr/share/bb": "-> ../../../../../../../../etc"})
    through = make_deb("through", {"usr/share/aa/file": "1", "usr/share/bb/file": "2"})
    root = unpack(absolute, climbing, through)
    assert not os.path.exists("/opt/envtool-outside")
    assert (root / "opt/envtool-outside/file").read_text() == "1"
    assert (root / "etc/file").read_text() == "2"


def test_a_circle_of_links_is_refused(make_deb: "MakeDeb", unpack: Unpack) -> None:
    links = make_deb("links", {"usr/share/aa": "-> bb", "usr/share/bb": "-> aa"})
    through = make_deb("through", {"usr/share/aa/file": "1"})
    with pytest.raises(BuildError, match="too many links"):
        unpack(links, through)


def test_one_place_belongs_to_one_package_unless_it_is_replaced(
    make_deb: "MakeDeb", unpack: Unpack
) -> None:
    one = make_deb("one", {"etc/file": "one"})
    other = make_deb("other", {"etc/file": "other"})
    with pytest.raises(BuildError, match=r"one and other|other and one"):
        unpack(one, other, name="conflict")
    other = make_deb("other", {"etc/file": "other"}, Replaces="one")
    for at, debs in enumerate(((one, other), (other, one))):
        root = unpack(*debs, name=f"replaced-{at}")
        assert (root / "etc/file").read_text() == "other"


def test_dpkg_knows_what_is_there(make_deb: "MakeDeb", unpack: Unpack) -> None:
    root = unpack(make_deb("tiny", {"etc/tiny": "x"}, Description="tiny"))
    status = (root / "var/lib/dpkg/status").read_text()
    assert "Status: install ok installed\nPackage: tiny\n" in status
    assert "/etc/tiny" in (root / "var/lib/dpkg/info/tiny.list").read_text().splitlines()
