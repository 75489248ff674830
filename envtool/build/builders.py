"""The built-in builders: each turns one derivation into a placed, not yet registered store object.

They run in process. What runs code of a package, the building of source projects, is
`envtool.build.project`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from envtool.build import bytecode
from envtool.build.compose import Component, Pointer, Specification, compose
from envtool.build.finding import Finder, store_names
from envtool.errors import BuildError, FetchError, SandboxError
from envtool.formats.nix import nar
from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.references import ReferenceScanner
from envtool.formats.nix.storepath import StorePath
from envtool.machine.database import PathInfo
from envtool.machine.disk import disk_errors
from envtool.machine.metadata import canonicalise, delete_tree
from envtool.machine.store import Store
from envtool.plan.instantiate import (
    BUILD,
    DEBIAN_INTERPRETER,
    DEBIAN_ROOT,
    ENVIRONMENT,
    FETCH,
    INTERPRETER,
    LIBRARIES,
    LOCAL,
    LOCAL_INTERPRETER,
    LOCAL_PROGRAMS,
    SYSTEM_ROOT,
    UNPACK,
    UNPACK_DEB,
    UNPACK_STANDALONE,
)
from envtool.reporting import Kind, Reporter, Step
from envtool.values import value

if TYPE_CHECKING:
    from envtool.build.project import Build
    from envtool.build.worker import Workers
    from envtool.machine.fetching.arrival import Arrived
    from envtool.machine.fetching.fetch import Fetcher

_ABOUT = "interpreter.json"
"""In an interpreter's store object: where it lies on the host, and what it is."""
_FOREIGN = ("archive", "commit")
"""Variables of a build whose code comes from elsewhere than the user's own disk."""
_KINDS: Mapping[str, Kind] = {
    FETCH: "fetch",
    UNPACK: "unpack",
    UNPACK_DEB: "unpack",
    UNPACK_STANDALONE: "unpack",
    DEBIAN_INTERPRETER: "build",
    DEBIAN_ROOT: "build",
    LIBRARIES: "build",
    BUILD: "build",
    LOCAL_PROGRAMS: "compose",
    ENVIRONMENT: "compose",
}
"""What a user may want to watch; the rest is done in no time."""


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


def kind(derivation: Derivation) -> Kind | None:
    """Return what sort of work realising the derivation is; None when there is nothing to watch."""
    return _KINDS.get(derivation.builder)


def build(context: Context, path: StorePath) -> PathInfo:
    """Realise the derivation at `path`, whose inputs are in place, and place its output.

    :raises BuildError: the builder is unknown, or the output names the physical store although its
        derivation is not local.
    :raises StoreError: the disk refuses.
    """
    derivation = context.derivations[path]
    builder = _BUILDERS.get(derivation.builder)
    if builder is None:
        raise BuildError(f"{derivation.name}: unknown builder {derivation.builder!r}")
    work = kind(derivation)
    step = Step(work or "compose", _label(derivation), _size(derivation))
    if work:
        context.reporter.start(step)
    with disk_errors(f"realise {derivation.name}"):
        info = builder(context, path, derivation, step)
    if work:
        context.reporter.finish(step)
    return info


def _label(derivation: Derivation) -> str:
    return derivation.environment.get("wheel", derivation.name)


def _size(derivation: Derivation) -> int | None:
    size = derivation.environment.get("size")
    return int(size) if size else None


@contextmanager
def scratch(store: Store, name: str) -> Iterator[str]:
    """Give a new path in the store directory; whatever is left at it afterwards is removed."""
    path = store.scratch(name)
    try:
        yield path
    finally:
        delete_tree(path)


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
            size=_size(derivation),
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
        return _placed(context, path, derivation, target, set())


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
        return _placed(context, path, derivation, target, set())


