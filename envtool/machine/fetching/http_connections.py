"""Kept-alive HTTP connections, one per host and thread at most, with proxies and credentials.

`http.client` as it is: measured against the alternatives it is as fast as any of them as long
as the connection is kept, and thirty times faster than one connection per file.

* Proxies come from the environment (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`);
  https goes through a CONNECT tunnel.
* Certificates are the host's, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
* Credentials come from the URL or from `~/.netrc` (`$NETRC`), and never reach a message:
  show a URL through `without_secrets`.
"""

import base64
import netrc
import os
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, unquote, urlsplit

from envtool.errors import FetchError
from envtool.machine.fetching.addresses import without_secrets
from envtool.values import value

__all__ = ["Connections", "Severed"]

DRAINED = 64 * 1024
"""Bytes of an unread answer that are read away to keep its connection; more, and it is closed."""


class Severed(Exception):  # noqa: N818 - an order to stop, not an error
    """The connections were severed while a request was on its way."""


@value
class _Route:
    """How requests to one origin travel; two URLs of one route can share a connection."""

    scheme: str
    host: str
    port: int | None
    """None is the scheme's own."""
    proxy: SplitResult | None

    @property
    def is_absolute(self) -> bool:
        """Whether requests name the whole URL, as a proxy wants it for plain http."""
        return self.proxy is not None and self.scheme == "http"


@dataclass(eq=False, slots=True)
class _Line:
    """One connection, which one thread uses at a time."""

    route: _Route
    connection: HTTPConnection
    tcp: socket.socket | None = None
    """Kept here too, because http.client forgets it when the server announces its hang-up."""

    def sever(self) -> None:
        """Wake whoever reads or writes; from any thread."""
        if self.tcp is not None:
            with suppress(OSError):  # the server was first
                # Not SSLSocket's own shutdown: it takes the TLS state away from the reader.
                socket.socket.shutdown(self.tcp, socket.SHUT_RDWR)


@dataclass(slots=True)
class _Pool:
    idle: dict[_Route, list[_Line]] = field(default_factory=dict)
    busy: set[_Line] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, route: _Route) -> _Line | None:
        with self.lock:
            lines = self.idle.get(route)
            return lines.pop() if lines else None

    def enter(self, line: _Line) -> None:
        with self.lock:
            self.busy.add(line)

    def leave(self, line: _Line, *, keep: bool) -> None:
        with self.lock:
            self.busy.discard(line)
            if keep:
                self.idle.setdefault(line.route, []).append(line)
        if not keep:
            line.connection.close()


