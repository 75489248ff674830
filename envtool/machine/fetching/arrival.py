"""A file that is arriving: written beside its place, hashed on the way, renamed when right."""

import errno
import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from typing import TYPE_CHECKING, Self

from envtool.errors import FetchError, StoreError
from envtool.formats.nix import nar
from envtool.formats.nix.hashing import Hash
from envtool.values import value

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["Arrival", "Arrived", "Passing"]

_VALIDATOR = re.compile(r'"[!#-~]*"|[A-Za-z]{3}, [A-Za-z0-9: ]{1,40}')
"""A strong entity tag or a date; a weak tag does not promise the same bytes (RFC 9110, 8.8.1)."""


class Passing(Exception):  # noqa: N818 - a reason to try again, not an error
    """What went wrong may not go wrong next time; `envtool.machine.fetching.fetch` catches it."""

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after
        """Seconds the server asked to wait; None: it did not."""


@value
class Arrived:
    """What is known of a file that has arrived."""

    size: int
    """Bytes."""
    nar_hash: Hash
    """SHA-256 of the NAR of the file, not executable."""
    nar_size: int


class Arrival:
    """A file that is arriving: its bytes so far, their hash, and what they have to become."""

    def __init__(
        self,
        shown: str,
        target: str,
        wanted: Hash | None,
        size: int | None,
        on_bytes: Callable[[int], None],
    ) -> None:
        self.shown = shown
        """The URL without secrets."""
        self.done = 0
        self._target = target
        self._scratch = f"{target}.part"
        self._wanted = wanted
        self._size = size
        self._on_bytes = on_bytes
        self._begin()
        self._validator: str | None = None
        self._file: FileIO

    def _begin(self) -> None:
        """Begin to hash, the file's NAR too if its size, which stands at its front, is known."""
        self._was_resumed = False
        self._hasher = hashlib.sha256()
        self._nar: nar.HashingSink | None = None
        if self._size is not None:
            self._nar = nar.HashingSink()
            self._nar(nar.MAGIC + nar.regular_open(self._size, executable=False))

    def __enter__(self) -> Self:
        try:
            self._file = FileIO(self._scratch, "w")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._file.close()
            if kind is None:
                os.replace(self._scratch, self._target)
        except OSError as failure:
            raise self._unwritable(failure) from failure
        finally:
            with suppress(OSError):  # renamed, or its folder is gone
                os.unlink(self._scratch)

    def write(self, data: memoryview) -> None:
        """Append bytes, unless they are more than promised."""
        if self._size is not None and self.done + len(data) > self._size:
            raise self._wrong(f"more than {self._size} bytes", f"{self._size} bytes")
        self._hasher.update(data)
        if self._nar is not None:
            self._nar(data)
        rest = data
        while rest:
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as error:
                raise self._unwritable(error) from error
        self.done += len(data)
        self._on_bytes(len(data))

    def resumption(self) -> dict[str, str]:
        """Return the headers that ask for the bytes that are still missing (RFC 9110, 13.1.5)."""
        if not self.done:
            return {}
        headers = {"Range": f"bytes={self.done}-"}
        return headers | {"If-Range": self._validator} if self._validator else headers

    def resume(self, response: "HTTPResponse") -> None:
        """Go on where the last answer broke off; a part that begins elsewhere is useless."""
        given = response.getheader("Content-Range", "")
        if not re.match(rf"bytes\s+{self.done}-", given):
            self.forget()
            raise Passing(f"the server answered with the wrong part ({given or 'unnamed'})")
        self._was_resumed = True

    def restart(self, response: "HTTPResponse") -> None:
        """Begin with an answer that has all bytes."""
        self.forget()
        tag = response.getheader("ETag", "")
        date = response.getheader("Last-Modified", "")
        self._validator = next((text for text in (tag, date) if _VALIDATOR.fullmatch(text)), None)

    def forget(self) -> None:
        """Throw away what has arrived."""
        if self.done:
            try:
                self._file.truncate(0)
                self._file.seek(0)
            except OSError as error:
                raise self._unwritable(error) from error
            self._on_bytes(-self.done)
        self.done = 0
        self._begin()

    def arrived(self) -> Arrived:
        """Return what is known of the file, which has been verified and put in place."""
        if self._nar is None:
            return Arrived(self.done, *nar.hash_path(self._target))
        self._nar(nar.regular_close(self.done))
        return Arrived(self.done, self._nar.hash, self._nar.size)

    @property
    def is_short(self) -> bool:
        """Whether bytes are known to be missing."""
        return self._size is not None and self.done < self._size

    def check_size(self, announced: int) -> None:
        """Refuse an answer that says by itself that it is not the promised one."""
        if self._size is not None and announced != self._size:
            raise self._wrong(f"{announced} bytes", f"{self._size} bytes")

    def verify(self) -> None:
        """Raise unless the bytes are the promised ones."""
        self.check_size(self.done)
        got = Hash("sha256", self._hasher.digest())
        if self._wanted is None or got == self._wanted:
            return
        if self._was_resumed:  # the file may have changed between the two answers
            self.forget()
            raise Passing(f"the parts make {got.sri}, not {self._wanted.sri}")
        raise self._wrong(got.sri, self._wanted.sri)

    def _wrong(self, got: str, expected: str) -> FetchError:
        return FetchError(
            f"{self.shown} is not what was promised: expected {expected}, got {got}",
            hint="if the file was replaced on purpose: envtool lock --upgrade NAME",
        )

    def _unwritable(self, error: OSError) -> StoreError:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return StoreError(
            f"{self._target} cannot be written: {error.strerror}",
            hint="make room there, for instance with envtool gc" if full else None,
        )
