"""What comes from elsewhere: fetched, and unpacked into an object of its own."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from envtool.build.builders.context import Builder, Context, declared_size, placed, scratch
from envtool.build.finding import store_names
from envtool.errors import FetchError
from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.store import Store
from envtool.plan.derivations import FETCH, UNPACK, UNPACK_DEB, UNPACK_STANDALONE
from envtool.reporting import Step

if TYPE_CHECKING:
    from envtool.machine.fetching.arrival import Arrived
    from envtool.machine.fetching.fetch import Fetcher

__all__ = ["BUILDERS"]


def _fetch(context: Context, path: StorePath, derivation: Derivation, step: Step) -> PathInfo:
    environment = derivation.environment
    output = derivation.output_path()
    with scratch(context.store, derivation.name) as target:
        assert context.fetcher is not None, "the caller knew what is missing"
        arrived = _fetch_first(
            context.fetcher,
            context.store,
            environment,
            target,
            size=declared_size(derivation),
            on_bytes=lambda count: context.reporter.advance(step, count),
        )
        context.put(target, output, canonical=False)
    digest = Hash("sha256", bytes.fromhex(environment["outputHash"]))
    return PathInfo(
        path=output,
        nar_hash=arrived.nar_hash,
        nar_size=arrived.nar_size,
        references=frozenset(),
        deriver=path,
        ca=f"fixed:{digest}",
    )


def _fetch_first(
    fetcher: "Fetcher",
    store: Store,
    environment: Mapping[str, str],
    target: str,
    *,
    size: int | None,
    on_bytes: Callable[[int], None],
) -> "Arrived":
    """Fetch a file from the first place that has it; the last one's failure counts."""
    from envtool.machine.fetching.fetch import FetchCancelledError

    if "debian" in environment:
        from envtool.formats.debian.package import read_locked
        from envtool.machine.debian.locked import fetch_locked
        from envtool.machine.debian.mirrors import find_mirrors

        package = read_locked(json.loads(environment["debian"]))
        mirrors = find_mirrors(store.settings.debian_mirrors, store.settings.debian_past)
        return fetch_locked(fetcher, mirrors, package, target, on_bytes=on_bytes)
    urls, sha256 = _places(store, environment), environment["outputHash"]
    for url in urls[:-1]:
        try:
            return fetcher.fetch(url, target, sha256=sha256, size=size, on_bytes=on_bytes)
        except FetchCancelledError:
            raise
        except FetchError:
            continue  # what one mirror lacks or garbles another has
    return fetcher.fetch(urls[-1], target, sha256=sha256, size=size, on_bytes=on_bytes)


def _places(store: Store, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the URLs at which the file of a fetch can be had, the best place first."""
    if "standalone" in environment and store.settings.standalone_mirror:
        mirror = store.settings.standalone_mirror.rstrip("/")
        return (f"{mirror}/{environment['standalone']}", environment["url"])
    return (environment["url"],)


def _unpack(context: Context, path: StorePath, derivation: Derivation, step: Step) -> PathInfo:
    from envtool.build.unpack import unpack

    environment = derivation.environment
    output = derivation.output_path()
    wheel = context.physical(environment["src"])
    with scratch(context.store, derivation.name) as target:
        run = context.workers.unpack if context.workers else unpack
        unpacked = run(
            wheel,
            environment["wheel"],
            target,
            lambda count: context.reporter.advance(step, count),
            context.older.get(output.name),
            refused=store_names(context.store.settings.store),
            inheriting="search" in environment,
        )
        context.put(target, output, canonical=True)
    return PathInfo(
        path=output,
        nar_hash=unpacked.nar_hash,
        nar_size=unpacked.nar_size,
        # Of its input, the wheel, it cannot have the digest, which follows from what is in it.
        references=frozenset(),
        deriver=path,
        ca=None,
    )


def _unpack_deb(context: Context, path: StorePath, derivation: Derivation, step: Step) -> PathInfo:
    from envtool.sources.deb import Deb

    environment = derivation.environment
    with scratch(context.store, derivation.name) as target:
        with Deb(context.physical(environment["src"]), environment["deb"]) as deb:
            unpacked = deb.unpack(target, lambda count: context.reporter.advance(step, count))
        for place, mode in unpacked.stripped:
            context.reporter.note(f"{environment['deb']}: {place} loses its mode {mode:o}")
        return placed(context, path, derivation, target, set())


def _unpack_standalone(
    context: Context, path: StorePath, derivation: Derivation, step: Step
) -> PathInfo:
    from envtool.sources.standalone import unpack

    environment = derivation.environment
    with scratch(context.store, derivation.name) as target:
        archive = context.physical(environment["src"])
        unpack(
            archive,
            environment["archive"],
            target,
            lambda count: context.reporter.advance(step, count),
        )
        return placed(context, path, derivation, target, set())


BUILDERS: Mapping[str, Builder] = {
    FETCH: _fetch,
    UNPACK: _unpack,
    UNPACK_DEB: _unpack_deb,
    UNPACK_STANDALONE: _unpack_standalone,
}
