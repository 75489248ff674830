"""Real Nix as the judge: what it makes of random trees and derivations, we make too, to the byte.

Needs Nix's classic commands (tried with Debian's `nix-bin` 2.8.0). They work in a chroot store
below a temporary directory, whose logical store directory is `/nix/store`; nothing is built or
fetched, so neither root nor a daemon nor the network is needed.
"""

import io
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envtool.formats.nix import aterm, nar
from envtool.formats.nix.derivation import (
    Derivation,
    Output,
    check_output_paths,
    derivation_path,
    hash_modulo,
    parse,
    render,
    with_output_paths,
)
from envtool.formats.nix.hashing import DIGEST_SIZES, Hash
from envtool.formats.nix.storepath import StorePath, make_fixed_output, make_source, make_text

pytestmark = pytest.mark.skipif(
    shutil.which("nix-store") is None, reason="real Nix is the judge, and nix-store is not on PATH"
)
STORE = "/nix/store"
EXAMPLES = 40
"""Random inputs per test; each costs one to three starts of Nix (30 ms)."""
judged = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass(frozen=True)
class Nix:
    """Nix with a chroot store of its own."""

    root: Path

    def run(self, *command: str | Path, stdin: bytes = b"") -> bytes:
        """Return what the command prints; fail the test if it fails."""
        environment = {
            "HOME": os.fspath(self.root),
            "NIX_CONF_DIR": os.fspath(self.root),
            "NIX_REMOTE": os.fspath(self.root),
            "PATH": os.environ["PATH"],
        }
        done = subprocess.run(
            command, input=stdin, capture_output=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    def lines(self, *command: str | Path, stdin: bytes = b"") -> list[str]:
        return self.run(*command, stdin=stdin).decode().splitlines()

    def read(self, path: str) -> bytes:
        """Return the contents of a file of the store, given by its logical path."""
        return (self.root / path.removeprefix("/")).read_bytes()


@pytest.fixture(scope="module")
def nix(tmp_path_factory: pytest.TempPathFactory) -> Nix:
    root = tmp_path_factory.mktemp("nix")
    (root / "nix.conf").write_text("build-users-group =\nsubstituters =\n")
    return Nix(root)


# Trees


@dataclass(frozen=True)
class File:
    data: bytes
    mode: int


@dataclass(frozen=True)
class Link:
    target: bytes


Tree = File | Link | Mapping[bytes, "Tree"]

file_names = st.one_of(
    st.sampled_from([b"a", b"A", b"a.b", b"a-b", b"a b", "é".encode(), b"..."]),
    st.binary(min_size=1, max_size=12),
    st.binary(min_size=255, max_size=255),
).filter(lambda name: name not in {b".", b".."} and not {0, ord("/")} & set(name))
leaves = st.one_of(
    st.builds(
        File,
        st.binary(max_size=40) | st.binary(min_size=8192, max_size=8200),
        st.sampled_from([0o644, 0o755, 0o600, 0o444, 0o555, 0o655, 0o700]),
    ),
    st.builds(Link, st.binary(min_size=1, max_size=30).filter(lambda target: 0 not in target)),
)
trees: st.SearchStrategy[Tree] = st.recursive(
    leaves | st.just({}),
    lambda children: st.dictionaries(file_names, children, max_size=4),
    max_leaves=8,
)


def write(tree: Tree, path: bytes) -> None:
    if isinstance(tree, Mapping):
        os.mkdir(path)
        for name, child in tree.items():
            write(child, os.path.join(path, name))
    elif isinstance(tree, Link):
        os.symlink(tree.target, path)
    else:
        Path(os.fsdecode(path)).write_bytes(tree.data)
        os.chmod(path, tree.mode)


def read(path: bytes) -> Tree:
    """Return the tree at `path` with the modes that a restored archive has."""
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        return {name: read(os.path.join(path, name)) for name in os.listdir(path)}
    if stat.S_ISLNK(status.st_mode):
        return Link(os.readlink(path))
    return File(Path(os.fsdecode(path)).read_bytes(), stat.S_IMODE(status.st_mode))


def dumped(path: Path) -> bytes:
    pieces: list[bytes] = []
    nar.dump(os.fspath(path), pieces.append)
    return b"".join(pieces)


forests = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9+_?=][A-Za-z0-9+\-._?=]{0,30}", fullmatch=True),
    trees,
    min_size=1,
    max_size=5,
)


