"""Bring a declaration and its lock together: the written lock if it still answers, else a new one.

Nothing is written here. A lock that still answers is not even parsed: its head, which stands before
the packages, says what it answers and for which Python.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envtool.errors import LockError
from envtool.formats.declarations.declaration import Declaration
from envtool.formats.declarations.reading import parse
from envtool.formats.lock_head import Head, read_head, read_pinned, read_system
from envtool.formats.locked import Pins
from envtool.machine import project as projects
from envtool.machine.local import answered_digest
from envtool.machine.project import Project
from envtool.machine.settings import Settings
from envtool.plan.chosen import Chosen, closed_interpreter, host_interpreter, pin, updates
from envtool.reporting import Reporter, Step
from envtool.sources.interpreter import Interpreter
from envtool.values import replace, value

if TYPE_CHECKING:
    from envtool.formats.lock import Lock
    from envtool.formats.locked import LockedSystem


@value
class Answer:
    """What is asked for, and the lock that answers it."""

    declaration: Declaration
    text: str
    """The declaration's text, as the generation keeps it."""
    digest: str
    """Of what the lock answers."""
    lock_text: str
    written: str | None
    """The lock as it stands in its file; None: there is none, or it is to be replaced."""
    python: Chosen
    resolved: bool
    """The lock was made just now: which libraries it needs is yet to be seen (`completed`)."""
    system: "LockedSystem | None" = None
    parsed: "Lock | None" = None
    """The lock, where it was made just now."""

    @property
    def interpreter(self) -> Interpreter:
        """The interpreter, which need not be realised yet."""
        return self.python.interpreter

    @property
    def changed(self) -> bool:
        """Say whether the lock is not the written one."""
        return self.lock_text != self.written

    def completed(self, settings: Settings, pins: Pins) -> "Answer":
        """Return the answer with what its interpreter is made of, and finds, as it is now known."""
        from envtool.formats import lock as locks

        lock = self.lock()
        whole = replace(lock, python=replace(lock.python, pins=pins))
        return replace(
            self,
            lock_text=locks.render(whole),
            python=closed_interpreter(settings, pins, host_drivers=self.declaration.host_drivers),
            resolved=False,
            parsed=whole,
        )

    def lock(self) -> "Lock":
        """Return the lock, parsed."""
        if self.parsed is not None:
            return self.parsed
        from envtool.formats import lock

        declared = self.declaration
        place = projects.lock_place(declared.path, declared.kind, declared.environment)
        return lock.parse(self.lock_text, path=place)


@value
class Request:
    """What beside the files decides about the answer."""

    upgrade: bool | Sequence[str] = False
    """Packages that need not keep their locked versions; all, none, or these."""
    exclude_newer: str | None = None
    """RFC 3339 date or timestamp: for the packages in `upgrade`, if it names any.

    Else the former lock has no say.
    """
    repair: bool = False
    """Replace a lock that is damaged, or for a Python that is not here, instead of refusing it."""

    @property
    def asks_anew(self) -> bool:
        """Say whether a lock that still answers is not enough."""
        return bool(self.upgrade) or self.exclude_newer is not None


