"""What opening a notebook of unknown origin may do: fetch what its lock pins, and nothing else.

A front end starts a kernel when a notebook is opened, before anybody has read it. So code of
others' that builds packages, variables that lead the kernel, and questions to an index about names
that no lock pins wait until `envtool allow` has been said about this text of the declaration. Where
an earlier text was allowed, the user is at work on the notebook: then a new lock is made unasked.
"""

import os
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from envtool.errors import KernelError, LockError
from envtool.machine import project as projects
from envtool.machine.consent import Consent
from envtool.machine.local import answered_digest

if TYPE_CHECKING:
    from envtool.formats.lock import Lock
    from envtool.formats.locked import LockedPackage
    from envtool.machine.project import Project
    from envtool.workspace.workspace import Workspace

__all__ = ["refuse_unknown"]


def refuse_unknown(workspace: "Workspace", project: "Project") -> None:
    """Check that the environment may be built without having been asked for.

    :raises KernelError: something of it waits for consent.
    :raises DeclarationError: the declaration cannot be read.
    """
    consent = Consent(workspace.settings, project.path)
    digest = workspace.declaration_digest(project)
    verdict = consent.verdict(digest)
    if verdict == "unknown" and consent.was_renamed(digest):
        consent.allow(digest)
        return
    if verdict == "allowed":
        return
    reasons = list(_reasons(project, is_known=consent.was_ever_allowed()))
    if verdict == "denied":
        reasons = ["`envtool deny` was said about it"]
    if reasons:
        name = os.path.basename(project.path)
        raise KernelError(
            f"{name} is of unknown origin, and its environment is not built unasked: "
            + "; ".join(reasons),
            hint=f"read it, then: envtool -f {shlex.quote(project.path)} allow",
        )


def _reasons(project: "Project", *, is_known: bool) -> Iterator[str]:
    """Yield what it asks for beyond fetching what is pinned."""
    declaration = projects.read(project.path, project.kind, project.environment)
    if declaration.variables:
        yield "it sets variables: " + ", ".join(name for name, _ in declaration.variables)
    if declaration.hook is not None:
        yield "it has a shell hook"
    lock = _lock(project)
    if lock is None or lock.declaration != answered_digest(declaration):
        built = [*declaration.sdists, *(name for name, _ in declaration.sources)]
        built += [each for each in declaration.requirements if "@" in each.partition(";")[0]]
        if not is_known:
            yield "no lock pins what it requires"
    else:
        built = [package.name for package in lock.packages if not _is_fetched(package)]
    if built:
        yield "packages would be built from source: " + ", ".join(sorted(set(built)))


def _is_fetched(package: "LockedPackage") -> bool:
    """Say whether a package is wheels that are pinned by hash."""
    if package.archive is not None:
        return package.archive.filename.endswith(".whl")
    return bool(package.wheels)


def _lock(project: "Project") -> "Lock | None":
    """Return the written lock; None when there is none that can be read."""
    from envtool.formats.lock import parse

    try:
        text = projects.read_lock_text(project.path, project.kind, project.environment)
        return None if text is None else parse(text, path=project.path)
    except LockError:
        return None