def plant(forest: Mapping[str, Tree], folder: Path) -> list[Path]:
    for name, tree in forest.items():
        write(tree, os.fsencode(folder / name))
    return [folder / name for name in forest]


@judged
@given(forests)
def test_our_archive_of_a_tree_is_nixs(
    nix: Nix, tmp_path_factory: pytest.TempPathFactory, forest: Mapping[str, Tree]
) -> None:
    folder = tmp_path_factory.mktemp("forest")
    plant(forest, folder)
    assert dumped(folder) == nix.run("nix-store", "--dump", folder)


@judged
@given(forests)
def test_our_hash_of_a_tree_is_nixs(
    nix: Nix, tmp_path_factory: pytest.TempPathFactory, forest: Mapping[str, Tree]
) -> None:
    paths = plant(forest, tmp_path_factory.mktemp("forest"))
    ours = [nar.hash_path(os.fspath(path))[0] for path in paths]
    base16 = nix.lines("nix-hash", "--type", "sha256", *paths)
    nix32 = nix.lines("nix-hash", "--type", "sha256", "--base32", *paths)
    assert [content.base16 for content in ours] == base16
    assert [content.nix32 for content in ours] == nix32


@judged
@given(forests)
def test_our_store_path_of_a_tree_is_nixs(
    nix: Nix, tmp_path_factory: pytest.TempPathFactory, forest: Mapping[str, Tree]
) -> None:
    paths = plant(forest, tmp_path_factory.mktemp("forest"))
    ours = [
        make_source(path.name, nar.hash_path(os.fspath(path))[0].digest, store_dir=STORE)
        for path in paths
    ]
    theirs = nix.lines("nix-store", "--add", *paths)
    assert [path.full(STORE) for path in ours] == theirs


@judged
@given(forests)
def test_we_restore_what_nix_dumped_as_nix_does(
    nix: Nix, tmp_path_factory: pytest.TempPathFactory, forest: Mapping[str, Tree]
) -> None:
    folder = tmp_path_factory.mktemp("forest")
    (folder / "tree").mkdir()
    plant(forest, folder / "tree")
    content = nix.run("nix-store", "--dump", folder / "tree")
    nar.restore(io.BytesIO(content), os.fspath(folder / "ours"))
    nix.run("nix-store", "--restore", folder / "theirs", stdin=dumped(folder / "tree"))
    assert read(os.fsencode(folder / "ours")) == read(os.fsencode(folder / "theirs"))
    assert dumped(folder / "ours") == dumped(folder / "theirs") == content


@judged
@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9.]{0,9}", fullmatch=True), st.binary(), min_size=1, max_size=4
    ),
    st.sampled_from(sorted(DIGEST_SIZES)),
    st.booleans(),
)
def test_our_path_of_a_fixed_output_is_nixs(
    nix: Nix,
    tmp_path_factory: pytest.TempPathFactory,
    files: Mapping[str, bytes],
    algorithm: str,
    recursive: bool,
) -> None:
    folder = tmp_path_factory.mktemp("files")
    paths = plant({name: File(data, 0o644) for name, data in files.items()}, folder)
    contents = [Hash.of(dumped(p) if recursive else p.read_bytes(), algorithm) for p in paths]
    ours = [
        make_fixed_output(path.name, content, recursive=recursive, store_dir=STORE).full(STORE)
        for path, content in zip(paths, contents, strict=True)
    ]
    options = ["--recursive"] if recursive else []
    assert ours == nix.lines("nix-store", "--add-fixed", *options, algorithm, *paths)


@judged
@given(st.sampled_from(sorted(DIGEST_SIZES)), st.data())
def test_our_spellings_of_a_hash_are_nixs(nix: Nix, algorithm: str, data: st.DataObject) -> None:
    size = DIGEST_SIZES[algorithm]
    digests = data.draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=10))
    ours = [Hash(algorithm, digest) for digest in digests]
    convert = ("nix-hash", "--type", algorithm)
    base16, nix32 = [value.base16 for value in ours], [value.nix32 for value in ours]
    assert nix.lines(*convert, "--to-base32", *base16) == nix32
    assert nix.lines(*convert, "--to-base16", *nix32) == base16


# Derivations: a graph is drawn as a plan, from which both a Nix expression and our value are made


@dataclass(frozen=True)
class Reference:
    """A piece of a string: an earlier text (`output` None) or an output of a derivation."""

    index: int
    """Counted back from the last one, modulo how many there are."""
    output: int | None = None
    """Modulo how many outputs the derivation has; 0 is the one it stands for by itself."""


