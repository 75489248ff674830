"""Archives of Debian packages, as a machine sees the mirror of the tests.

A test that names its types imports them for the type checker only::

    if TYPE_CHECKING:
        from machine.debian.conftest import OpenArchive
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envtool.machine.debian.archive import Archive
from envtool.machine.debian.mirrors import Mirrors
from envtool.machine.debian.releases import Releases
from envtool.machine.fetching.fetch import Fetcher

if TYPE_CHECKING:
    from fixtures.mirror import Mirror

OpenArchive = Callable[..., Archive]


@pytest.fixture
def open_archive(mirror: "Mirror", tmp_path: Path) -> Iterator[OpenArchive]:
    """Open the mirror's archive; `offline` or more `mirrors` as wanted, all with one cache."""
    fetchers: list[Fetcher] = []

    def run(
        *,
        offline: bool = False,
        mirrors: Sequence[str] | None = None,
        check_age: bool = True,
        now: Callable[[], float] | None = None,
    ) -> Archive:
        fetcher = Fetcher(offline=offline, retries=0)
        fetchers.append(fetcher)
        known = Mirrors(tuple(mirrors if mirrors is not None else [mirror.url]))
        releases = Releases(
            str(tmp_path / "cache"),
            fetcher,
            known,
            keys=mirror.keys,
            check_age=check_age,
            now=now or (lambda: float(mirror.now)),
        )
        return Archive(releases, fetcher, known, "amd64")

    yield run
    for each in fetchers:
        each.close()
