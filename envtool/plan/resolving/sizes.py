"""The sizes of artifacts, which an index with plain HTML pages does not tell.

One byte of each is asked for: the answer says of how many. (HEAD would say the same, but some
hosts of artifacts refuse it.)
"""

import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from urllib.parse import SplitResult

from envtool.errors import FetchError
from envtool.formats.lock import Artifact, LockedPackage
from envtool.machine.fetching.addresses import parse_url, redirected
from envtool.machine.fetching.http_connections import Connections, Severed
from envtool.plan.resolving.remembered import Remembered
from envtool.values import replace

__all__ = ["artifacts", "learn", "with_sizes"]

_THREADS = 8
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_TRIES = 2
_MOST_FAILURES = 4
"""Of one host, before nothing more is asked of it."""
_PATIENCE = 10.0
"""Seconds of silence; a size is not worth more."""
_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)").fullmatch


def artifacts(packages: Iterable[LockedPackage]) -> list[Artifact]:
    """Return every artifact of some packages."""
    return [
        artifact
        for package in packages
        for artifact in (*package.wheels, package.sdist, package.archive)
        if artifact is not None
    ]


def learn(found: Iterable[Artifact], remembered: Remembered, *, timeout: float) -> None:
    """Ask for every size that neither the artifact nor the memory has, and remember it.

    One that cannot be had stays unknown: the SHA-256 is what is relied on. A host that keeps
    failing, or being silent for `timeout` seconds, is asked nothing more.
    """
    wanted = {
        artifact.sha256: artifact.url
        for artifact in found
        if artifact.size is None and artifact.url and remembered.size(artifact.sha256) is None
    }
    if not wanted:
        return
    inquiry = _Inquiry(timeout)
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            sizes = list(pool.map(inquiry.size, wanted.values()))
        finally:
            inquiry.end()
    for sha256, size in zip(wanted, sizes, strict=True):
        if size is not None:
            remembered.keep_size(sha256, size)


def with_sizes(package: LockedPackage, remembered: Remembered) -> LockedPackage:
    """Return the package with the sizes that are remembered."""

    def known(artifact: Artifact) -> Artifact:
        return replace(artifact, size=artifact.size or remembered.size(artifact.sha256))

    return replace(
        package,
        wheels=tuple(map(known, package.wheels)),
        sdist=package.sdist and known(package.sdist),
        archive=package.archive and known(package.archive),
    )


class _Inquiry:
    """Asks for sizes over shared connections; any thread may use it."""

    def __init__(self, timeout: float) -> None:
        self._connections = Connections(timeout=min(timeout, _PATIENCE))
        self._failures: Counter[str | None] = Counter()

    def end(self) -> None:
        self._connections.sever()

    def size(self, url: str) -> int | None:
        for _ in range(_TRIES):
            try:
                return self._ask(parse_url(url))
            except (OSError, HTTPException):
                continue  # counted against its host; a hang-up now and then is no one's fault
            except (FetchError, Severed):
                return None
        return None

    def _ask(self, address: SplitResult) -> int | None:
        for _ in range(_MOST_REDIRECTS):
            host = address.hostname
            is_web = address.scheme in ("http", "https")
            if not is_web or self._failures[host] >= _MOST_FAILURES:
                return None
            try:
                with self._connections.get(address, {"Range": "bytes=0-0"}) as response:
                    if response.status not in _REDIRECTS:
                        return _size(response)
                    address = redirected(address, response.getheader("Location"))
            except (OSError, HTTPException):
                self._failures[host] += 1
                raise
        return None


def _size(response: HTTPResponse) -> int | None:
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        total = _TOTAL(response.getheader("Content-Range") or "")
        return int(total[1]) if total else None
    # The host does not know ranges; the rest of its answer is left unread.
    return response.length if response.status == HTTPStatus.OK else None
