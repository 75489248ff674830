"""Real Nix as the judge: of 200 random derivation graphs it writes the `.drv` files we write."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

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
    from formats.nix.conftest import Nix

STORE = "/nix/store"
GRAPHS = 200

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
NAME_CHARACTERS = "abcxyz0189+-._?="
AWKWARD = "\"\\\n\r\t$ {}n'é(),[]"


def draw_literal(dice: Random) -> str:
    if dice.random() < 0.5:
        return "".join(dice.choices(AWKWARD, k=dice.randrange(9)))
    data = dice.randbytes(dice.randrange(9)).replace(b"\0", b"$")
    return data.decode(errors="surrogateescape")


def draw_pieces(dice: Random, *, texts_only: bool = False) -> Pieces:
    drawn: list[str | Reference] = []
    for _ in range(dice.randrange(5)):
        kind = dice.randrange(2 if texts_only else 3)
        if kind == 0:
            drawn.append(draw_literal(dice))
        else:
            output = dice.randrange(4) if kind == 2 else None
            drawn.append(Reference(dice.randrange(10), output))
    return tuple(drawn)


def draw_fixed(dice: Random) -> Fixed:
    content = Hash.of(dice.randbytes(dice.randrange(2)), dice.choice(sorted(DIGEST_SIZES)))
    spelling = dice.choice((content.base16, content.nix32, content.base64, content.sri))
    return Fixed(content, dice.random() < 0.5, spelling)


def draw_variables(dice: Random) -> dict[str, Pieces]:
    keys = [dice.choice(("a", "B", "é", draw_literal(dice))) for _ in range(dice.randrange(5))]
    return {
        key: draw_pieces(dice)
        for key in keys
        if key and not key.startswith("__") and key not in RESERVED
    }


def draw_plan(dice: Random) -> Plan:
    several = tuple(dice.sample(OUTPUTS, dice.randrange(1, len(OUTPUTS))))
    name = "".join(dice.choices(NAME_CHARACTERS, k=dice.randrange(10)))
    return Plan(
        name=dice.choice(("a", "b", f"c{name}")),
        outputs=dice.choice((None, several, several, draw_fixed(dice))),
        system=dice.choice((("x86_64-linux",), ("any thing",))),
        builder=("/bin/sh", *draw_pieces(dice)),
        arguments=tuple(draw_pieces(dice) for _ in range(dice.randrange(4))),
        variables=draw_variables(dice),
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


def draw_graph(number: int) -> Graph:
    """Return the graph of this number, the same in every run."""
    dice, graph = Random(number), Graph()
    for _ in range(dice.randrange(4)):
        graph.add_text(dice.choice("tu"), draw_pieces(dice, texts_only=True))
    for _ in range(dice.randrange(1, 8)):
        graph.add(draw_plan(dice))
    return graph


def test_our_derivations_are_the_ones_nix_instantiates(nix: "Nix") -> None:
    graphs = [draw_graph(number) for number in range(GRAPHS)]
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
    assert len(known) > 2 * GRAPHS
