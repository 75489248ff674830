"""Derivations: what a build is made of, their `.drv` text and the hashes taken of them.

A `.drv` file is one ATerm line (Nix manual, "Derivation ATerm format"). An output's path is
computed from the derivation "modulo fixed outputs": every input derivation is replaced by its
own hash, and a fixed output counts by its content alone, so that two ways of fetching the same
bytes lead to the same paths downstream (Nix's `derivations.cc`, `hashDerivationModulo`).

A `.drv` text is str here; its bytes are `envtool.formats.nix.aterm.encode` of it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from envtool.errors import FormatError
from envtool.formats.digest import sha256
from envtool.formats.nix import aterm
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import (
    STORE_DIR,
    StorePath,
    check_name,
    make_fixed_output,
    make_output,
    make_text,
)
from envtool.values import replace, value


@value
class Output:
    """One output of a derivation; `fixed` and `recursive` say how its content is pinned."""

    path: StorePath | None
    """None until `with_output_paths` has computed it."""
    fixed: Hash | None = None
    recursive: bool = False

    @property
    def algorithm(self) -> str:
        """The `.drv` field: empty, `sha256` or `r:sha256`."""
        if self.fixed is None:
            return ""
        return f"r:{self.fixed.algorithm}" if self.recursive else self.fixed.algorithm

    @property
    def digest(self) -> str:
        """The `.drv` field: empty or the hash in base 16."""
        return "" if self.fixed is None else self.fixed.base16


@value
class Derivation:
    """A build as a value. Mappings are rendered sorted, so their order does not matter."""

    name: str
    """Not part of the `.drv` text; it is the name of the `.drv` object without the suffix."""
    outputs: Mapping[str, Output]
    input_derivations: Mapping[StorePath, tuple[str, ...]]
    """`.drv` path to the names of the outputs that are needed; `parse` sorts them."""
    input_sources: frozenset[StorePath]
    system: str
    builder: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def fixed_output(self) -> Output | None:
        """The output `out` if it is the only one and its content is fixed; else None."""
        output = self.outputs.get("out")
        return output if output and output.fixed and len(self.outputs) == 1 else None

    def references(self) -> frozenset[StorePath]:
        """Return what the `.drv` object refers to: its inputs, never its outputs."""
        return self.input_sources.union(self.input_derivations)

    def output_path(self, output: str = "out") -> StorePath:
        """Return the path of `output`. :raises FormatError: no such output, or not computed."""
        found = self.outputs.get(output)
        if found is None or found.path is None:
            raise FormatError(f"derivation {self.name} has no output path for {output!r}")
        return found.path


def render(derivation: Derivation, store_dir: str = STORE_DIR) -> str:
    """Return the `.drv` text, which ends without a newline; inverse of `parse`."""
    inputs = {path.full(store_dir): names for path, names in derivation.input_derivations.items()}
    return _render(derivation, inputs, store_dir, blank_outputs=False)


def _render(
    derivation: Derivation,
    inputs: Mapping[str, Iterable[str]],
    store_dir: str,
    *,
    blank_outputs: bool,
) -> str:
    outputs = [
        aterm.fields(
            name,
            "" if blank_outputs or output.path is None else output.path.full(store_dir),
            output.algorithm,
            output.digest,
        )
        for name, output in sorted(derivation.outputs.items())
    ]
    input_derivations = [
        f"({aterm.string(key)},{aterm.strings(sorted(names))})"
        for key, names in sorted(inputs.items())
    ]
    environment = [
        aterm.fields(key, "" if blank_outputs and key in derivation.outputs else value)
        for key, value in sorted(derivation.environment.items(), key=_bytewise)
    ]
    parts = (
        aterm.joined(outputs),
        aterm.joined(input_derivations),
        aterm.strings(sorted(path.full(store_dir) for path in derivation.input_sources)),
        aterm.string(derivation.system),
        aterm.string(derivation.builder),
        aterm.strings(derivation.arguments),
        aterm.joined(environment),
    )
    return f"Derive({','.join(parts)})"


def _bytewise(item: tuple[str, str]) -> bytes:
    return aterm.encode(item[0])


def derivation_path(derivation: Derivation, store_dir: str = STORE_DIR) -> StorePath:
    """Return the store path of the `.drv` object."""
    data = aterm.encode(render(derivation, store_dir))
    return make_text(f"{derivation.name}.drv", data, derivation.references(), store_dir)


HashLookup = Callable[[StorePath], str]
"""Gives the base-16 hash modulo of an input `.drv`; the caller memoises (`hash_modulo`)."""


def hash_modulo(
    derivation: Derivation,
    lookup: HashLookup,
    store_dir: str = STORE_DIR,
    *,
    blank_outputs: bool = False,
) -> str:
    """Return the base-16 hash of the derivation modulo fixed outputs.

    With `blank_outputs` it is the one that the derivation's own output paths are made from,
    without it the one by which other derivations count it as an input.
    """
    fixed = derivation.fixed_output
    if fixed is not None and not blank_outputs:
        path = "" if fixed.path is None else fixed.path.full(store_dir)
        text = f"fixed:out:{fixed.algorithm}:{fixed.digest}:{path}"
        return sha256(text.encode()).hexdigest()
    inputs: dict[str, set[str]] = {}
    for path, names in derivation.input_derivations.items():
        inputs.setdefault(lookup(path), set()).update(names)
    text = _render(derivation, inputs, store_dir, blank_outputs=blank_outputs)
    return sha256(aterm.encode(text)).hexdigest()


def with_output_paths(
    derivation: Derivation, lookup: HashLookup, store_dir: str = STORE_DIR
) -> Derivation:
    """Return the derivation with its output paths computed, in `outputs` and in the environment.

    :raises FormatError: the name or an output cannot be, or a text holds what no process can.
    """
    _check(derivation)
    fixed = derivation.fixed_output
    if fixed is not None and fixed.fixed is not None:
        path = make_fixed_output(
            derivation.name, fixed.fixed, recursive=fixed.recursive, store_dir=store_dir
        )
        paths = {"out": path}
    else:
        # Nix has the outputs' variables, still empty, in the text that it hashes.
        blank = {**derivation.environment, **dict.fromkeys(derivation.outputs, "")}
        unnamed = replace(derivation, environment=blank)
        inner = hash_modulo(unnamed, lookup, store_dir, blank_outputs=True)
        paths = {
            name: make_output(name, inner, derivation.name, store_dir)
            for name in derivation.outputs
        }
    outputs = {
        name: replace(output, path=paths[name]) for name, output in derivation.outputs.items()
    }
    environment = {name: path.full(store_dir) for name, path in paths.items()}
    return replace(
        derivation, outputs=outputs, environment={**derivation.environment, **environment}
    )


def _check(derivation: Derivation) -> None:
    name = check_name(derivation.name)
    if name.endswith(".drv"):
        raise FormatError(f"a derivation cannot be called {name!r}: .drv is added to the name")
    if not derivation.outputs:
        raise FormatError(f"derivation {name} has no outputs")
    for output_name in derivation.outputs:
        check_name(output_name)
    fixed = [output for output in derivation.outputs.values() if output.fixed is not None]
    if fixed and derivation.fixed_output is None:
        raise FormatError(
            f"derivation {name} has the outputs {sorted(derivation.outputs)}; "
            "one whose content is fixed must be the only one and be called out"
        )


def check_output_paths(
    derivation: Derivation, lookup: HashLookup, store_dir: str = STORE_DIR
) -> None:
    """Check that the outputs' paths are the ones their derivation leads to, also as variables.

    :raises FormatError: one is not; such a `.drv` must not be realised.
    """
    expected = with_output_paths(derivation, lookup, store_dir)
    for name, output in derivation.outputs.items():
        path = expected.output_path(name)
        if output.path != path:
            raise FormatError(
                f"derivation {derivation.name}: output {name!r} is {output.path}, "
                f"but its inputs lead to {path}"
            )
        variable = derivation.environment.get(name)
        if variable != path.full(store_dir):
            raise FormatError(
                f"derivation {derivation.name}: the variable {name!r} is {variable!r} "
                f"instead of the output's path {path.full(store_dir)}"
            )


def parse(text: str, name: str, store_dir: str = STORE_DIR) -> Derivation:
    """Return the derivation that the `.drv` text describes; inverse of `render`.

    `name` is the `.drv` object's name without the suffix.

    :raises FormatError: not an ATerm derivation, or one that has a name twice, names paths
        outside the store or has outputs addressed by a content that is not known yet.
    """
    term = aterm.Cursor(text)
    term.expect("Derive(")
    outputs = term.items(lambda: term.fields(4))
    term.expect(",")
    input_derivations = term.items(lambda: _input_derivation(term))
    term.expect(",")
    input_sources = term.strings()
    term.expect(",")
    system = term.string()
    term.expect(",")
    builder = term.string()
    term.expect(",")
    arguments = term.strings()
    term.expect(",")
    environment = term.items(lambda: term.fields(2))
    term.expect(")")
    term.end()
    sources = [(StorePath.parse_full(path, store_dir), None) for path in input_sources]
    derivation = Derivation(
        name=name,
        outputs=_unique([(fields[0], _output(fields, store_dir)) for fields in outputs], "output"),
        input_derivations=_unique(
            [(StorePath.parse_full(path, store_dir), names) for path, names in input_derivations],
            "input derivation",
        ),
        input_sources=frozenset(_unique(sources, "input source")),
        system=system,
        builder=builder,
        arguments=tuple(arguments),
        environment=_unique([(fields[0], fields[1]) for fields in environment], "variable"),
    )
    _check(derivation)
    return derivation


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _unique(pairs: Iterable[tuple[_Key, _Value]], what: str) -> dict[_Key, _Value]:
    found: dict[_Key, _Value] = {}
    for key, each in pairs:
        if key in found:
            raise FormatError(f"the derivation has the {what} {key!r} twice")
        found[key] = each
    return found


def _input_derivation(term: aterm.Cursor) -> tuple[str, tuple[str, ...]]:
    term.expect("(")
    path = term.string()
    term.expect(",")
    names = _unique([(check_name(name), None) for name in term.strings()], "needed output")
    term.expect(")")
    return path, tuple(sorted(names))


def _output(fields: tuple[str, ...], store_dir: str) -> Output:
    name, path, algorithm, digest = fields
    store_path = StorePath.parse_full(path, store_dir) if path else None
    if not algorithm and not digest:
        return Output(store_path)
    # An algorithm without a hash is Nix's floating content-addressed output.
    fixed = Hash.parse(digest, algorithm.removeprefix("r:"))
    if fixed.base16 != digest:
        raise FormatError(f"output {name!r} has the hash {digest!r}, which is not in base 16")
    return Output(store_path, fixed, recursive=algorithm.startswith("r:"))
