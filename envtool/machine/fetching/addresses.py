"""Addresses of what is fetched: read, shown without secrets, and followed when a server redirects.

Apart from the connections, since whoever only shows one need not load HTTP and TLS: 20 ms.
"""

import re
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from envtool.errors import FetchError

__all__ = ["parse_url", "redirected", "without_secrets"]

_SAFE = "%/:=&?~#+!$,;'@()*[]"


def without_secrets(url: str) -> str:
    """Return the URL as it may be shown: no user, no password, no query (it may be signed)."""
    address, question, _ = url.partition("?")
    scheme, separator, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    shown = authority.rpartition("@")[2]
    return f"{scheme}{separator}{shown}{slash}{path}{'?…' if question else ''}"


def parse_url(url: str) -> SplitResult:
    """Return the parts of an http, https or file URL, with its path quoted as HTTP wants it.

    :raises FetchError: another scheme, no host, or a port that is none.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - the property raises
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise FetchError(f"{without_secrets(url)!r} is not a URL") from error
    if parts.scheme not in {"http", "https", "file"}:
        raise FetchError(
            f"{without_secrets(url)!r} cannot be fetched: "
            f"its scheme is {parts.scheme!r}, not http, https or file"
        )
    if parts.scheme != "file" and not re.fullmatch(r"[^\x00-\x20\x7f]+", parts.hostname or ""):
        raise FetchError(f"{without_secrets(url)!r} names no host")
    return parts._replace(
        path=quote(parts.path, safe=_SAFE), query=quote(parts.query, safe=_SAFE), fragment=""
    )


def redirected(url: SplitResult, location: str | None) -> SplitResult:
    """Return where a redirect leads; credentials go along only to the same origin.

    :raises FetchError: no target, or one that is less safe than its source: from https to
        http, or from the network to a file.
    """
    shown = without_secrets(url.geturl())
    if not location:
        raise FetchError(f"{shown}: the server redirects, but does not say where to")
    target = parse_url(urljoin(url.geturl(), location))
    if target.scheme == "file" or (url.scheme, target.scheme) == ("https", "http"):
        raise FetchError(
            f"{shown}: refused the redirect from {url.scheme} to {without_secrets(target.geturl())}"
        )
    if (target.scheme, target.hostname, target.port) == (url.scheme, url.hostname, url.port):
        return target._replace(netloc=url.netloc)
    return target
