"""What every builder may use, and how a finished tree comes to its place."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from envtool.build.finding import Finder, store_names
from envtool.errors import BuildError
from envtool.formats.nix import nar
from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.references import ReferenceScanner
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.metadata import canonicalise, delete_tree
from envtool.machine.store import Store
from envtool.plan.derivations import LOCAL
from envtool.reporting import Reporter, Step
from envtool.values import value

if TYPE_CHECKING:
    from envtool.build.worker import Workers
    from envtool.machine.fetching.fetch import Fetcher

__all__ = ["ABOUT", "Builder", "Context", "closure", "declared_size", "placed", "scratch"]

ABOUT = "interpreter.json"
"""In an interpreter's store object: where it lies on the host, and what it is."""


@value
class Context:
    """What a builder may use."""

    store: Store
    fetcher: "Fetcher | None"
    """None when nothing has to be fetched."""
    reporter: Reporter
    derivations: Mapping[StorePath, Derivation]
    workers: "Workers | None" = None
    """Where wheels are unpacked; None: in this process."""
    older: Mapping[str, str] = MappingProxyType({})
    """By the name of an output, where its like lies to share files with (`machine.sharing`)."""

    place: Callable[[str, StorePath], object] | None = None
    """Takes a finished tree, in canonical form, that is to lie at a path; None: the store does."""

    def put(self, tree: str, path: StorePath, *, canonical: bool) -> None:
        """Move a finished tree to its place; `canonical` says that it has the form for it."""
        if self.place is None:
            self.store.place(tree, path, canonical=canonical)
            return
        if not canonical:
            canonicalise(tree)
        self.place(tree, path)

    def physical(self, full: str) -> str:
        """Return where the store path written in a derivation's variable lies here."""
        return self.store.physical(StorePath.parse_full(full))


@contextmanager
def scratch(store: Store, name: str) -> Iterator[str]:
    """Give a new path in the store directory; whatever is left at it afterwards is removed."""
    path = store.scratch(name)
    try:
        yield path
    finally:
        delete_tree(path)


def placed(
    context: Context,
    path: StorePath,
    derivation: Derivation,
    target: str,
    candidates: set[StorePath],
) -> PathInfo:
    """Scan, check and place the tree at `target` as the derivation's output.

    `candidates` is all that the output may refer to.
    """
    store = context.store
    output = derivation.output_path()
    scanner = ReferenceScanner(candidates)
    sink = nar.HashingSink()
    finder = Finder(store_names(store.settings.store))

    def everything(data: bytes) -> None:
        sink(data)
        scanner(data)
        finder(data)

    nar.dump(target, everything)
    if finder.found is not None and LOCAL not in derivation.environment:
        raise BuildError(
            f"{derivation.name}: its output names {finder.found}, a path of this machine",
            hint="the package writes absolute paths when it is built; declare it editable",
        )
    context.put(target, output, canonical=False)
    return PathInfo(
        path=output,
        nar_hash=sink.hash,
        nar_size=sink.size,
        references=scanner.found,
        deriver=path,
        ca=None,
    )


def closure(context: Context, derivation: Derivation) -> set[StorePath]:
    """Return what an output may refer to: itself and the closure of its inputs.

    Inputs whose derivations are not at hand are left out.
    """
    found = {derivation.output_path(), *derivation.input_sources}
    below = list(derivation.input_derivations)
    while below:
        each = context.derivations.get(below.pop())
        if each is not None and each.output_path() not in found:
            found |= {each.output_path(), *each.input_sources}
            below += each.input_derivations
    return found


def declared_size(derivation: Derivation) -> int | None:
    """Return the bytes that a derivation says it brings; None when it does not say."""
    size = derivation.environment.get("size")
    return int(size) if size else None


Builder = Callable[[Context, StorePath, Derivation, Step], PathInfo]
"""Places the output of the derivation at a path, not yet registered."""
