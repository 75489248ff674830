"""What generations say about where their closure came from: derivations, sources, texts.

The object of a generation holds its declaration and its lock, so that all derivations that led to
its environment can be instantiated again when their `.drv` files are lost; where it is linked from
says which project it belongs to, so that local sources are found as well.
"""

import os
from collections.abc import Iterator
from typing import Any

from envtool.errors import EnvtoolError
from envtool.formats import generation as generations
from envtool.formats import lock as locks
from envtool.formats.generation import Record
from envtool.formats.locked import builds_inside
from envtool.formats.nix.derivation import Derivation
from envtool.formats.nix.storepath import StorePath
from envtool.machine import project as projects
from envtool.machine.collecting.roots import find_roots
from envtool.machine.store import Store
from envtool.plan.chosen import closed_interpreter, host_interpreter
from envtool.plan.derivations import Instantiation
from envtool.plan.gather import Gatherer
from envtool.plan.instantiate import add_environment, add_packages
from envtool.plan.system import add_system
from envtool.values import value

__all__ = ["TEXTS", "Origin", "derivations", "local_sources", "origins", "project_texts"]

TEXTS = (generations.RECORD, generations.DECLARATION, generations.LOCK)
"""The files of a generation's object."""


@value
class Origin:
    """One generation of one project."""

    path: StorePath
    declaration: str
    """Absolute path of the declaration's file, which need not be there any more."""
    environment: str
    """Its name in the declaration."""
    texts: dict[str, bytes]
    """Those of the object's files that can be read, true or not, by name."""

    def record(self) -> Record:
        """Return the record. :raises EnvtoolError: it is lost or damaged."""
        return generations.parse(self.texts.get(generations.RECORD, b""), self.path)


def origins(store: Store) -> list[Origin]:
    """Return the generations that links below `var/profiles` lead to."""
    found: dict[StorePath, Origin] = {}
    for root in find_roots(store.settings):
        if root.kind == "profile":
            folder, link = os.path.split(root.source.removeprefix(store.settings.profiles))
            environment = link.removesuffix("-link").rpartition("-")[0]
            texts = dict(_texts(store.physical(root.path)))
            found.setdefault(root.path, Origin(root.path, folder, environment, texts))
    return list(found.values())


def _texts(place: str) -> Iterator[tuple[str, bytes]]:
    for name in TEXTS:
        try:
            with open(f"{place}/{name}", "rb") as file:
                yield name, file.read()
        except OSError:
            continue


def project_texts(origin: Origin) -> Iterator[tuple[str, bytes]]:
    """Yield the declaration and the lock that the project has now, as a generation keeps them."""
    try:
        record = origin.record()
        project = projects.read_text(origin.declaration)
        kind: Any = record.kind
        text = projects.declaration_text(origin.declaration, kind, text=project)
        yield generations.DECLARATION, text.encode("utf-8", "surrogatepass")
        lock = projects.read_lock_text(origin.declaration, kind, origin.environment)
        if lock is not None:
            yield generations.LOCK, lock.encode("utf-8")
    except EnvtoolError:
        return


def derivations(store: Store, origin: Origin) -> dict[StorePath, Derivation]:
    """Return the derivations that the generation's lock leads to, by `.drv` path.

    Local sources that the store lacks are added to it.

    :raises EnvtoolError: the texts are damaged, its Python or a source is gone.
    """
    record = origin.record()
    lock = _lock(origin)
    chosen = (
        closed_interpreter(store.settings, lock.python.pins, host_drivers=True)
        if lock.python.source != "host"
        else host_interpreter(store.settings, f"=={record.python}", None)
    )
    interpreter = chosen.interpreter
    gatherer = Gatherer(
        store=store,
        folder=os.path.dirname(origin.declaration),
        interpreter=interpreter,
        offline=store.settings.offline,
    )
    made = Instantiation()
    python = chosen.add(made)
    system = None if lock.system is None else add_system(made, lock.system)
    tools = system if builds_inside(lock.system, lock.python.pins) else None
    add_packages(made, gatherer.gather(lock), python, interpreter, system=tools)
    for entered in {python, chosen.add_entered(made)}:
        chosen.add_programs(made, entered)
        for collisions in ("refuse", "warn"):
            add_environment(
                made, record.name, entered, interpreter, collisions=collisions, system=system
            )
    return made.derivations


def local_sources(origin: Origin) -> Iterator[str]:
    """Yield the folders of projects that the generation's lock takes sources from."""
    try:
        packages = _lock(origin).packages
    except EnvtoolError:
        return
    folder = os.path.dirname(origin.declaration)
    for package in packages:
        if package.directory is not None and not package.directory.editable:
            yield os.path.normpath(os.path.join(folder, package.directory.path))


def _lock(origin: Origin) -> locks.Lock:
    text = origin.texts.get(generations.LOCK, b"").decode("utf-8", "replace")
    return locks.parse(text, path=origin.path)
