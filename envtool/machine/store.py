"""The store: immutable objects below the physical store directory, valid once registered.

Adding is always the same four steps: write beside the others under a temporary name, rename
into place, flush the file system once for the whole batch, register the rows. A process killed
between any two of them leaves files that nobody takes for valid, and that the collector
removes. Who adds, or counts on what is valid, does so inside `Store.using`, which keeps all that
is asked about or made there from the collector (`envtool.machine.collecting.temproots`).
"""

import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from envtool.errors import FormatError, StoreError
from envtool.formats.nix import nar
from envtool.formats.nix.derivation import Derivation, parse, render
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import (
    StorePath,
    make_source,
    make_text,
)
from envtool.machine import linux
from envtool.machine.collecting.reserve import reserve
from envtool.machine.collecting.temproots import TemporaryRoots
from envtool.machine.database import Database, Outputs, PathInfo
from envtool.machine.disk import disk_errors
from envtool.machine.graph import references_first
from envtool.machine.locks import CollectorLock, OnWait, file_lock
from envtool.machine.metadata import DIRECTORY_MODE, MTIME, canonicalise, delete_tree
from envtool.machine.sharing.older import older_versions
from envtool.machine.sharing.opened import close_left_open
from envtool.machine.tree import Exclude, copy_tree, dump_tree
from envtool.values import value

if TYPE_CHECKING:
    from envtool.machine.settings import Settings

_DRV = ".drv"
_LONGEST_HINT = 150
_MOST_NAMED = 5


@value
class Text:
    """A text object that is to be added, such as a `.drv` file."""

    name: str
    data: bytes
    references: frozenset[StorePath] = frozenset()


