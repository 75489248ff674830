"""Real Nix as the judge: of 200 random derivation graphs it writes the `.drv` files we write."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from envtool.formats.nix import aterm
from envtool.formats.nix.derivation import (
    Derivation,
    Output,
    derivation_path,
    hash_modulo,
    parse,
    render,
    with_output_paths,
)
from envtool.formats.nix.hashing import DIGEST_SIZES, Hash
from envtool.formats.nix.storepath import StorePath, make_text
from envtool.formats.nix.validity import InputHashes, check_derivation

if TYPE_CHECKING:
    from formats.nix.conftest import Drawn, Nix

STORE = "/nix/store"

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


def planned(texts: list[tuple[str, Pieces]], derivations: list[Plan]) -> Graph:
    graph = Graph()
    for name, content in texts:
        graph.add_text(name, content)
    for plan in derivations:
        graph.add(plan)
    return graph


def test_our_derivations_are_the_ones_nix_instantiates(nix: "Nix", drawn: "Drawn") -> None:
    drafts = st.tuples(text_plans, st.lists(plans, min_size=1, max_size=6))
    graphs = [planned(*draft) for draft in drawn(drafts)]
    lists = b"\n".join(b"(" + graph.expression + b")" for graph in graphs)
    # Where a derivation stands for another output than out, Nix appends !OUTPUT.
    printed = nix.lines("nix-instantiate", "-", stdin=b"builtins.concatLists [" + lists + b"]")
    theirs = iter([line.partition("!")[0] for line in printed])
    known: dict[StorePath, Derivation] = {}
    for derivation in [each for graph in graphs for each in graph.derivations]:
        path = derivation_path(derivation, STORE)
        assert path.full(STORE) == next(theirs)
        text = nix.physical(path.full(STORE)).read_bytes()
        assert aterm.encode(render(derivation, STORE)) == text
        known[path] = parse(text.decode(errors="surrogateescape"), derivation.name, STORE)
        assert aterm.encode(render(known[path], STORE)) == text
        check_derivation(path, known[path], InputHashes(known.__getitem__, STORE), STORE)
    assert list(theirs) == []