Pieces = tuple[str | Reference, ...]


@dataclass(frozen=True)
class Fixed:
    content: Hash
    recursive: bool
    spelling: str


@dataclass(frozen=True)
class Plan:
    """One derivation to be."""

    name: str
    outputs: tuple[str, ...] | Fixed | None
    """None: not said, which is `out` alone."""
    system: Pieces
    builder: Pieces
    arguments: tuple[Pieces, ...]
    variables: Mapping[str, Pieces]

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.outputs if isinstance(self.outputs, tuple) else ("out",)


OUTPUTS = ("out", "dev", "doc", "lib")
RESERVED = {
    *("name", "system", "builder", "args", "outputs", "meta", "type", "all", "drvAttrs"),
    *("outPath", "drvPath", "outputName", "outputSpecified", "recurseForDerivations"),
    *("outputHash", "outputHashAlgo", "outputHashMode", *OUTPUTS),
}
literals = st.one_of(
    st.text(st.sampled_from("\"\\\n\r\t$ {}n'é(),[]"), max_size=8),
    st.binary(max_size=8).map(
        lambda data: data.replace(b"\0", b"$").decode(errors="surrogateescape")
    ),
)
references = st.one_of(
    st.builds(Reference, st.integers(0, 9)),
    st.builds(Reference, st.integers(0, 9), st.integers(0, 3)),
)
pieces = st.lists(literals | references, max_size=4).map(tuple)
spelled_hashes = st.builds(
    lambda algorithm, data, spelling: (
        Hash.of(data, algorithm),
        getattr(Hash.of(data, algorithm), spelling),
    ),
    st.sampled_from(sorted(DIGEST_SIZES)),
    st.sampled_from([b"", b"x"]),
    st.sampled_from(["base16", "nix32", "base64", "sri"]),
)
plans = st.builds(
    Plan,
    name=st.sampled_from(["a", "b"])
    | st.from_regex(r"[a-z0-9][a-z0-9+\-._?=]{0,9}", fullmatch=True),
    outputs=st.one_of(
        st.none(),
        st.lists(st.sampled_from(OUTPUTS), min_size=1, unique=True).map(tuple),
        st.builds(
            lambda spelled, recursive: Fixed(spelled[0], recursive, spelled[1]),
            spelled_hashes,
            st.booleans(),
        ),
    ),
    system=st.sampled_from([("x86_64-linux",), ("any thing",)]),
    builder=pieces.map(lambda drawn: ("/bin/sh", *drawn)),
    arguments=st.lists(pieces, max_size=3).map(tuple),
    variables=st.dictionaries(
        (st.sampled_from(["a", "B", "é"]) | literals).filter(
            lambda key: key and not key.startswith("__") and key not in RESERVED
        ),
        pieces,
        max_size=4,
    ),
).filter(lambda plan: not plan.name.endswith(".drv"))
text_plans = st.lists(
    st.tuples(
        st.sampled_from(["t", "u"]),
        st.lists(literals | st.builds(Reference, st.integers(0, 9)), max_size=3).map(tuple),
    ),
    max_size=3,
)