def _debian_root(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    from envtool.build.system.making import make
    from envtool.machine import sandbox

    environment = derivation.environment
    settings = context.store.settings
    os.makedirs(settings.logs, exist_ok=True)
    debs = [(context.physical(full), name) for full, name in json.loads(environment["debs"])]
    with scratch(context.store, derivation.name) as target:
        for note in make(
            debs,
            target,
            bwrap=sandbox.require(settings.path),
            log=f"{settings.logs}/{path}.log",
            allowed=frozenset(json.loads(environment["allowed"])),
            jobs=settings.jobs,
        ):
            context.reporter.note(note)
        return _placed(context, path, derivation, target, {derivation.output_path()})


def _debian_interpreter(
    context: Context, path: StorePath, derivation: Derivation, _: Step
) -> PathInfo:
    from envtool.build.closed.making import make

    environment = derivation.environment
    trees = [context.physical(full) for full in json.loads(environment["packages"])]
    with scratch(context.store, derivation.name) as target:
        make(trees, target, environment["feature"])
        return _placed(context, path, derivation, target, {derivation.output_path()})


def _libraries(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    from envtool.build.closed.libraries import join_libraries

    environment = derivation.environment
    trees = [context.physical(full) for full in json.loads(environment["packages"])]
    with scratch(context.store, derivation.name) as target:
        join_libraries(trees, target, environment["multiarch"])
        return _placed(context, path, derivation, target, {derivation.output_path()})


def _local_interpreter(
    context: Context, path: StorePath, derivation: Derivation, _: Step
) -> PathInfo:
    from envtool.build.closed.localising import find_patchelf, localise

    environment = derivation.environment
    output = derivation.output_path()
    libraries = environment.get("libraries")
    with scratch(context.store, derivation.name) as target:
        localise(
            context.physical(environment["closed"]),
            target,
            place=context.store.physical(output),
            version=environment["version"],
            abi=environment["abi"],
            drivers=json.loads(environment.get("drivers", "{}")),
            patchelf=find_patchelf(context.store.settings.path),
            libraries=context.physical(libraries) if libraries else None,
        )
        candidates = {output, StorePath.parse_full(environment["closed"])}
        if libraries:
            candidates.add(StorePath.parse_full(libraries))
        return _placed(context, path, derivation, target, candidates)


def _local_programs(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    from envtool.build.closed.localising import find_patchelf
    from envtool.build.closed.programs import localise_programs

    environment = derivation.environment
    wheel = StorePath.parse_full(environment["wheel"])
    interpreter = StorePath.parse_full(environment["interpreter"])
    with scratch(context.store, derivation.name) as target:
        localise_programs(
            context.store.physical(wheel),
            target,
            f"{context.store.physical(interpreter)}/bin/python",
            patchelf=find_patchelf(context.store.settings.path),
            note=lambda text: context.reporter.note(f"{wheel.name}: {text}"),
        )
        # The search path names what the interpreter's leads to.
        candidates = {wheel, *context.store.database.requisites({interpreter})}
        for below in derivation.input_derivations.keys() & context.derivations.keys():
            candidates |= _closure(context, context.derivations[below])
        return _placed(context, path, derivation, target, candidates)


def _interpreter(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    environment = derivation.environment
    executable = environment["executable"]
    with scratch(context.store, derivation.name) as target:
        os.makedirs(f"{target}/bin")
        os.symlink(executable, f"{target}/bin/{os.path.basename(executable)}")
        fields = ("executable", "sha256", "version", "abi")
        text = json.dumps({field: environment[field] for field in fields}, indent=1)
        with open(f"{target}/{_ABOUT}", "w", encoding="utf-8") as file:
            file.write(text + "\n")
        return _placed(context, path, derivation, target, {derivation.output_path()})


def _environment(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    environment = derivation.environment
    store = context.store
    output = derivation.output_path()
    packages: dict[str, str] = json.loads(environment["packages"])
    interpreter = StorePath.parse_full(environment["interpreter"])
    objects = {name: StorePath.parse_full(full) for name, full in packages.items()}
    with open(f"{store.physical(interpreter)}/{_ABOUT}", "rb") as file:
        python = json.load(file)
    specification = Specification(
        store=store.settings.store,
        base=output,
        interpreter=interpreter,
        executable=python["executable"],
        version=python["version"],
        components=tuple(Component(name, base) for name, base in objects.items()),
        bytecode=bytecode.prefix(store.settings.cache, output),
        collisions=environment["collisions"],
        pointers=tuple(
            Pointer(name, path, tuple(hosts)) for name, path, hosts in python.get("pointers", ())
        ),
    )
    with scratch(store, derivation.name) as target:
        for collision in compose(specification, target).collisions:
            context.reporter.note(f"{collision}; the first is used")
        candidates = {output, interpreter, *objects.values()}
        if SYSTEM_ROOT in environment:
            system = StorePath.parse_full(environment[SYSTEM_ROOT])
            os.symlink(f"../{system}", f"{target}/system")
            candidates.add(system)
        # What it is made of is registered with its closure, or else its derivation is at hand.
        candidates |= store.database.requisites(candidates).keys()
        for below in derivation.input_derivations.keys() & context.derivations.keys():
            candidates |= _closure(context, context.derivations[below])
        return _placed(context, path, derivation, target, candidates)


def _placed(
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


def _closure(context: Context, derivation: Derivation) -> set[StorePath]:
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


def _project(context: Context, path: StorePath, derivation: Derivation, _: Step) -> PathInfo:
    from envtool.build import project
    from envtool.build.unpack import unpack

    environment = derivation.environment
    logs = context.store.settings.logs
    os.makedirs(logs, exist_ok=True)
    with scratch(context.store, f"{derivation.name}-build") as work:
        os.mkdir(work, 0o700)
        build = project.Build(
            package=environment["package"],
            tools=context.physical(environment["environment"]),
            work=work,
            log=f"{logs}/{path}.log",
            editable="project" in environment,
            bwrap=_bwrap(context, environment),
            inputs=_visible(context, derivation),
        )
        wheel = project.build_wheel(build, _source(context, build, environment))
        with scratch(context.store, derivation.name) as target:
            older = context.older.get(derivation.output_path().name)
            unpack(wheel, os.path.basename(wheel), target, older=older)
            candidates = _closure(context, derivation)
            return _placed(context, path, derivation, target, candidates)


def _bwrap(context: Context, environment: Mapping[str, str]) -> str | None:
    """Return the program that makes the sandbox of a build; None when it goes without."""
    from envtool.machine import sandbox

    settings = context.store.settings
    if settings.sandbox == "off":
        return None
    try:
        return sandbox.require(settings.path)
    except SandboxError as error:
        if settings.sandbox == "auto" and environment.keys().isdisjoint(_FOREIGN):
            context.reporter.note(f"{environment['package']} is built without a sandbox: {error}")
            return None
        raise SandboxError(
            f"{environment['package']} must be built, and {error}",
            hint=f"{error.hint}; or, if you trust its authors: export ENVTOOL_SANDBOX=off",
        ) from error


def _visible(context: Context, derivation: Derivation) -> tuple[str, ...]:
    store = context.store
    inputs = _closure(context, derivation) - {derivation.output_path()}
    return (*map(store.physical, sorted(inputs)), f"{store.settings.cache}/bytecode")


def _source(context: Context, build: "Build", environment: Mapping[str, str]) -> str:
    """Return the folder to build: the user's own for an editable, else a private copy."""
    from envtool.build import project

    if build.editable:
        return environment["project"]
    source = context.physical(environment["src"])
    if "archive" in environment:
        return project.extracted(source, build.work, build.package)
    copy = project.copied(source, build.work)
    return f"{copy}/{environment['subdirectory']}" if "subdirectory" in environment else copy


_Builder = Callable[[Context, StorePath, Derivation, Step], PathInfo]
_BUILDERS: Mapping[str, _Builder] = {
    FETCH: _fetch,
    UNPACK: _unpack,
    UNPACK_DEB: _unpack_deb,
    UNPACK_STANDALONE: _unpack_standalone,
    INTERPRETER: _interpreter,
    DEBIAN_ROOT: _debian_root,
    DEBIAN_INTERPRETER: _debian_interpreter,
    LIBRARIES: _libraries,
    LOCAL_INTERPRETER: _local_interpreter,
    LOCAL_PROGRAMS: _local_programs,
    ENVIRONMENT: _environment,
    BUILD: _project,
}