class Store:
    """One store. Nothing is created before something is added; all methods are thread-safe."""

    def __init__(self, settings: "Settings") -> None:
        self.settings = settings
        self.database = Database(settings.database)
        self._collector = CollectorLock(f"{settings.state}/gc.lock")
        self._roots = TemporaryRoots(settings.temproots, self._collector)
        self._numbers = itertools.count()
        self._made = threading.Event()
        self._settled = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and give up temporary roots; the next use opens it again."""
        self.database.close()
        self._roots.close()

    # -- asking

    def physical(self, path: StorePath) -> str:
        """Return where the object lies on this machine, whether it is valid or not."""
        return f"{self.settings.store}/{path}"

    def is_valid(self, path: StorePath) -> bool:
        """Return whether the path is registered, and there."""
        return bool(self.valid([path]))

    def valid(self, paths: Iterable[StorePath]) -> set[StorePath]:
        """Return those of `paths` that are registered, and there, in one query.

        An object that somebody deleted by hand is thus realised again by whoever needs it. Inside
        `using` the answer stays true: what is valid stays so.
        """
        store = self.settings.store
        asked = list(paths)
        self._roots.keep(asked)
        return {each for each in self.database.valid(asked) if os.path.lexists(f"{store}/{each}")}

    def info(self, path: StorePath) -> PathInfo:
        """Return what is registered about `path`. :raises StoreError: it is not valid."""
        return self.infos([path])[path]

    def infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """Return what is registered about each path. :raises StoreError: one is not valid."""
        wanted = set(paths)
        self._roots.keep(wanted)
        found = self.database.infos(wanted)
        _require(wanted - found.keys())
        return found

    def closure(self, paths: Iterable[StorePath]) -> list[StorePath]:
        """Return `paths` and all they need, references before referrers, the same every time.

        :raises StoreError: one of `paths` is not valid.
        """
        wanted = set(paths)
        self._roots.keep(wanted)
        graph = self.database.requisites(wanted)
        _require(wanted - graph.keys())
        return references_first(graph)

    def referrers(self, path: StorePath) -> set[StorePath]:
        """Return the valid paths that refer to `path` directly, itself included if it does."""
        return self.database.referrers(path)

    def read_derivation(self, path: StorePath) -> Derivation:
        """Return the derivation in a `.drv` object.

        :raises StoreError: it is not there.
        :raises FormatError: it is none, or its text is not the one that led to `path`.
        """
        with (
            disk_errors(f"read derivation {path}"),
            open(
                self.physical(path), encoding="utf-8", errors="surrogateescape", newline=""
            ) as file,
        ):
            text = file.read()
        derivation = parse(text, path.name.removesuffix(_DRV))
        data = text.encode("utf-8", "surrogateescape")
        if (leads_to := make_text(path.name, data, derivation.references())) != path:
            raise FormatError(
                f"derivation {path} was changed on the disk: what it says belongs at {leads_to}",
                hint="find out what else was: envtool store verify --contents",
            )
        return derivation

    def check_derivations(self, paths: Iterable[StorePath]) -> dict[StorePath, Derivation]:
        """Return the derivations in these `.drv` objects, checked as `check_derivation` says.

        The objects need not be valid yet, nor those of their inputs.

        :raises StoreError: one, or an input of one, is not there.
        :raises FormatError: one must not be realised.
        """
        from envtool.formats.nix.validity import InputHashes, check_derivation

        inputs = InputHashes(self.read_derivation)
        found = {path: inputs.derivation(path) for path in paths}
        for path, derivation in found.items():
            check_derivation(path, derivation, inputs)
        return found

    # -- locking

    @contextmanager
    def using(self, on_wait: OnWait | None = None) -> Iterator[None]:
        """Keep from the collector what is asked about, locked or added in the block; it nests.

        Whatever is to outlive the block gets a lasting root in it, under `shared`.
        """
        with self._roots.using(on_wait):
            yield

    @contextmanager
    def shared(self, on_wait: OnWait | None = None) -> Iterator[None]:
        """Keep the collector away: to make a lasting root, or to look at the whole store."""
        with self._collector.shared(on_wait):
            self._settle()
            yield

    @contextmanager
    def exclusive(self, on_wait: OnWait | None = None) -> Iterator[None]:
        """Keep everybody from beginning to use anything: the collector's side of `shared`."""
        with self._collector.exclusive(on_wait):
            self._settle()
            yield

    def _settle(self) -> None:
        """Put right, once, what a killed process left in valid objects."""
        if not self._settled.is_set():
            close_left_open(self.settings)
            self._settled.set()

    @contextmanager
    def lock_path(
        self, path: StorePath, *, wait: bool = True, on_wait: OnWait | None = None
    ) -> Iterator[bool]:
        """Be the only one, of all threads and processes, who makes `path`; gives True.

        Whoever waited asks `is_valid` again. Waiting longer than a second calls `on_wait` once
        with a sentence. Without `wait` it gives False at once if somebody else makes it.
        """
        self._make_directory()
        self._roots.keep([path])
        lock = f"{self.physical(path)}.lock"
        with file_lock(lock, str(path), wait=wait, on_wait=on_wait) as held:
            yield held

    # -- adding

    def scratch(self, name: str) -> str:
        """Return a path in the store directory that nobody else uses; nothing is there yet.

        Make a file or a directory of it; `place` renames it. It is safe from collectors, a real Nix
        included, for as long as this process lives.
        """
        self._make_directory()
        number = next(self._numbers)
        return f"{self.settings.store}/{self._roots.scratch()}-{number}-{name[:_LONGEST_HINT]}"

    def _make_directory(self) -> None:
        if not self._made.is_set():
            with disk_errors("make the store directory"):
                if not os.path.isdir(self.settings.store):
                    os.makedirs(self.settings.store, 0o755, exist_ok=True)
                    os.makedirs(os.path.dirname(self.settings.database), exist_ok=True)
                    reserve(self.settings)
            self._made.set()

    def place(self, temporary: str, path: StorePath, *, canonical: bool) -> None:
        """Move a finished object to its place; it is valid only after `sync` and `register`.

        `canonical` promises modes 0444 and 0555 and mtime 1 all over; otherwise they are given.
        If the path is valid already, `temporary` is deleted; an unregistered leftover in its
        place is replaced.

        :raises StoreError: the tree holds a device, socket or FIFO, or the disk refuses.
        """
        self._roots.keep([path])
        with disk_errors(f"place {path}"):
            if not canonical:
                canonicalise(temporary)
            moved_up = self._let_move(temporary)
            while not linux.rename_new(temporary, self.physical(path)):
                if self.is_valid(path):
                    delete_tree(temporary)
                    return
                if linux.exchange(temporary, self.physical(path)):
                    delete_tree(temporary)
                    break
            if moved_up:
                os.chmod(self.physical(path), DIRECTORY_MODE)
                os.utime(self.physical(path), (MTIME, MTIME))

    def _let_move(self, temporary: str) -> bool:
        """Make a directory from elsewhere writable: moving it changes its `..` entry."""
        if os.path.dirname(temporary) == self.settings.store or os.path.islink(temporary):
            return False
        if is_directory := os.path.isdir(temporary):
            os.chmod(temporary, 0o700)
        return is_directory

    def sync(self) -> None:
        """Wait until all that was placed is on the disk; once per batch, before `register`."""
        if self.settings.fsync and os.path.isdir(self.settings.store):
            with disk_errors("flush the store to the disk"):
                linux.sync_file_system(self.settings.store)

    def register(self, infos: Sequence[PathInfo], outputs: Outputs | None = None) -> None:
        """Make placed objects valid, in one transaction.

        `outputs` are those of the `.drv` objects among them; None: they are read,
        and checked, since they come from elsewhere.

        :raises StoreError: a reference is neither valid nor in the batch; references within
            the batch form a cycle.
        """
        references_first({info.path: info.references for info in infos})
        if outputs is None:
            found = self.check_derivations(info.path for info in infos if info.path.endswith(_DRV))
            outputs = {path: output_paths(each) for path, each in found.items()}
        for info in self.database.register(infos, outputs):
            # Its object was lost, and what was made instead is not the same, as builds may be.
            if nar.hash_path(self.physical(info.path)) == (info.nar_hash, info.nar_size):
                self.database.correct(info)

    def add_text(self, name: str, data: bytes, references: Iterable[StorePath] = ()) -> StorePath:
        """Add a text object; return its path. :raises StoreError: a reference is not valid."""
        return self.add_texts([Text(name, data, frozenset(references))])[0]

    def add_texts(self, texts: Iterable[Text]) -> list[StorePath]:
        """Add text objects, which may refer to each other; return their paths in order."""
        batch = [(make_text(text.name, text.data, text.references), text) for text in texts]
        self._add_texts(batch)
        return [path for path, _ in batch]

    def _add_texts(
        self, batch: Sequence[tuple[StorePath, Text]], outputs: Outputs | None = None
    ) -> None:
        with self.using():
            self._check_references(batch)
            valid = self.valid(path for path, _ in batch)
            missing = {path: text for path, text in batch if path not in valid}
            for path, text in missing.items():
                self._place_text(path, text.data)
            if missing:
                self.sync()
                infos = [_text_info(path, text) for path, text in missing.items()]
                self.register(infos, outputs and {path: outputs[path] for path in missing})

    def _check_references(self, batch: Sequence[tuple[StorePath, Text]]) -> None:
        """Refuse a batch that could not be registered before anything of it is written."""
        needed = {reference for _, text in batch for reference in text.references}
        _require(needed.difference(path for path, _ in batch) - self.valid(needed))

    def _place_text(self, path: StorePath, data: bytes) -> None:
        temporary = self.scratch(path.name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with (
                disk_errors(f"write {path}"),
                open(os.open(temporary, flags, 0o600), "wb") as file,
            ):
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o444)
                os.utime(file.fileno(), (MTIME, MTIME))
            self.place(temporary, path, canonical=True)
        except BaseException:
            delete_tree(temporary)
            raise

    def add_derivations(self, derivations: Iterable[Derivation]) -> list[StorePath]:
        """Add the `.drv` objects that are missing; return the paths of all, in order.

        :raises StoreError: an input is neither valid nor among them.
        """
        given = list(derivations)
        texts = [_derivation_text(each) for each in given]
        paths = [make_text(text.name, text.data, text.references) for text in texts]
        outputs = {path: output_paths(each) for path, each in zip(paths, given, strict=True)}
        self._add_texts(list(zip(paths, texts, strict=True)), outputs)
        return paths

    def add_tree(self, source: str, name: str, *, exclude: Exclude | None = None) -> StorePath:
        """Add a file or a directory by its contents; it is copied only if it is not valid yet.

        :raises StoreError: it cannot be read, or holds what a store object cannot hold.
        """
        with self.using(), disk_errors(f"add {source} to the store"):
            sink = nar.HashingSink()
            with nar.aside(sink) as feed:
                dump_tree(source, feed, exclude=exclude)
            path = make_source(name, sink.hash.digest)
            if self.is_valid(path):
                return path
            temporary = self.scratch(name)
            older = older_versions(self.settings, self.database, [name]).get(name)
            try:
                sink = nar.HashingSink()
                with nar.aside(sink) as feed:
                    copy_tree(source, temporary, feed, exclude=exclude, older=older)
                # The copy counts: the source may have changed since it was hashed.
                path = make_source(name, sink.hash.digest)
                self.place(temporary, path, canonical=True)
            except BaseException:
                delete_tree(temporary)
                raise
            ca = f"fixed:r:{sink.hash}"
            self.sync()
            self.register([PathInfo(path, sink.hash, sink.size, frozenset(), ca=ca)])
        return path


def _require(missing: set[StorePath]) -> None:
    if missing:
        names = sorted(missing)
        shown = ", ".join(names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        raise StoreError(f"not in the store: {shown}{more}", hint="realise it: envtool build")


def _derivation_text(derivation: Derivation) -> Text:
    return Text(
        f"{derivation.name}{_DRV}",
        render(derivation).encode("utf-8", "surrogateescape"),
        derivation.references(),
    )


def output_paths(derivation: Derivation) -> dict[str, StorePath]:
    """Return the outputs that the derivation knows the paths of, by name."""
    return {
        name: output.path for name, output in derivation.outputs.items() if output.path is not None
    }


def _text_info(path: StorePath, text: Text) -> PathInfo:
    sink = nar.HashingSink()
    sink(nar.MAGIC)
    sink(nar.regular_open(len(text.data), executable=False))
    sink(text.data)
    sink(nar.regular_close(len(text.data)))
    ca = f"text:{Hash.of(text.data)}"
    return PathInfo(path, sink.hash, sink.size, text.references, ca=ca)