class Connections:
    """A pool of connections; any thread may use it."""

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._pool = _Pool()
        self.severed = threading.Event()
        """Set once `sever` was called; nothing can be asked any more."""

    def sever(self) -> None:
        """End every request that is on its way, and refuse new ones; from any thread."""
        self.severed.set()
        with self._pool.lock:
            busy = tuple(self._pool.busy)
            idle = [line for lines in self._pool.idle.values() for line in lines]
            self._pool.idle.clear()
        for line in busy:
            line.sever()
        for line in idle:
            line.connection.close()

    @contextmanager
    def get(self, url: SplitResult, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
        """Ask for one URL and lend the answer, whatever its status; redirects are not followed.

        :raises Severed: `sever` was called.
        :raises OSError, http.client.HTTPException: the network, the server or the proxy failed.
        """
        route = self._route(url)
        sent = {**self._headers(url, route), **headers}
        target = url.path or "/"
        if url.query:
            target += f"?{url.query}"
        if route.is_absolute:
            target = f"http://{url.netloc.rpartition('@')[2]}{target}"
        line, response = self._ask(route, target, sent)
        keep = False
        try:
            yield response
            keep = _drained(response)
        finally:
            response.close()  # http.client does not, once the server announced its hang-up
            self._pool.leave(line, keep=keep and not self.severed.is_set())

    def _ask(
        self, route: _Route, target: str, headers: Mapping[str, str]
    ) -> tuple[_Line, HTTPResponse]:
        kept = self._pool.take(route)
        if kept is not None:
            # A server may hang up on a kept connection at any time, without a fault of anyone's.
            with suppress(ConnectionError, ssl.SSLError):
                return kept, self._send(kept, target, headers)
        line = _Line(route, self._connection(route))
        return line, self._send(line, target, headers)

    def _send(self, line: _Line, target: str, headers: Mapping[str, str]) -> HTTPResponse:
        try:
            if line.connection.sock is None:
                line.connection.connect()
            line.tcp = line.connection.sock
            self._pool.enter(line)
            if self.severed.is_set():
                raise Severed  # noqa: TRY301 - the line is given up as for any other failure
            line.connection.request("GET", target, headers=dict(headers))
            return line.connection.getresponse()
        except BaseException:
            self._pool.leave(line, keep=False)
            raise

    def _route(self, url: SplitResult) -> _Route:
        host = url.hostname or ""
        return _Route(url.scheme, host, url.port, self._proxy(url))

    def _proxy(self, url: SplitResult) -> SplitResult | None:
        address = self._proxies.get(url.scheme) or self._proxies.get("all")
        if not address or urllib.request.proxy_bypass(url.netloc.rpartition("@")[2]):
            return None
        proxy = urlsplit(address if "://" in address else f"http://{address}")
        try:
            usable = proxy.scheme == "http" and bool(proxy.hostname) and (proxy.port or 80) > 0
        except ValueError:
            usable = False
        if not usable:
            raise FetchError(
                f"the proxy {without_secrets(address)!r} cannot be used for {url.scheme}: "
                "expected http://HOST:PORT",
                hint=f"set {url.scheme}_proxy to an http:// address, or no_proxy to the host",
            )
        return proxy

    def _connection(self, route: _Route) -> HTTPConnection:
        host, port = route.host, route.port
        if route.proxy is not None:
            host, port = route.proxy.hostname or "", route.proxy.port or 80
        if route.scheme == "http":
            return HTTPConnection(host, port, timeout=self._timeout)
        connection = HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        if route.proxy is not None:
            connection.set_tunnel(route.host, route.port or 443, _basic(route.proxy, proxy=True))
        return connection

    def _headers(self, url: SplitResult, route: _Route) -> dict[str, str]:
        # An answer packed for the transport would have another length and hash than the lock's.
        headers = {"User-Agent": "envtool", "Accept": "*/*", "Accept-Encoding": "identity"}
        if route.is_absolute and route.proxy is not None:
            headers |= _basic(route.proxy, proxy=True)
        if url.username is not None:
            return headers | _basic(url)
        known = self._netrc.authenticators(route.host) if self._netrc is not None else None
        return headers | _authorization(known[0], known[2]) if known else headers

    @cached_property
    def _proxies(self) -> Mapping[str, str]:
        return urllib.request.getproxies()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    @cached_property
    def _netrc(self) -> netrc.netrc | None:
        # Unreadable is as good as absent: most fetches need none, and a 401 tells of it.
        with suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
            return netrc.netrc(os.environ.get("NETRC") or os.path.expanduser("~/.netrc"))
        return None


def _drained(response: HTTPResponse) -> bool:
    """Read away what is left of an answer, if that is little; return whether nothing is left."""
    if response.isclosed():
        return True
    if response.length is None or response.length > DRAINED:
        return False
    response.read()
    return True


def _basic(url: SplitResult, *, proxy: bool = False) -> dict[str, str]:
    if url.username is None:
        return {}
    return _authorization(unquote(url.username), unquote(url.password or ""), proxy=proxy)


def _authorization(user: str, password: str, *, proxy: bool = False) -> dict[str, str]:
    name = "Proxy-Authorization" if proxy else "Authorization"
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {name: f"Basic {token}"}
