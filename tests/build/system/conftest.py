"""A small system of real .debs (dash, coreutils, …), and .debs made by hand.

A test that names their types imports them for the type checker only::

    if TYPE_CHECKING:
        from build.system.conftest import MakeDeb, MakeRoot
"""

import gzip
import io
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from envtool.build.system.configuring import LIMIT
from envtool.build.system.making import make
from envtool.machine.debian.archive import open_archive
from envtool.machine.debian.mirrors import find_mirrors
from envtool.machine.fetching.fetch import Fetcher
from envtool.machine.isolating import sandbox
from envtool.machine.metadata import delete_tree
from envtool.machine.settings import Settings
from envtool.plan.debian.closure import solve
from envtool.plan.debian.pinning import open_universe, pin_all

Deb = tuple[str, str]
"""Path and file name."""


class MakeDeb(Protocol):
    """Write a .deb; `files` are contents by path, a link's being `-> TARGET`."""

    def __call__(
        self, name: str, files: Mapping[str, str] | None = None, /, **more: str
    ) -> Deb: ...


class MakeRoot(Protocol):
    """Make a system root of the small system and these .debs; return it and what is told."""

    def __call__(
        self, *debs: Deb, name: str = "root", allowed: Sequence[str] = (), limit: int = LIMIT
    ) -> tuple[Path, list[str]]: ...


def _tar(files: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path, text in files.items():
            info = tarfile.TarInfo(f"./{path}")
            info.mode = 0o755 if text.startswith("#!") else 0o644
            info.mode |= 0o4000 if "# setuid" in text else 0
            if text.startswith("-> "):
                info.type, info.linkname = tarfile.SYMTYPE, text[3:]
            data = b"" if info.issym() else text.encode()
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@pytest.fixture
def make_deb(tmp_path: Path) -> MakeDeb:
    """Make .debs by hand; the words of `more` are scripts, or fields of the control file."""
    (tmp_path / "debs").mkdir()

    def build(name: str, files: Mapping[str, str] | None = None, /, **more: str) -> Deb:
        scripts: dict[str, str] = {
            each: more.pop(each) for each in ("preinst", "postinst") if each in more
        }
        texts: dict[str, str] = {
            each: f"#!/bin/sh\nset -e\n{text}\n" for each, text in scripts.items()
        }
        if "triggers" in more:
            texts["triggers"] = more.pop("triggers")
        fields = {"Package": name, "Version": "1", "Architecture": "all", **more}
        control = "".join(f"{each.replace('_', '-')}: {text}\n" for each, text in fields.items())
        parts = [b"!<arch>\n"]
        for member, data in (
            ("debian-binary", b"2.0\n"),
            ("control.tar.gz", _tar({"control": control, **texts})),
            ("data.tar.gz", _tar(files or {})),
        ):
            head = f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n"
            parts += [head.encode(), data, b"\n" * (len(data) % 2)]
        path = tmp_path / "debs" / f"{name}_1_all.deb"
        path.write_bytes(b"".join(parts))
        return str(path), path.name

    return build


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Deb]:
    """Fetch dash, coreutils, perl and what they need from the host's mirror of Debian."""
    root = tmp_path_factory.mktemp("small")
    settings = Settings(root=str(root))
    found = []
    with Fetcher(offline=False) as fetcher:
        archive = open_archive(settings, fetcher)
        with open_universe(archive, ["bookworm"], refresh=True) as (universe, opened):
            closure = solve(["dash", "coreutils", "grep", "perl-base", "sed"], universe)
            pinned = pin_all(closure.packages, opened)
        mirrors = find_mirrors(settings.debian_mirrors, settings.debian_past)
        for each in pinned:
            path = str(root / each.filename)
            url = (mirrors.urls(each) or mirrors.of(each.archive))[0]
            fetcher.fetch(url, path, sha256=each.sha256, size=each.size)
            found.append((path, each.filename))
    return found


@pytest.fixture
def make_root(small: list[Deb], tmp_path: Path) -> Iterator[MakeRoot]:
    """Make system roots, and remove them again."""
    made = []

    def build(
        *debs: Deb, name: str = "root", allowed: Sequence[str] = (), limit: int = LIMIT
    ) -> tuple[Path, list[str]]:
        target = tmp_path / name
        made.append(target)
        told = make(
            [*small, *debs],
            str(target),
            bwrap=sandbox.require(os.environ["PATH"]),
            log=str(tmp_path / "log"),
            allowed=frozenset(allowed),
            jobs=2,
            limit=limit,
        )
        return target, list(told)

    yield build
    for target in made:
        delete_tree(str(target))
