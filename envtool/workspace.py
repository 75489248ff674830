"""The one object that the faces use: from a declaration to a generation, and what follows.

Composition only: each step is one of the floors below. What `envtool run` needs of it (opening a
project, its current generation, the change of variables) imports nothing heavy, so the imports of
everything else stand in the methods.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envtool.errors import LockError, ProfileError
from envtool.formats import entry
from envtool.formats.activation import EnvironmentChange, change
from envtool.formats.generation import Package, Record
from envtool.machine import project as projects
from envtool.machine.profile import Profile, profile_of
from envtool.machine.settings import Settings
from envtool.reporting import Reporter, SilentReporter

if TYPE_CHECKING:
    from envtool.formats.declaration import Declaration, Kind, PathSource
    from envtool.formats.lock import Lock
    from envtool.formats.storepath import StorePath
    from envtool.machine.gc import GcPlan
    from envtool.machine.store import Store
    from envtool.plan.instantiate import Instantiation, Selected
    from envtool.sources.interpreter import Interpreter

__all__ = [
    "Changes",
    "Generation",
    "Package",
    "Pending",
    "Plan",
    "Project",
    "Record",
    "Workspace",
    "compare",
    "open_project",
]


@dataclass(frozen=True, slots=True)
class Project:
    """Which declaration is meant, and which environment of it."""

    path: str
    """Absolute path of the declaration's file."""
    kind: "Kind"
    environment: str
    """`default` or the name of an `[env.NAME]` table."""

    @property
    def folder(self) -> str:
        """Absolute folder of the declaration; relative paths in it start here."""
        return os.path.dirname(self.path)


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two sets of packages; each sorted by name."""

    added: tuple[Package, ...]
    removed: tuple[Package, ...]
    changed: tuple[tuple[Package, Package], ...]
    """Before and after."""
    python: tuple[str | None, str]
    """Version before (None: there was nothing) and after."""

    def __bool__(self) -> bool:
        """Say whether anything differs."""
        same_python = self.python[0] == self.python[1]
        return not same_python or bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class Pending:
    """Something that realising would fetch or build."""

    label: str
    size: int | None
    """Bytes to fetch; None when the lock does not know, and for builds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `switch` would do."""

    environment: "StorePath"
    fetch: tuple[Pending, ...]
    build: tuple[Pending, ...]
    changes: Changes
    """Against the current generation."""
    fetch_size: int | None
    """Bytes; None when a size is unknown."""
    lock_changed: bool
    up_to_date: bool
    """Nothing would change at all."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation as the user sees it."""

    number: int
    path: "StorePath"
    created: float
    """Seconds since the epoch."""
    current: bool
    record: Record
    changes: Changes
    """Against the generation before it."""
    size: int
    """Bytes of its closure."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for: the declaration and its answer, not yet written anywhere."""

    declaration: "Declaration"
    text: str
    """The declaration's text, as the generation keeps it."""
    lock: "Lock"
    lock_text: str
    lock_changed: bool
    interpreter: "Interpreter"


@dataclass(frozen=True, slots=True)
class _Planned:
    """The same, as derivations."""

    asked: _Asked
    selection: "tuple[Selected, ...]"
    made: "Instantiation"
    environment: "StorePath"
    """The environment's `.drv`."""

    @property
    def output(self) -> "StorePath":
        """The environment's store path."""
        return self.made.output(self.environment)


def open_project(start: str, *, file: str | None = None, environment: str = "default") -> Project:
    """Return the project that holds in the folder `start`, or that of an explicit file.

    :raises DeclarationError: there is none.
    """
    path, kind = projects.find(start, file=file)
    return Project(path, kind, environment)


def compare(
    before: Sequence[Package], after: Sequence[Package], python: tuple[str | None, str]
) -> Changes:
    """Return what differs between two sets of packages."""
    old = {package.name: package for package in before}
    new = {package.name: package for package in after}
    both = sorted(old.keys() & new.keys())
    return Changes(
        added=tuple(new[name] for name in sorted(new.keys() - old.keys())),
        removed=tuple(old[name] for name in sorted(old.keys() - new.keys())),
        changed=tuple((old[n], new[n]) for n in both if _identity(old[n]) != _identity(new[n])),
        python=python,
    )


def _identity(package: Package) -> object:
    """Return what tells one build of a package from another: its object, or else its version."""
    return package.path or package.version


