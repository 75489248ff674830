"""Whether a derivation agrees with itself: a `.drv` object proves its own path and its outputs'.

Three things must hold before a `.drv` from elsewhere, or from a disk that may be damaged, is
realised: its text leads to its own store path, it asks of each input only outputs that the input
has, and its outputs lie where its inputs put them (`envtool.formats.nix.derivation`).
"""

from collections.abc import Callable

from envtool.errors import FormatError
from envtool.formats.nix.derivation import (
    Derivation,
    check_output_paths,
    derivation_path,
    hash_modulo,
)
from envtool.formats.nix.storepath import STORE_DIR, StorePath

Read = Callable[[StorePath], Derivation]
"""Gives the derivation of a `.drv` path; what it raises for one that it lacks passes through."""


class InputHashes:
    """The hashes modulo of input derivations, each read and computed once, however deep.

    Call it with a `.drv` path: it is a `HashLookup`.
    """

    def __init__(self, read: Read, store_dir: str = STORE_DIR) -> None:
        self._read = read
        self._store_dir = store_dir
        self._derivations: dict[StorePath, Derivation] = {}
        self._known: dict[StorePath, str] = {}

    def derivation(self, path: StorePath) -> Derivation:
        """Return the derivation at `path`."""
        found = self._derivations.get(path)
        if found is None:
            found = self._derivations[path] = self._read(path)
        return found

    def __call__(self, path: StorePath) -> str:
        """Return the hash. :raises FormatError: the derivation is an input of itself."""
        # A stack of our own, since graphs are deeper than Python's may be.
        waiting, entered = [path], set[StorePath]()
        while waiting:
            current = waiting[-1]
            missing = [] if current in self._known else self._missing(current)
            if not missing:
                self._compute(current)
                waiting.pop()
            elif current in entered:
                raise FormatError(f"derivation {current} is an input of itself")
            else:
                entered.add(current)
                waiting += missing
        return self._known[path]

    def _missing(self, path: StorePath) -> list[StorePath]:
        derivation = self.derivation(path)
        if derivation.fixed_output is not None:
            return []  # its inputs do not count
        return [each for each in derivation.input_derivations if each not in self._known]

    def _compute(self, path: StorePath) -> None:
        if path not in self._known:
            lookup = self._known.__getitem__
            self._known[path] = hash_modulo(self.derivation(path), lookup, self._store_dir)


def check_derivation(
    path: StorePath, derivation: Derivation, inputs: InputHashes, store_dir: str = STORE_DIR
) -> None:
    """Check that the derivation found at `path` agrees with itself and with its inputs.

    :raises FormatError: it does not; it must not be realised.
    """
    leads_to = derivation_path(derivation, store_dir)
    if leads_to != path:
        raise FormatError(f"derivation {path} is not what it was: its text belongs at {leads_to}")
    for each, wanted in derivation.input_derivations.items():
        has = inputs.derivation(each).outputs
        if unknown := sorted(set(wanted) - has.keys()):
            raise FormatError(
                f"derivation {path} needs {', '.join(unknown)} of {each}, "
                f"which has only {', '.join(sorted(has))}"
            )
    check_output_paths(derivation, inputs, store_dir)
