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


@value
class _Asked:
    """The declaration as it stands now."""

    project: Project
    whole: str
    """The text of its file."""
    declaration: Declaration
    digest: str
    """Of what a lock has to answer."""
    place: str
    """Where the lock lies, as messages name it."""


@value
class _Written:
    """The lock as it stands in its file, read no further than its head and what it pins there."""

    text: str | None = None
    """None: there is none, or it is damaged and to be replaced."""
    head: Head | None = None
    pins: Pins = Pins()
    """What its interpreter is made of, if it is one of our own."""
    system: "LockedSystem | None" = None

    def answers(self, digest: str) -> bool:
        return self.head is not None and self.head.declaration == digest

    def fits(self, python: Chosen) -> bool:
        return self.head is not None and self.head.python == python.interpreter.feature


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
    asked = _asked(project, text)
    written = _written(asked, repair=request.repair)
    return _Answering(settings, reporter, asked, written, request).run()


def _asked(project: Project, text: str | None) -> _Asked:
    path, kind, environment = project.path, project.kind, project.environment
    whole = projects.read_text(path) if text is None else text
    declaration = parse(whole, path=path, kind=kind, environment=environment)
    place = projects.lock_place(path, kind, environment)
    return _Asked(project, whole, declaration, answered_digest(declaration), place)


def _written(asked: _Asked, *, repair: bool) -> _Written:
    """Return the written lock; to `repair` a damaged one is as good as none."""
    project, place = asked.project, asked.place
    try:
        text = projects.read_lock_text(project.path, project.kind, project.environment)
        if repair and text is not None:
            from envtool.formats import lock

            lock.parse(text, path=place)
    except LockError:
        if repair:
            return _Written()
        raise
    if text is None:
        return _Written()
    head = read_head(text, place)
    pins = Pins() if head.source == "host" else read_pinned(text, place)
    return _Written(text, head, pins, read_system(text, place))


class _Answering:
    """An answer in the making."""

    def __init__(
        self,
        settings: Settings,
        reporter: Reporter,
        asked: _Asked,
        written: _Written,
        request: Request,
    ) -> None:
        self.settings = settings
        self.reporter = reporter
        self.asked = asked
        self.declaration = asked.declaration
        self.written = written
        self.request = request
        self.is_stale = request.asks_anew or not written.answers(asked.digest)
        self.step: Step | None = None
        """Of resolving, once it has begun."""

    def run(self) -> Answer:
        asked, written, request = self.asked, self.written, self.request
        python = self._python()
        system = self._system()
        lock_text, parsed = written.text, None
        resolved = self.is_stale or (request.repair and not written.fits(python))
        if resolved:
            lock_text = None if request.asks_anew else self._repinned(python, system)
            if lock_text is None:
                parsed, lock_text = self._resolved(python, system)
            self._finish()
        assert lock_text is not None, "either written or resolved"
        return Answer(
            declaration=self.declaration,
            text=projects.declaration_text(
                asked.project.path, asked.project.kind, text=asked.whole
            ),
            digest=asked.digest,
            lock_text=lock_text,
            written=written.text,
            python=python,
            system=system,
            resolved=resolved,
            parsed=parsed,
        )

    def _python(self) -> Chosen:
        """Return the interpreter: the host's, or the one of our own that is or will be locked."""
        declaration, pins = self.declaration, self.written.pins
        if not declaration.closed:
            prefer = self.written.head.python if self.written.head else None
            return host_interpreter(self.settings, declaration.python, prefer)
        if self.is_stale:
            self._begin()
            pins = pin(self.settings, declaration, pins, upgrade=self.request.upgrade is True)
            for line in updates(self.written.pins, pins):
                self.reporter.note(line)
        python = closed_interpreter(self.settings, pins, host_drivers=declaration.host_drivers)
        if declaration.host_drivers and not python.drivers:
            self.reporter.note("gpu.host-drivers: this machine has no libraries of a GPU driver")
        return python

    def _system(self) -> "LockedSystem | None":
        """Return the system packages that the declaration asks for, pinned."""
        wanted, former = self.declaration.system, self.written.system
        if not self.is_stale:
            return former
        if wanted is None:
            return None
        from envtool.plan.system import pin_system

        self._begin()
        return pin_system(self.settings, wanted, former, upgrade=self.request.upgrade is True)

    def _repinned(self, python: Chosen, system: "LockedSystem | None") -> str | None:
        """Return the lock with one other version, where that is all that changed; else None."""
        written = self.written
        alike = (python.pins, system) == (written.pins, written.system)
        if written.text is None or written.head is None or not alike or not written.fits(python):
            return None
        from envtool.plan.repinned import repin

        return repin(
            self.settings.cache,
            self.declaration,
            python.interpreter,
            written.text,
            answered=written.head.declaration,
            digest=self.asked.digest,
        )

    def _resolved(self, python: Chosen, system: "LockedSystem | None") -> "tuple[Lock, str]":
        """Return a new lock, and its text."""
        from envtool.formats import lock as locks
        from envtool.formats.lock_blocks import is_plain, versions
        from envtool.machine.fetching.index import configured_index
        from envtool.plan.resolving.resolve import resolve

        self._begin()
        kept = self._kept()
        # What is laid out as ours, and builds nothing, need not be read to be handed to uv.
        is_handed_over = kept is not None and is_plain(kept) and versions(kept) is not None
        place = self.asked.place
        lock = resolve(
            self.declaration,
            digest=self.asked.digest,
            interpreter=python.interpreter,
            pins=python.pins,
            previous=locks.parse(kept, path=place) if kept and not is_handed_over else None,
            preferences=kept if is_handed_over else None,
            upgrade=self.request.upgrade,
            exclude_newer=self.request.exclude_newer,
            offline=self.settings.offline,
            index=self.declaration.index or configured_index(os.environ),
            cache_dir=self.settings.cache,
        )
        whole = replace(lock, system=system)
        return whole, locks.render(whole)

    def _kept(self) -> str | None:
        """Return the lock whose versions are kept where they still satisfy."""
        whole = isinstance(self.request.upgrade, bool)
        return None if self.request.exclude_newer is not None and whole else self.written.text

    def _begin(self) -> None:
        """Say that resolving begins; the first who fetches says so, be it an index of Debian."""
        if self.step is None:
            self.step = Step("resolve", self.declaration.name)
            self.reporter.start(self.step)

    def _finish(self) -> None:
        if self.step is not None:
            self.reporter.finish(self.step)
