"""What can go wrong, as data: what failed, on which value, and the next command to type.

One root, so that a caller can catch "anything of envtool's". The faces render them
(`envtool.cli.terminal`); nothing below a face prints. Exit codes: 1 ours, 2 usage.
"""

from __future__ import annotations

from envtool.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class EnvtoolError(Exception):
    """The root of every error that envtool raises on purpose.

    `hint` is the next thing to do, best a command; None when there is nothing to do.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@value
class Fault:
    """One fault in a user's file."""

    file: str
    line: int | None
    """Counted from 1; None when the fault is the absence of something."""
    key: str
    """Dotted key, such as `tool.envtool.python`; empty for the file as a whole."""
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class DeclarationError(EnvtoolError):
    """A user's declaration cannot be read; carries every fault of the file, not the first."""

    def __init__(self, faults: Sequence[Fault], *, hint: str | None = None) -> None:
        super().__init__("\n".join(str(fault) for fault in faults), hint=hint)
        self.faults = tuple(faults)


def one_fault(file: str, message: str, *, line: int | None = None) -> DeclarationError:
    """Return the error of a file that cannot be read at all."""
    return DeclarationError([Fault(file, line, "", message)])


class FormatError(EnvtoolError):
    """Bytes that are not what their format says: a NAR, a .drv, a hash, a store path."""


class LockError(EnvtoolError):
    """The lock is missing, stale, malformed or made for another platform."""


class ResolutionError(EnvtoolError):
    """The requirements cannot be satisfied, or the index did not answer."""


class InterpreterError(EnvtoolError):
    """No interpreter satisfies what the declaration asks."""


class FetchError(EnvtoolError):
    """An artifact did not arrive, or is not what the lock promised."""


class WheelError(EnvtoolError):
    """A wheel that must not be unpacked: malformed, lying or hostile."""


class CollisionError(EnvtoolError):
    """Two packages of one environment claim the same file."""


class BuildError(EnvtoolError):
    """A derivation could not be realised."""


class StoreError(EnvtoolError):
    """The store, its database or its root cannot be used as asked."""


class DatabaseError(StoreError):
    """The store's database is damaged; another can be made from the store itself."""


class ProfileError(EnvtoolError):
    """A profile or generation that does not exist or cannot be switched to."""


class KernelError(EnvtoolError):
    """A kernelspec or kernel cannot be used as asked."""


class SandboxError(EnvtoolError):
    """A sandbox is wanted and cannot be had: no bubblewrap, or the kernel denies namespaces."""
