"""Consent: which declarations may lead a shell of this user, and in which of their texts.

A folder below `var/consent`, under the declaration's own absolute path as profiles lie, holds an
empty file for each text that was allowed, named by the text's SHA-256, or one named `denied`. So a
text that was allowed once is allowed again when a branch brings it back, and a prompt sees by the
folder's time alone that something was said.
"""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from envtool.machine.disk import disk_errors

if TYPE_CHECKING:
    from envtool.machine.settings import Settings

__all__ = ["Consent", "Verdict"]

Verdict = Literal["allowed", "denied", "unknown"]

DENIED = "denied"


class Consent:
    """What the user has said about the declaration at a path."""

    def __init__(self, settings: "Settings", declaration: str) -> None:
        self._path = os.path.abspath(declaration)
        self.folder = f"{settings.state}/consent{self._path}"
        """It need not exist; then nothing was said."""

    def verdict(self, digest: str) -> Verdict:
        """Return what holds for a text of the declaration, named by its SHA-256 in base 16."""
        if os.path.exists(f"{self.folder}/{DENIED}"):
            return "denied"
        return "allowed" if os.path.exists(f"{self.folder}/{digest}") else "unknown"

    def was_ever_allowed(self) -> bool:
        """Say whether some text of the declaration is allowed, be it an older one."""
        with suppress(OSError):
            names = os.listdir(self.folder)
            # Declarations further down lie in folders below; digests are files.
            return DENIED not in names and any(
                os.path.isfile(f"{self.folder}/{name}") for name in names
            )
        return False

    def was_renamed(self, digest: str) -> bool:
        """Say whether a file beside it that is gone was allowed in this very text."""
        folder, beside = os.path.split(self._path)[0], os.path.dirname(self.folder)
        with suppress(OSError):
            return any(
                os.path.isfile(f"{beside}/{name}/{digest}")
                and not os.path.exists(f"{beside}/{name}/{DENIED}")
                and not os.path.lexists(f"{folder}/{name}")
                for name in os.listdir(beside)
            )
        return False

    def allow(self, digest: str) -> None:
        """Allow a text; a denial is taken back.

        :raises StoreError: it cannot be written.
        """
        with disk_errors("note the consent"):
            os.makedirs(self.folder, exist_ok=True)
            self._note(digest)
            with suppress(FileNotFoundError):
                os.unlink(f"{self.folder}/{DENIED}")

    def deny(self) -> None:
        """Deny the declaration, whatever its text, and forget which texts were allowed.

        :raises StoreError: it cannot be written.
        """
        with disk_errors("note the denial"):
            os.makedirs(self.folder, exist_ok=True)
            # The denial first: a process killed here has not left anything allowed.
            self._note(DENIED)
            for name in os.listdir(self.folder):
                if name != DENIED:
                    os.unlink(f"{self.folder}/{name}")

    def _note(self, name: str) -> None:
        os.close(os.open(f"{self.folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