class Workspace:
    """A root, and what can be done in it."""

    def __init__(self, settings: Settings, reporter: Reporter | None = None) -> None:
        self.settings = settings
        self.reporter = reporter or SilentReporter()
        self._store: Store | None = None

    @property
    def store(self) -> "Store":
        """The store, opened at first use."""
        from envtool.machine.store import Store

        if self._store is None:
            self._store = Store(self.settings)
        return self._store

    def physical(self, path: "StorePath") -> str:
        """Return where a store path lies on this machine."""
        return f"{self.settings.store}/{path}"

    # Entering: nothing heavy

    def profile(self, project: Project) -> Profile:
        """Return the profile of the project's environment; it may have no generation yet."""
        return profile_of(self.settings, project.path, project.environment)

    def current(self, project: Project) -> tuple[int, Record] | None:
        """Return number and record of the current generation; None when there is none yet."""
        generation = self.profile(project).current()
        if generation is None:
            return None
        return generation.number, self.record(generation.path)

    def record(self, path: "StorePath") -> Record:
        """Return the record of a generation's store object.

        :raises ProfileError: the object is gone or is no generation.
        """
        from envtool.formats import generation

        place = f"{self.physical(path)}/{generation.RECORD}"
        try:
            with open(place, "rb") as file:
                return generation.parse(file.read(), place)
        except OSError as error:
            raise ProfileError(
                f"{place} cannot be read: {error.strerror}",
                hint="make a new generation: envtool switch",
            ) from error

    def drifted(self, project: Project, record: Record) -> bool:
        """Say whether the declaration is not the one that the generation came from.

        Comments count as changes only where they change what is asked for.
        """
        text = projects.declaration_text(project.path, project.kind)
        if _sha256(text) == record.declaration_sha256:
            return False
        from envtool.formats.declaration import lock_digest

        declaration = projects.read(project.path, project.kind, project.environment)
        same = lock_digest(declaration) == record.lock_digest
        return not same or dict(declaration.variables) != record.variables

    def activation(self, record: Record, number: int, project: Project) -> EnvironmentChange:
        """Return the change of variables that enters a generation."""
        environment = self.physical(record.environment)
        return change(
            assign=entry.assigned(environment, str(number), project.folder, record.variables),
            unset=entry.REMOVED,
            prepend={"PATH": [entry.programs(environment)]},
        )

    # From a declaration to a generation

    def lock(
        self,
        project: Project,
        *,
        upgrade: bool | Sequence[str] = False,
        exclude_newer: str | None = None,
    ) -> "tuple[Lock, Changes | None]":
        """Bring the lock up to date and write it; the changes are None when there were none.

        :raises ResolutionError: the requirements cannot be satisfied.
        :raises LockError: the lock cannot be written.
        """
        before = self._written_lock(project)
        asked = self._ask(project, upgrade=upgrade, exclude_newer=exclude_newer)
        if not asked.lock_changed:
            return asked.lock, None
        self._write_lock(project, asked)
        former = _locked_packages(before) if before else []
        python = (before.python.version if before else None, asked.lock.python.version)
        return asked.lock, compare(former, _locked_packages(asked.lock), python)

    def check_lock(self, project: Project) -> None:
        """Check that the lock answers the declaration.

        :raises LockError: it is missing or stale.
        """
        from envtool.formats.declaration import lock_digest

        declaration = projects.read(project.path, project.kind, project.environment)
        lock = self._written_lock(project)
        name = os.path.basename(project.path)
        if lock is None:
            raise LockError(f"{name} has no lock", hint="envtool lock")
        if lock.declaration != lock_digest(declaration):
            raise LockError(f"the lock is not for {name} as it is now", hint="envtool lock")

    def plan(self, project: Project) -> Plan:
        """Return what `switch` would do; a stale lock is resolved in memory only."""
        from envtool.build.realise import missing

        planned = self._plan(self._ask(project))
        todo = missing(self.store, planned.made.derivations, [planned.environment])
        fetch = [self._pending(planned, path) for path in todo.fetch]
        sizes = [pending.size for pending in fetch]
        current = self.current(project)
        changes = self._changes(current[1] if current else None, planned)
        return Plan(
            environment=planned.output,
            fetch=tuple(fetch),
            build=tuple(self._pending(planned, path) for path in todo.build),
            changes=changes,
            fetch_size=None if None in sizes else sum(size for size in sizes if size),
            lock_changed=planned.asked.lock_changed,
            up_to_date=current is not None and current[1].environment == planned.output,
        )

    def build(self, project: Project) -> "StorePath":
        """Realise the environment, write the lock, and return the environment's store path."""
        planned = self._plan(self._ask(project))
        self._realise(planned)
        if planned.asked.lock_changed:
            self._write_lock(project, planned.asked)
        return planned.output

    def switch(self, project: Project, *, save_lock: bool = True) -> tuple[Generation, bool]:
        """Make the environment that is asked for the current generation.

        Return it, and whether it is a new one. Without `save_lock` a new lock is kept in the
        generation only: the declaration's folder, or notebook, is not written to.
        """
        return self._switch(project, self._ask(project), None, save_lock=save_lock)

    def add(
        self, project: Project, requirements: Sequence[str], *, editable: bool = False
    ) -> tuple[Generation, bool]:
        """Add requirements to the declaration, lock and switch; `.` and `./…` are local projects.

        Nothing is written before the new environment is realised.
        """
        from envtool.formats.edit import add_requirements

        named, sources = self._local(project, requirements, editable=editable)
        text = add_requirements(
            projects.read_text(project.path),
            kind=project.kind,
            requirements=named,
            environment=project.environment,
            sources=sources,
            file=project.path,
        )
        return self._switch_edited(project, text)

    def remove(self, project: Project, names: Sequence[str]) -> tuple[Generation, bool]:
        """Remove requirements from the declaration, lock and switch."""
        from envtool.formats.edit import remove_requirements

        text = remove_requirements(
            projects.read_text(project.path),
            kind=project.kind,
            names=names,
            environment=project.environment,
            file=project.path,
        )
        return self._switch_edited(project, text)

    # Generations

    def generations(self, project: Project) -> list[Generation]:
        """Return the project's generations, oldest first."""
        found: list[Generation] = []
        profile = self.profile(project)
        current = profile.current()
        before: Record | None = None
        for each in profile.generations():
            record = self.record(each.path)
            python = (before.python if before else None, record.python)
            found.append(
                Generation(
                    number=each.number,
                    path=each.path,
                    created=each.created,
                    current=current is not None and each.number == current.number,
                    record=record,
                    changes=compare(before.packages if before else (), record.packages, python),
                    size=self._closure_size(each.path),
                )
            )
            before = record
        return found

    def rollback(self, project: Project, number: int | None = None) -> tuple[int, int]:
        """Make an earlier generation (or number N) current; return the numbers from and to.

        :raises ProfileError: there is no such generation.
        """
        profile = self.profile(project)
        if number is None:
            former, now = profile.roll_back()
            return former.number, now.number
        current = profile.current()
        now = profile.switch(number)
        return current.number if current else now.number, now.number

    def tree(self, project: Project) -> list[Package]:
        """Return the packages of the current generation, or of the lock before there is one.

        :raises LockError: there is neither.
        """
        current = self.current(project)
        if current is not None:
            return list(current[1].packages)
        lock = self._written_lock(project)
        if lock is None:
            raise LockError("there is neither a generation nor a lock yet", hint="envtool switch")
        return _locked_packages(lock)

    def why(self, project: Project, name: str) -> list[tuple[str, ...]]:
        """Return the chains of names that lead from what the declaration asks for to `name`.

        Shortest first; empty when the environment does not have it.
        """
        from envtool.formats.requirement import normalised

        packages = self.tree(project)
        users: dict[str, list[str]] = {}
        for package in packages:
            for required in package.requires:
                users.setdefault(required, []).append(package.name)
        direct = {package.name for package in packages if package.direct}
        known = {package.name for package in packages}
        wanted = normalised(name)
        return _chains(wanted, users, direct) if wanted in known else []

    # Collecting

    def gc_plan(self) -> "GcPlan":
        """Return what nothing needs any more."""
        from envtool.machine import gc
        from envtool.machine.roots import find_roots

        return gc.plan(self.store, find_roots(self.settings))

    def collect(self, plan: "GcPlan") -> int:
        """Delete what the plan says and return the bytes freed."""
        from envtool.machine import gc

        return gc.collect(self.store, plan)

    # Steps

    def _ask(
        self,
        project: Project,
        *,
        text: str | None = None,
        upgrade: bool | Sequence[str] = False,
        exclude_newer: str | None = None,
    ) -> _Asked:
        """Return the declaration and a lock that answers it; `text` stands for an edited file."""
        from envtool.formats import lock as locks
        from envtool.formats.declaration import lock_digest, parse

        whole = projects.read_text(project.path) if text is None else text
        declaration = parse(
            whole, path=project.path, kind=project.kind, environment=project.environment
        )
        digest = lock_digest(declaration)
        written = self._written_lock(project)
        interpreter = self._interpreter(declaration, written)
        current = written is not None and written.declaration == digest
        if written is not None and current and not upgrade and exclude_newer is None:
            lock = written
        else:
            lock = self._resolve(
                declaration,
                digest,
                interpreter,
                previous=None if exclude_newer else written,
                upgrade=upgrade,
                exclude_newer=exclude_newer,
            )
        return _Asked(
            declaration=declaration,
            text=projects.declaration_text(project.path, project.kind, text=whole),
            lock=lock,
            lock_text=locks.render(lock),
            lock_changed=lock != written,
            interpreter=interpreter,
        )

    def _interpreter(self, declaration: "Declaration", lock: "Lock | None") -> "Interpreter":
        from envtool.sources.interpreter import find

        return find(
            declaration.python,
            prefer=lock.python.version if lock else None,
            environ=os.environ,
            cache_path=f"{self.settings.cache}/interpreters.json",
        )

    def _resolve(
        self,
        declaration: "Declaration",
        digest: str,
        interpreter: "Interpreter",
        *,
        previous: "Lock | None",
        upgrade: bool | Sequence[str],
        exclude_newer: str | None,
    ) -> "Lock":
        from envtool.machine.index import configured_index
        from envtool.plan.resolve import resolve
        from envtool.reporting import Step

        step = Step("resolve", declaration.name)
        self.reporter.start(step)
        lock = resolve(
            declaration,
            digest=digest,
            interpreter=interpreter,
            previous=previous,
            upgrade=upgrade,
            exclude_newer=exclude_newer,
            offline=self.settings.offline,
            index=declaration.index or configured_index(os.environ),
            cache_dir=self.settings.cache,
        )
        self.reporter.finish(step)
        return lock

    def _plan(self, asked: _Asked) -> _Planned:
        from envtool.plan.gather import Gatherer
        from envtool.plan.instantiate import instantiate

        declaration = asked.declaration
        gatherer = Gatherer(
            store=self.store,
            folder=os.path.dirname(declaration.path),
            interpreter=asked.interpreter,
            offline=self.settings.offline,
        )
        selection = gatherer.gather(asked.lock)
        made = instantiate(
            _name(declaration),
            selection,
            asked.interpreter,
            collisions=declaration.collisions,
        )
        assert made.environment is not None, "instantiate ends with the environment"
        return _Planned(asked, selection, made, made.environment)

    def _realise(self, planned: _Planned) -> None:
        from envtool.build import bytecode
        from envtool.build.realise import realise
        from envtool.machine.fetch import Fetcher

        with Fetcher(offline=self.settings.offline) as fetcher:
            realise(
                self.store,
                fetcher,
                self.reporter,
                planned.made.derivations,
                planned.environment,
                jobs=self.settings.jobs,
            )
        bytecode.prepare(
            self.settings.cache,
            self.settings.store,
            planned.output,
            planned.asked.interpreter.stdlib,
        )

    def _switch_edited(self, project: Project, text: str) -> tuple[Generation, bool]:
        return self._switch(project, self._ask(project, text=text), text)

    def _switch(
        self, project: Project, asked: _Asked, text: str | None, *, save_lock: bool = True
    ) -> tuple[Generation, bool]:
        """Realise, then write the edited declaration and the lock, then switch the profile."""
        from envtool.build.generation import add_generation

        planned = self._plan(asked)
        profile = self.profile(project)
        before = self.current(project)
        # Held to the end: the new object becomes a root only with the profile's link.
        with self.store.shared():
            self._realise(planned)
            if text is not None:
                projects.write_declaration(project.path, text)
            if asked.lock_changed and save_lock:
                self._write_lock(project, asked)
            record = self._record(planned)
            known = {generation.number for generation in profile.generations()}
            path = add_generation(self.store, record, asked.text, asked.lock_text)
            generation = profile.set(path)
        made = Generation(
            number=generation.number,
            path=path,
            created=generation.created,
            current=True,
            record=record,
            changes=self._changes(before[1] if before else None, planned),
            size=self._closure_size(path),
        )
        return made, generation.number not in known

    def _record(self, planned: _Planned) -> Record:
        declaration = planned.asked.declaration
        display = declaration.kernel.display_name if declaration.kernel else None
        packages = self._packages(planned)
        has_kernel = any(package.name == "ipykernel" for package in packages)
        return Record(
            name=_name(declaration),
            environment=planned.output,
            python=planned.asked.interpreter.version,
            impure=True,
            kind=declaration.kind,
            declaration_sha256=_sha256(planned.asked.text),
            lock_digest=planned.asked.lock.declaration,
            variables=dict(declaration.variables),
            hook=declaration.hook,
            kernel=(display or _name(declaration)) if has_kernel else None,
            packages=packages,
        )

    def _packages(self, planned: _Planned) -> list[Package]:
        outputs = {name: planned.made.output(drv) for name, drv in planned.made.packages.items()}
        valid = self.store.infos(self.store.valid(outputs.values()))
        sizes = {path: info.nar_size for path, info in valid.items()}
        present = set(outputs)
        return [
            Package(
                name=selected.package.name,
                version=selected.package.version,
                path=outputs[selected.package.name],
                size=sizes.get(outputs[selected.package.name]),
                direct=selected.package.direct,
                requires=[name for name in selected.package.dependencies if name in present],
            )
            for selected in planned.selection
        ]

    def _changes(self, before: Record | None, planned: _Planned) -> Changes:
        python = (before.python if before else None, planned.asked.interpreter.version)
        return compare(before.packages if before else (), self._packages(planned), python)

    def _closure_size(self, path: "StorePath") -> int:
        return sum(info.nar_size for info in self.store.infos(self.store.closure([path])).values())

    def _pending(self, planned: _Planned, path: "StorePath") -> Pending:
        derivation = planned.made.derivations[path]
        size = derivation.environment.get("size")
        return Pending(
            derivation.environment.get("wheel", derivation.name), int(size) if size else None
        )

    def _written_lock(self, project: Project) -> "Lock | None":
        from envtool.formats.lock import parse

        text = projects.read_lock_text(project.path, project.kind, project.environment)
        place = projects.lock_path(project.path, project.kind, project.environment) or project.path
        return None if text is None else parse(text, path=place)

    def _write_lock(self, project: Project, asked: _Asked) -> None:
        projects.write_lock_text(project.path, project.kind, project.environment, asked.lock_text)

    def _local(
        self, project: Project, requirements: Sequence[str], *, editable: bool
    ) -> "tuple[list[str], dict[str, PathSource]]":
        """Turn paths among the requirements into names with sources."""
        from envtool.formats.declaration import PathSource

        named: list[str] = []
        sources: dict[str, PathSource] = {}
        for requirement in requirements:
            if editable or requirement.startswith((".", "/")):
                name = projects.project_name(os.path.abspath(requirement))
                relative = os.path.relpath(os.path.abspath(requirement), project.folder)
                sources[name] = PathSource(relative, editable=editable)
                named.append(name)
            else:
                named.append(requirement)
        return named, sources


def _name(declaration: "Declaration") -> str:
    default = declaration.environment == "default"
    return declaration.name if default else f"{declaration.name}.{declaration.environment}"


def _sha256(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _locked_packages(lock: "Lock") -> list[Package]:
    return [
        Package(
            name=package.name,
            version=package.version,
            path=None,
            size=None,
            direct=package.direct,
            requires=package.dependencies,
        )
        for package in lock.packages
    ]


def _chains(wanted: str, users: dict[str, list[str]], direct: set[str]) -> list[tuple[str, ...]]:
    """Return one shortest chain from every direct requirement that leads to `wanted`."""
    found: list[tuple[str, ...]] = []
    queue: list[tuple[str, ...]] = [(wanted,)]
    seen = {wanted}
    while queue:
        chain = queue.pop(0)
        if chain[0] in direct:
            found.append(chain)
        for user in sorted(users.get(chain[0], ())):
            if user not in seen:
                seen.add(user)
                queue.append((user, *chain))
    return found
