"""What a notebook carries: its declaration, its lock, and what made its outputs."""

from typing import TYPE_CHECKING, Literal

from envtool.errors import EnvtoolError, FormatError, LockError
from envtool.formats.declarations.notebook import lock_text, read_notebook
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath
from envtool.formats.notebooks.origin import Origin, read_origin
from envtool.kernel.headless.preparing import check_kind
from envtool.machine import project as projects
from envtool.values import value

if TYPE_CHECKING:
    from envtool.machine.project import Project
    from envtool.workspace.workspace import Workspace

__all__ = ["State", "state_of"]

Declares = Literal["cell", "metadata", "nothing"]
Locked = Literal["answers", "stale", "none"]


@value
class State:
    """What a notebook carries."""

    notebook: str
    """Absolute path."""
    declares: Declares
    requirements: tuple[str, ...]
    """As they are written."""
    python: str | None
    """The Python versions that the declaration allows."""
    lock: Locked
    packages: tuple[str, ...]
    """Names and versions of the lock."""
    cells: int
    """Code cells."""
    with_outputs: int
    """Code cells that have outputs."""
    origin: Origin | None
    """What made the outputs, if that is known."""
    is_present: bool
    """The environment that made the outputs is in the store."""
    is_current: bool | None
    """The outputs come from the lock that the notebook has; None when that is not known."""


def state_of(workspace: "Workspace", project: "Project") -> State:
    """Return what a notebook carries; nothing is resolved or made.

    :raises DeclarationError: it is no notebook, or its declaration has faults.
    """
    check_kind(project)
    text = projects.read_text(project.path)
    notebook = read_notebook(text, file=project.path)
    declares = _declares(project, text)
    declaration = None
    if declares != "nothing":
        declaration = projects.read(project.path, project.kind, project.environment)
    cells = [each for each in notebook["cells"] if each.get("cell_type") == "code"]
    origin, lock = read_origin(notebook), lock_text(text, file=project.path)
    locked = _locked(workspace, project, lock) if declaration else "none"
    return State(
        notebook=project.path,
        declares=declares,
        requirements=tuple(map(str, declaration.requirements)) if declaration else (),
        python=str(declaration.python) if declaration and declaration.python else None,
        lock=locked,
        packages=_packages(lock, project.path),
        cells=len(cells),
        with_outputs=sum(bool(cell.get("outputs")) for cell in cells),
        origin=origin,
        is_present=origin is not None and _is_present(workspace, origin),
        is_current=_is_current(origin, lock, locked),
    )


def _declares(project: "Project", text: str) -> Declares:
    if project.kind == "notebook-metadata":
        return "metadata"
    declared = projects.declaration_text(project.path, project.kind, text=text)
    return "cell" if declared else "nothing"


def _locked(workspace: "Workspace", project: "Project", lock: str | None) -> Locked:
    if lock is None:
        return "none"
    try:
        workspace.check_lock(project)
    except LockError:
        return "stale"
    return "answers"


def _packages(lock: str | None, path: str) -> tuple[str, ...]:
    from envtool.formats.lock import parse

    try:
        packages = parse(lock, path=path).packages if lock else ()
    except EnvtoolError:
        return ()  # what cannot be read is stale
    return tuple(f"{each.name} {each.version or ''}".rstrip() for each in packages)


def _is_present(workspace: "Workspace", origin: Origin) -> bool:
    try:
        return workspace.store.is_valid(StorePath.parse(origin.environment.rsplit("/", 1)[-1]))
    except FormatError:
        return False


def _is_current(origin: Origin | None, lock: str | None, locked: Locked) -> bool | None:
    if origin is None or not origin.lock:
        return None
    return locked != "stale" and lock is not None and Hash.of(lock.encode()).sri == origin.lock
