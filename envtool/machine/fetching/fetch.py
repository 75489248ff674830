"""Fetch artifacts by URL and SHA-256: nothing that is not what the lock promised is left behind.

Bytes are hashed while they arrive and appear under the wanted name only when length and hash
are right. What may pass by itself is tried again: an answer of 5xx, 408 or 429, one that
breaks off, a reset, a silence. Where the server can, the next try goes on where the last one
broke off. What will not pass (404, wrong bytes, a full disk) fails at once::

    with Fetcher(offline=False) as fetcher:
        fetcher.fetch(url, scratch, sha256="sha256-…", size=1234)

Any number of threads may fetch at once. When one fails, `cancel` stops the others.
"""

import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, unquote

from envtool.errors import FetchError
from envtool.formats.nix.hashing import Hash
from envtool.machine.fetching.addresses import parse_url, redirected, without_secrets
from envtool.machine.fetching.arrival import Arrival, Arrived, Passing

if TYPE_CHECKING:
    from http.client import HTTPException, HTTPResponse

    from envtool.machine.fetching.http_connections import Connections

__all__ = ["AbsentError", "FetchCancelledError", "Fetcher", "pause"]

CHUNK = 256 * 1024
"""Bytes read, hashed and written at a time; few enough that progress moves on a slow line."""
MAX_REDIRECTS = 5
MAX_PAUSE = 60.0
"""Seconds to wait between two tries at most, whatever the server asks for."""

_REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_HINTS = {
    401: "give credentials in the URL or in ~/.netrc",
    403: "give credentials in the URL or in ~/.netrc",
    404: "the index no longer has this file; to take another one: envtool lock --upgrade NAME",
    407: "give the proxy's credentials in its URL: http://USER:PASSWORD@HOST:PORT",
    410: "the index no longer has this file; to take another one: envtool lock --upgrade NAME",
}


class AbsentError(FetchError):
    """The server, which answered, has no such file."""


class FetchCancelledError(FetchError):
    """Another fetch failed first, or the user stopped; never the cause of a failure."""


def pause(failures: int, backoff: float, asked: float | None = None) -> float:
    """Return how many seconds to wait after the `failures`-th failure, counted from 1.

    `backoff` doubles with every failure and is spread by half of itself, so that many threads
    do not come back at once. The server's own wish is honoured if it is longer.
    """
    import random

    spread = random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
    own = backoff * (1 << (failures - 1)) * spread
    return min(max(own, asked or 0.0), MAX_PAUSE)


def _nothing(_size: int) -> None:
    """Watch nothing."""


