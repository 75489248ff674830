"""Derivations that agree with themselves, and with what they are made of; and those that lie."""

from collections.abc import Mapping

import pytest

from envtool.errors import FormatError
from envtool.formats.nix.derivation import (
    Derivation,
    Output,
    derivation_path,
    hash_modulo,
    with_output_paths,
)
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import StorePath, make_text
from envtool.formats.nix.validity import InputHashes, check_derivation
from envtool.values import replace


class Shelf(dict[StorePath, Derivation]):
    """Derivations by their paths; counts how often each is read."""

    def __init__(self) -> None:
        self.reads: list[StorePath] = []
        self.hashes: dict[StorePath, str] = {}

    def read(self, path: StorePath) -> Derivation:
        self.reads.append(path)
        try:
            return self[path]
        except KeyError as error:
            raise FormatError(f"no derivation {path}") from error

    def make(
        self,
        name: str,
        inputs: Mapping[StorePath, tuple[str, ...]] | None = None,
        output: Output | None = None,
    ) -> StorePath:
        unfinished = Derivation(
            name=name,
            outputs={"out": output or Output(None)},
            input_derivations=inputs or {},
            input_sources=frozenset(),
            system="builtin",
            builder="builtin:test",
            arguments=(),
            environment={"name": name},
        )
        finished = with_output_paths(unfinished, self.hashes.__getitem__)
        path = derivation_path(finished)
        self.hashes[path] = hash_modulo(finished, self.hashes.__getitem__)
        self[path] = finished
        return path

    def check(self, path: StorePath) -> None:
        check_derivation(path, self[path], InputHashes(self.read))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def test_derivation_of_ours_agrees_with_itself(shelf: Shelf) -> None:
    source = shelf.make("source", output=Output(None, Hash.of(b"x"), recursive=True))
    tool = shelf.make("tool", {source: ("out",)})
    shelf.check(shelf.make("user", {tool: ("out",), source: ("out",)}))
    assert len(shelf.reads) == len(set(shelf.reads)) == 2


def test_input_deeper_than_python_may_call_is_hashed(shelf: Shelf) -> None:
    path = shelf.make("bottom")
    for level in range(3_000):
        path = shelf.make(f"level-{level}", {path: ("out",)})
    assert InputHashes(shelf.read)(path) == shelf.hashes[path]


def test_inputs_shared_by_many_are_read_once(shelf: Shelf) -> None:
    paths = [shelf.make("a"), shelf.make("b")]
    for level in range(60):  # 2^60 ways down
        needs = dict.fromkeys(paths, ("out",))
        paths = [shelf.make(f"a{level}", needs), shelf.make(f"b{level}", needs)]
    shelf.check(paths[0])
    assert len(shelf.reads) == len(set(shelf.reads)) == 120


def test_derivation_at_another_path_is_refused(shelf: Shelf) -> None:
    path = shelf.make("thing")
    shelf[path] = replace(shelf[path], builder="builtin:other")
    with pytest.raises(FormatError, match=r"thing.drv is not what it was: its text belongs at"):
        shelf.check(path)


def test_output_that_the_inputs_do_not_lead_to_is_refused(shelf: Shelf) -> None:
    path, other = shelf.make("thing"), shelf.make("other")
    moved = {"out": Output(shelf[other].output_path())}
    liar = replace(shelf[path], outputs=moved)
    shelf[derivation_path(liar)] = liar
    with pytest.raises(FormatError, match=r"output 'out' is .*-other, but its inputs lead to"):
        shelf.check(derivation_path(liar))


def test_fixed_output_that_does_not_match_its_hash_is_refused(shelf: Shelf) -> None:
    path = shelf.make("fetched", output=Output(None, Hash.of(b"promised")))
    outputs = {"out": replace(shelf[path].outputs["out"], fixed=Hash.of(b"another"))}
    liar = replace(shelf[path], outputs=outputs)
    shelf[derivation_path(liar)] = liar
    with pytest.raises(FormatError, match="fetched: output 'out' is"):
        shelf.check(derivation_path(liar))


def test_input_that_is_unknown_is_refused(shelf: Shelf) -> None:
    lost = shelf.make("lost")
    path = shelf.make("user", {lost: ("out",)})
    del shelf[lost]
    with pytest.raises(FormatError, match=f"no derivation {lost}"):
        shelf.check(path)


def test_output_that_an_input_does_not_have_is_refused(shelf: Shelf) -> None:
    tool = shelf.make("tool")
    path = shelf.make("user", {tool: ("dev", "out")})
    with pytest.raises(FormatError, match=r"user.drv needs dev of .*tool.drv, which has only out"):
        shelf.check(path)


def test_inputs_of_a_fixed_output_do_not_count(shelf: Shelf) -> None:
    gone = shelf.make("gone")
    fetched = shelf.make("fetched", {gone: ("out",)}, Output(None, Hash.of(b"x")))
    path = shelf.make("user", {fetched: ("out",)})
    del shelf[gone]
    shelf.check(path)
    assert gone not in shelf.reads


def test_derivation_that_is_an_input_of_itself_is_refused(shelf: Shelf) -> None:
    first, second = make_text("first.drv", b""), make_text("second.drv", b"")
    base = shelf[shelf.make("base")]
    shelf[first] = replace(base, input_derivations={second: ("out",)})
    shelf[second] = replace(base, input_derivations={first: ("out",)})
    with pytest.raises(FormatError, match="is an input of itself"):
        InputHashes(shelf.read)(first)
