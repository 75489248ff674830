"""Bring a declaration and its lock together: the written lock if it still answers, else a new one.

Nothing is written here. A lock that still answers is not even parsed: its head, which stands before
the packages, says what it answers and for which Python.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envtool.formats.declaration import Declaration, parse
from envtool.formats.lock_head import read_head
from envtool.machine import project as projects
from envtool.machine.local import answered_digest
from envtool.machine.project import Project
from envtool.machine.settings import Settings
from envtool.reporting import Reporter, Step
from envtool.sources.interpreter import Interpreter, find
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.lock import Lock


@value
class Answer:
    """What is asked for, and the lock that answers it."""

    declaration: Declaration
    text: str
    """The declaration's text, as the generation keeps it."""
    digest: str
    """Of what the lock answers."""
    lock_text: str
    changed: bool
    """The lock is not the written one."""
    interpreter: Interpreter

    def lock(self) -> "Lock":
        """Return the lock, parsed."""
        from envtool.formats import lock

        return lock.parse(self.lock_text, path=self.declaration.path)


@value
class Request:
    """What beside the files decides about the answer."""

    upgrade: bool | Sequence[str] = False
    """Packages that need not keep their locked versions; all, none, or these."""
    exclude_newer: str | None = None
    """RFC 3339 date or timestamp; the former lock then has no say."""

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
    :raises InterpreterError: no interpreter satisfies it.
    :raises ResolutionError: the requirements cannot be satisfied.
    """
    request = request or Request()
    whole = projects.read_text(project.path) if text is None else text
    declaration = parse(
        whole, path=project.path, kind=project.kind, environment=project.environment
    )
    digest = answered_digest(declaration)
    written = projects.read_lock_text(project.path, project.kind, project.environment)
    head = read_head(written, project.path) if written is not None else None
    interpreter = find(
        declaration.python,
        prefer=head.python if head else None,
        environ=os.environ,
        cache_path=f"{settings.cache}/interpreters.json",
    )
    lock_text = written
    if head is None or head.declaration != digest or request.asks_anew:
        lock_text = _resolve(
            settings, reporter, declaration, digest, interpreter, written=written, request=request
        )
    assert lock_text is not None, "either written or resolved"
    return Answer(
        declaration=declaration,
        text=projects.declaration_text(project.path, project.kind, text=whole),
        digest=digest,
        lock_text=lock_text,
        changed=lock_text != written,
        interpreter=interpreter,
    )


def _resolve(
    settings: Settings,
    reporter: Reporter,
    declaration: Declaration,
    digest: str,
    interpreter: Interpreter,
    *,
    written: str | None,
    request: Request,
) -> str:
    from envtool.formats import lock as locks
    from envtool.machine.index import configured_index
    from envtool.plan.resolve import resolve

    previous = None
    if written is not None and request.exclude_newer is None:
        previous = locks.parse(written, path=declaration.path)
    step = Step("resolve", declaration.name)
    reporter.start(step)
    lock = resolve(
        declaration,
        digest=digest,
        interpreter=interpreter,
        previous=previous,
        upgrade=request.upgrade,
        exclude_newer=request.exclude_newer,
        offline=settings.offline,
        index=declaration.index or configured_index(os.environ),
        cache_dir=settings.cache,
    )
    reporter.finish(step)
    return locks.render(lock)