ESCAPES = str.maketrans(
    {'"': '\\"', "\\": "\\\\", "$": "\\$", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
)


class Graph:
    """Texts and derivations that refer to earlier ones, as Nix expressions and as our values."""

    def __init__(self) -> None:
        self.bindings: list[str] = []
        self.texts: list[StorePath] = []
        self.derivations: list[Derivation] = []
        self._names: list[tuple[str, ...]] = []
        self.hashes: dict[StorePath, str] = {}
        self._sources: set[StorePath] = set()
        self._needed: dict[StorePath, set[str]] = {}

    def add_text(self, name: str, content: Pieces) -> None:
        expression, value = self._string(content)
        path = make_text(name, aterm.encode(value), self._sources, STORE)
        self.bindings.append(f't{len(self.texts)} = builtins.toFile "{name}" {expression};')
        self.texts.append(path)
        self._sources = set()

    def add(self, plan: Plan) -> None:
        attributes, environment = self._own(plan)
        arguments = [self._string(argument) for argument in plan.arguments]
        environment["builder"], environment["system"] = "", ""
        for key, content in [
            *plan.variables.items(),
            ("builder", plan.builder),
            ("system", plan.system),
        ]:
            expression, environment[key] = self._string(content)
            attributes.append(f"{quoted(key)} = {expression};")
        attributes.append(f"args = [ {' '.join(expression for expression, _ in arguments)} ];")
        number = len(self.derivations)
        self.bindings.append(f"d{number} = derivation {{ {' '.join(attributes)} }};")
        self._append(plan, environment, tuple(value for _, value in arguments))

    @staticmethod
    def _own(plan: Plan) -> tuple[list[str], dict[str, str]]:
        environment = {"name": plan.name}
        attributes = [f'name = "{plan.name}";']
        if isinstance(plan.outputs, tuple):
            attributes.append(f"outputs = [ {' '.join(map(quoted, plan.outputs))} ];")
            environment["outputs"] = " ".join(plan.outputs)
        elif plan.outputs is not None:
            fixed = {
                "outputHash": plan.outputs.spelling,
                "outputHashAlgo": plan.outputs.content.algorithm,
                "outputHashMode": "recursive" if plan.outputs.recursive else "flat",
            }
            attributes += [f'{key} = "{text}";' for key, text in fixed.items()]
            environment |= fixed
        return attributes, environment

    def _append(
        self, plan: Plan, environment: Mapping[str, str], arguments: tuple[str, ...]
    ) -> None:
        fixed = plan.outputs if isinstance(plan.outputs, Fixed) else None
        output = Output(None, fixed.content, recursive=fixed.recursive) if fixed else Output(None)
        derivation = Derivation(
            name=plan.name,
            outputs=dict.fromkeys(plan.output_names, output),
            input_derivations={path: tuple(names) for path, names in self._needed.items()},
            input_sources=frozenset(self._sources),
            system=environment["system"],
            builder=environment["builder"],
            arguments=arguments,
            environment=environment,
        )
        complete = with_output_paths(derivation, self.hashes.__getitem__, STORE)
        path = derivation_path(complete, STORE)
        self.hashes[path] = hash_modulo(complete, self.hashes.__getitem__, STORE)
        self.derivations.append(complete)
        self._names.append(plan.output_names)
        self._sources, self._needed = set(), {}

    def _string(self, content: Pieces) -> tuple[str, str]:
        """Return the expression and the value of a string, and note what it refers to."""
        pairs = [
            self._refer(piece) if isinstance(piece, Reference) else (escaped(piece), piece)
            for piece in content
        ]
        return f'"{"".join(pair[0] for pair in pairs)}"', "".join(pair[1] for pair in pairs)

    def _refer(self, reference: Reference) -> tuple[str, str]:
        if reference.output is None:
            if not self.texts:
                return "", ""
            number = reference.index % len(self.texts)
            self._sources.add(self.texts[number])
            return f"${{t{number}}}", self.texts[number].full(STORE)
        if not self.derivations:
            return "", ""
        number = reference.index % len(self.derivations)
        derivation, names = self.derivations[number], self._names[number]
        name = names[reference.output % len(names)]
        self._needed.setdefault(derivation_path(derivation, STORE), set()).add(name)
        expression = f"${{d{number}.{name}}}" if reference.output else f"${{d{number}}}"
        return expression, derivation.output_path(name).full(STORE)

    @property
    def expression(self) -> bytes:
        """An expression whose value is the list of the derivations."""
        names = " ".join(f"d{number}" for number in range(len(self.derivations)))
        bindings = "\n".join(self.bindings)
        return f"let\n{bindings}\nin [ {names} ]".encode(errors="surrogateescape")


def escaped(text: str) -> str:
    return text.translate(ESCAPES)


def quoted(text: str) -> str:
    return f'"{escaped(text)}"'


@judged
@given(text_plans, st.lists(plans, min_size=1, max_size=6))
def test_our_derivations_are_the_ones_nix_instantiates(
    nix: Nix, text_plans: list[tuple[str, Pieces]], plans: list[Plan]
) -> None:
    graph = Graph()
    for name, content in text_plans:
        graph.add_text(name, content)
    for plan in plans:
        graph.add(plan)
    # Where the derivation stands for another output than out, Nix appends !OUTPUT.
    printed = nix.lines("nix-instantiate", "-", stdin=graph.expression)
    theirs = [line.partition("!")[0] for line in printed]
    assert [derivation_path(ours, STORE).full(STORE) for ours in graph.derivations] == theirs
    for path, derivation in zip(theirs, graph.derivations, strict=True):
        text = nix.read(path)
        assert aterm.encode(render(derivation, STORE)) == text
        parsed = parse(text.decode(errors="surrogateescape"), derivation.name, STORE)
        assert aterm.encode(render(parsed, STORE)) == text
        check_output_paths(parsed, graph.hashes.__getitem__, STORE)