def answer(
    settings: Settings,
    reporter: Reporter,
    project: Project,
    *,
    text: str | None = None,
    request: Request | None = None,
) -> Answer:
    """Return the declaration and the lock that answers it; `text` stands for an edited file.

    :raises DeclarationError: the declaration cannot be read, with all its faults.
    :raises LockError: the written lock cannot be read.
    :raises InterpreterError: no interpreter satisfies it.
    :raises ResolutionError: the requirements cannot be satisfied.
    """
    request = request or Request()
    whole = projects.read_text(project.path) if text is None else text
    declaration = parse(
        whole, path=project.path, kind=project.kind, environment=project.environment
    )
    digest = answered_digest(declaration)
    place = projects.lock_place(project.path, project.kind, project.environment)
    written = _written(project, place, repair=request.repair)
    head = read_head(written, place) if written is not None else None
    must_resolve = head is None or head.declaration != digest or request.asks_anew
    former = pinned = _pinned(written, head, place)
    step = Step("resolve", declaration.name)
    asks_debian = must_resolve and bool(declaration.closed or declaration.system)
    if asks_debian:
        reporter.start(step)  # its indexes may have to be fetched first
    if not declaration.closed:
        python = host_interpreter(settings, declaration.python, head.python if head else None)
    else:
        if must_resolve:
            pinned = pin(settings, declaration, former, upgrade=request.upgrade is True)
            for line in updates(former, pinned):
                reporter.note(line)
        python = closed_interpreter(settings, pinned, host_drivers=declaration.host_drivers)
        if declaration.host_drivers and not python.drivers:
            reporter.note("gpu.host-drivers: this machine has no libraries of a GPU driver")
    locked_system = system = None if written is None else read_system(written, place)
    if must_resolve:
        system = _system(settings, declaration, system, request)
    lock_text = written
    resolved, parsed = False, None
    fits = head is not None and head.python == python.interpreter.feature
    if must_resolve or (request.repair and head and not fits):
        lock_text = None
        if written and head and fits and not request.asks_anew:
            alike = (pinned, system) == (former, locked_system)
            lock_text = (
                _repin(settings, declaration, digest, python, written=written, head=head)
                if alike
                else None
            )
        if lock_text is None:
            if not asks_debian:
                reporter.start(step)
            parsed, lock_text = _resolve(
                settings,
                declaration,
                digest,
                python,
                kept=_kept(written, request),
                place=place,
                request=request,
                system=system,
            )
        if asks_debian or parsed is not None:
            reporter.finish(step)
        resolved = True
    assert lock_text is not None, "either written or resolved"
    return Answer(
        declaration=declaration,
        text=projects.declaration_text(project.path, project.kind, text=whole),
        digest=digest,
        lock_text=lock_text,
        written=written,
        python=python,
        system=system,
        resolved=resolved,
        parsed=parsed,
    )


def _repin(
    settings: Settings,
    declaration: Declaration,
    digest: str,
    python: Chosen,
    *,
    written: str,
    head: Head,
) -> str | None:
    """Return the lock with one other version, where that is all that changed; else None."""
    from envtool.plan.repinned import repin

    return repin(
        settings.cache,
        declaration,
        python.interpreter,
        written,
        answered=head.declaration,
        digest=digest,
    )


def _system(
    settings: Settings,
    declaration: Declaration,
    former: "LockedSystem | None",
    request: Request,
) -> "LockedSystem | None":
    """Return the system packages that the declaration asks for, pinned."""
    if declaration.system is None:
        return None
    from envtool.plan.system import pin_system

    return pin_system(settings, declaration.system, former, upgrade=request.upgrade is True)


def _pinned(written: str | None, head: Head | None, place: str) -> Pins:
    """Return what the written lock's interpreter is made of, if it is one of our own."""
    if written is None or head is None or head.source == "host":
        return Pins()
    return read_pinned(written, place)


def _written(project: Project, place: str, *, repair: bool) -> str | None:
    try:
        text = projects.read_lock_text(project.path, project.kind, project.environment)
        if repair and text is not None:
            from envtool.formats import lock

            lock.parse(text, path=place)
    except LockError:
        if repair:
            return None
        raise
    return text


def _kept(written: str | None, request: Request) -> str | None:
    """Return the lock whose versions are kept where they still satisfy."""
    whole = isinstance(request.upgrade, bool)
    return None if request.exclude_newer is not None and whole else written


def _resolve(
    settings: Settings,
    declaration: Declaration,
    digest: str,
    python: Chosen,
    *,
    kept: str | None,
    place: str,
    request: Request,
    system: "LockedSystem | None",
) -> "tuple[Lock, str]":
    """Return a new lock, and its text."""
    from envtool.formats import lock as locks
    from envtool.formats.lock_blocks import is_plain, versions
    from envtool.machine.fetching.index import configured_index
    from envtool.plan.resolve import resolve

    # What is laid out as ours, and builds nothing, need not be read to be handed to uv.
    is_handed_over = kept is not None and is_plain(kept) and versions(kept) is not None
    lock = resolve(
        declaration,
        digest=digest,
        interpreter=python.interpreter,
        pins=python.pins,
        previous=locks.parse(kept, path=place) if kept and not is_handed_over else None,
        preferences=kept if is_handed_over else None,
        upgrade=request.upgrade,
        exclude_newer=request.exclude_newer,
        offline=settings.offline,
        index=declaration.index or configured_index(os.environ),
        cache_dir=settings.cache,
    )
    whole = replace(lock, system=system)
    return whole, locks.render(whole)
