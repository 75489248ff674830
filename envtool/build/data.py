"""Data as fixed outputs: a file of the network that lies in the store under its hash."""

import os
import shlex
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from envtool.build.realise import realise
from envtool.errors import FetchError, FormatError
from envtool.formats.nix.derivation import Output
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath
from envtool.machine.fetching.fetch import AbsentError, Fetcher
from envtool.machine.flat import add_flat
from envtool.machine.store import Store
from envtool.plan.derivations import FETCH, Instantiation, derivation, store_name
from envtool.reporting import Reporter, Step

__all__ = ["fetch_data"]


def fetch_data(
    store: Store, fetcher: Fetcher, reporter: Reporter, url: str, sha256: str | None
) -> tuple[StorePath, Hash]:
    """Make a file valid in the store and return its path and hash. Call it in `Store.using`.

    `sha256` is in any of Nix's spellings; with None whatever arrives is taken. The name is the last
    word of the URL's path.

    :raises FetchError: the hash is none, or the file does not arrive or has another one.
    """
    name = store_name(os.path.basename(unquote(urlsplit(url).path)) or "data")
    if sha256 is None:
        return _fetch_any(store, fetcher, reporter, url, name)
    asked = f"envtool fetch {shlex.quote(url)}"
    try:
        wanted = Hash.parse(sha256, "sha256")
    except FormatError as error:
        raise FetchError(error.message, hint=f"to learn the hash: {asked}") from error
    made = Instantiation()
    variables = {
        "url": url,
        "outputHash": wanted.base16,
        "outputHashAlgo": "sha256",
        "outputHashMode": "flat",
    }
    fixed = derivation(name, FETCH, variables, output=Output(None, fixed=wanted))
    path = made.add(fixed)
    try:
        return realise(store, fetcher, reporter, made.derivations, path, jobs=1), wanted
    except FetchError as error:
        # What mends an artifact of a lock is of no use here.
        absent = isinstance(error, AbsentError)
        hint = _absence(url) if absent else f"to see what is there now: {asked}"
        raise FetchError(error.message, hint=hint) from error


def _fetch_any(
    store: Store, fetcher: Fetcher, reporter: Reporter, url: str, name: str
) -> tuple[StorePath, Hash]:
    step = Step("fetch", name)
    with TemporaryDirectory(prefix="envtool-") as folder:
        place = f"{folder}/{name}"
        reporter.expect("fetch", 1, None)
        reporter.start(step)
        try:
            fetcher.fetch(
                url, place, sha256=None, on_bytes=lambda size: reporter.advance(step, size)
            )
        except AbsentError as error:
            raise FetchError(error.message, hint=_absence(url)) from error
        reporter.finish(step)
        path = add_flat(store, place, name)
    ca = store.info(path).ca
    assert ca is not None, "a flat object is named after its contents"
    return path, Hash.parse(ca.removeprefix("fixed:"))


def _absence(url: str) -> str | None:
    return None if url.startswith("file:") else "see in a browser whether the address is right"