class Fetcher:
    """Fetches over kept connections; any thread may use it.

    `timeout` is the longest silence in seconds, not the longest fetch. `retries` come after the
    first try.
    """

    def __init__(
        self, *, offline: bool, timeout: float = 30, retries: int = 4, backoff: float = 0.5
    ) -> None:
        self.offline = offline
        self._timeout = timeout
        self._retries = retries
        self._backoff = backoff
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._opened: Connections | None = None
        """Those that there are: HTTP and TLS are loaded by who needs them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection; what still runs in another thread is cancelled."""
        self.cancel()

    def cancel(self) -> None:
        """Make every fetch, now and later, raise `FetchCancelledError`; from any thread."""
        with self._lock:
            self._cancelled.set()
            if self._opened is not None:
                self._opened.sever()

    def fetch(
        self,
        url: str,
        target: str,
        *,
        sha256: str | None,
        size: int | None = None,
        on_bytes: Callable[[int], None] = _nothing,
    ) -> Arrived:
        """Fetch an http, https or file URL to the path `target`; return what is known of it.

        `sha256` is hexadecimal or SRI; None for what proves itself in another way, as a signed
        file does: then any bytes will do. `size` None is unknown. `on_bytes` hears how many bytes
        have newly arrived; a negative number takes back what a start from anew threw away.
        The file is written beside its place (`target` + `.part`), verified and renamed; it is
        not yet synchronised to the disk. A failure leaves neither of the two.

        :raises AbsentError: there is no such file.
        :raises FetchError: it did not arrive, or is not what was promised.
        :raises FetchCancelledError: `cancel` or `close` was called.
        :raises StoreError: it could not be written.
        """
        source = parse_url(url)
        wanted = Hash.parse(sha256, "sha256") if sha256 is not None else None
        if self.offline and source.scheme != "file":
            raise FetchError(
                f"{without_secrets(url)} is not in the store, and envtool works offline",
                hint="run it again without --offline",
            )
        shown = without_secrets(url)
        with Arrival(shown, target, wanted, size, on_bytes) as arrival:
            if source.scheme == "file":
                self._copy(source, arrival)
            else:
                self._download(source, arrival)
        return arrival.arrived()

    def _copy(self, source: SplitResult, arrival: Arrival) -> None:
        try:
            with open(unquote(source.path), "rb", buffering=0) as stream:
                self._receive(stream.readinto, arrival)
        except FileNotFoundError as error:
            raise AbsentError(f"{arrival.shown} cannot be read: {error.strerror}") from error
        except OSError as error:
            raise FetchError(f"{arrival.shown} cannot be read: {error.strerror}") from error
        arrival.verify()

    def _download(self, source: SplitResult, arrival: Arrival) -> None:
        for failures in range(1, self._retries + 2):
            try:
                self._try(source, arrival)
            except Passing as error:
                last = error
            else:
                return
            if failures <= self._retries and self._cancelled.wait(
                pause(failures, self._backoff, last.after)
            ):
                break
        self._check_cancelled(arrival)
        times = "once" if self._retries == 0 else f"{self._retries + 1} times"
        raise FetchError(
            f"{arrival.shown}: tried {times}, last: {last.reason}",
            hint="try again later; what is already in the store is kept",
        ) from last

    def _try(self, source: SplitResult, arrival: Arrival) -> None:
        import ssl
        from http.client import HTTPException

        from envtool.machine.fetching.http_connections import Severed

        self._check_cancelled(arrival)
        try:
            self._follow(source, arrival)
        except ssl.SSLCertVerificationError as error:
            raise FetchError(
                f"{arrival.shown}: the server's certificate is not trusted: {error.verify_message}",
                hint="name the file of your own authority in SSL_CERT_FILE",
            ) from error
        except Severed as order:
            raise _cancelled(arrival) from order
        except (OSError, HTTPException) as error:
            self._check_cancelled(arrival)
            raise Passing(self._reason(error)) from error

    def _check_cancelled(self, arrival: Arrival) -> None:
        if self._cancelled.is_set():
            raise _cancelled(arrival)

    @property
    def _connections(self) -> "Connections":
        from envtool.machine.fetching.http_connections import Connections

        with self._lock:
            if self._opened is None:
                self._opened = Connections(timeout=self._timeout)
            if self._cancelled.is_set():
                self._opened.sever()
            return self._opened

    def _reason(self, error: "OSError | HTTPException") -> str:
        from http.client import IncompleteRead, RemoteDisconnected

        if isinstance(error, TimeoutError):
            return f"the server was silent for {self._timeout:g} s"
        if isinstance(error, RemoteDisconnected):
            return "the server hung up without an answer"
        if isinstance(error, IncompleteRead):
            return "the answer broke off"
        if isinstance(error, OSError):
            return error.strerror or str(error)
        return f"the answer is not HTTP ({type(error).__name__})"

    def _follow(self, url: SplitResult, arrival: Arrival) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            with self._connections.get(url, arrival.resumption()) as response:
                if response.status not in _REDIRECTS:
                    self._accept(response, arrival)
                    return
                url = redirected(url, response.getheader("Location"))
        raise FetchError(f"{arrival.shown}: more than {MAX_REDIRECTS} redirects")

    def _accept(self, response: "HTTPResponse", arrival: Arrival) -> None:
        _check_status(response, arrival)
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            arrival.resume(response)
        else:
            arrival.restart(response)
        if response.length is not None:
            arrival.check_size(arrival.done + response.length)
        self._receive(response.readinto, arrival)
        if response.length or arrival.is_short:
            raise Passing(f"the answer broke off after {arrival.done} bytes")
        arrival.verify()

    def _receive(self, read: Callable[[memoryview], int | None], arrival: Arrival) -> None:
        buffer = memoryview(bytearray(CHUNK))
        while size := read(buffer):
            arrival.write(buffer[:size])
            self._check_cancelled(arrival)


def _cancelled(arrival: Arrival) -> FetchCancelledError:
    return FetchCancelledError(f"{arrival.shown}: the fetch was cancelled")


def _check_status(response: "HTTPResponse", arrival: Arrival) -> None:
    """Raise unless the answer is the bytes that were asked for, or all of them."""
    status = response.status
    if status == HTTPStatus.OK or (status == HTTPStatus.PARTIAL_CONTENT and arrival.done):
        return
    reason = f"the server answered {status} {response.reason}".rstrip()
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and arrival.done:
        arrival.forget()
        raise Passing(reason)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
        raise Passing(reason, after=_retry_after(response))
    absent = status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
    kind = AbsentError if absent else FetchError
    raise kind(f"{arrival.shown}: {reason}", hint=_HINTS.get(status))


def _retry_after(response: "HTTPResponse") -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3); None without a usable one."""
    text = response.getheader("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    import email.utils

    try:  # a date is counted from the server's own, so that no clock has to be right
        then = email.utils.parsedate_to_datetime(text)
        now = email.utils.parsedate_to_datetime(response.getheader("Date", ""))
        return (then - now).total_seconds()
    except (ValueError, TypeError):
        return None
