"""What a workspace tells: plans and generations as values."""

from envtool.formats.changes import Changes
from envtool.formats.generation import Record
from envtool.formats.nix.storepath import StorePath
from envtool.values import value


@value
class Pending:
    """Something that realising would fetch or build."""

    label: str
    size: int | None
    """Bytes to fetch; None when the lock does not know, and for builds."""


@value
class Plan:
    """What `switch` would do."""

    environment: StorePath
    fetch: tuple[Pending, ...]
    build: tuple[Pending, ...]
    changes: Changes
    """Against the current generation."""
    fetch_size: int | None
    """Bytes; None when a size is unknown."""
    lock_changed: bool
    up_to_date: bool
    """Nothing would change at all."""


@value
class Generation:
    """A generation as the user sees it."""

    number: int
    path: StorePath
    created: float
    """Seconds since the epoch."""
    current: bool
    record: Record
    changes: Changes
    """Against the generation before it."""
    size: int
    """Bytes of its closure."""
    used_by: tuple[int, ...] = ()
    """Processes that its environment is in use by, as far as was asked."""
