"""A wheel on this machine, with its programs made to start by the loader of our own interpreter.

Only the programs are copies; all else are links into the wheel's object, folders of it as far as no
program is in them. A program that looks around itself finds what it would have found there.
"""

import os
import shutil
from collections.abc import Callable, Sequence

from envtool.build.closed.localising import patch
from envtool.errors import BuildError
from envtool.sources.binaries import read_file
from envtool.sources.elf import Elf

__all__ = ["localise_programs"]


def localise_programs(
    wheel: str, target: str, python: str, *, patchelf: str, note: Callable[[str], object]
) -> None:
    """Make the folder `target`, a sibling of the unpacked `wheel`, for a program of Python.

    A program that patchelf cannot change stays as it is, and is told by `note`.

    :raises BuildError: `python` is not an interpreter of our own.
    """
    own = read_file(os.path.realpath(python))
    if own is None or own.interpreter is None or own.dynamic is None:
        raise BuildError(f"{python} has no loader that programs could be started by")
    _Localising(wheel, target, own, patchelf, note).run()


class _Localising:
    def __init__(
        self, wheel: str, target: str, own: Elf, patchelf: str, note: Callable[[str], object]
    ) -> None:
        assert own.interpreter is not None, "the caller looked"
        assert own.dynamic is not None, "the caller looked"
        self.wheel = wheel
        self.target = target
        self.loader = own.interpreter
        self.folders: Sequence[str] = own.dynamic.search
        self.kind = own.target
        self.patchelf = patchelf
        self.note = note
        self.programs: dict[str, Elf] = {}
        """By place in the wheel."""
        self.above: set[str] = {""}
        """Folders with programs somewhere in them."""

    def run(self) -> None:
        for folder, _, names in os.walk(self.wheel):
            inside = os.path.relpath(folder, self.wheel)
            for name in names:
                self._look(os.path.normpath(f"{inside}/{name}"))
        self._make("")

    def _look(self, place: str) -> None:
        elf = read_file(f"{self.wheel}/{place}")
        if elf is not None and elf.target == self.kind and elf.starts_by(self.loader):
            self.programs[place] = elf
            while place:
                place = os.path.dirname(place)
                self.above.add(place)

    def _make(self, folder: str) -> None:
        os.mkdir(f"{self.target}/{folder}" if folder else self.target)
        for name in sorted(os.listdir(f"{self.wheel}/{folder}")):
            place = f"{folder}/{name}" if folder else name
            if place in self.above:
                self._make(place)
            elif place not in self.programs or not self._copy(place):
                up = "../" * (place.count("/") + 1)
                os.symlink(f"{up}{os.path.basename(self.wheel)}/{place}", f"{self.target}/{place}")

    def _copy(self, place: str) -> bool:
        """Make a copy that starts by our loader; say whether it came about."""
        path = f"{self.target}/{place}"
        elf = self.programs[place]
        search = [*(elf.dynamic.search if elf.dynamic else ()), *self.folders]
        shutil.copyfile(f"{self.wheel}/{place}", path)
        os.chmod(path, 0o755)  # noqa: S103 - a program, as the store has them
        try:
            patch(path, self.loader, search, self.patchelf)
            self._check(path, elf)
        except BuildError as error:
            self.note(f"{place} starts by the host's loader: {error}")
            os.unlink(path)
            return False
        return True

    def _check(self, path: str, before: Elf) -> None:
        """Raise if the file is not what it was but for its loader and search path."""
        after = read_file(path)
        needed = before.dynamic.needed if before.dynamic else ()
        has = after.dynamic.needed if after and after.dynamic else ()
        if after is None or after.interpreter != self.loader or has != needed:
            raise BuildError("patchelf damages it")
