"""Derivations: what a build is made of, their `.drv` text and the hashes taken of them.

A `.drv` file is one ATerm line (Nix manual, "Derivation ATerm format"). An output's path is
computed from the derivation "modulo fixed outputs": every input derivation is replaced by its
own hash, and a fixed output counts by its content alone, so that two ways of fetching the same
bytes lead to the same paths downstream (Nix's `derivations.cc`, `hashDerivationModulo`).
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NoReturn, TypeVar

from envtool.errors import FormatError
from envtool.formats.hashing import Hash
from envtool.formats.storepath import (
    STORE_DIR,
    StorePath,
    check_name,
    make_fixed_output,
    make_output,
    make_text,
)


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Derivation:
    """A build as a value. Mappings are rendered sorted, so their order does not matter."""

    name: str
    """Not part of the `.drv` text; it is the name of the `.drv` object without the suffix."""
    outputs: Mapping[str, Output]
    input_derivations: Mapping[StorePath, tuple[str, ...]]
    """`.drv` path to the names of the outputs that are needed."""
    input_sources: frozenset[StorePath]
    system: str
    builder: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def fixed_output(self) -> Output | None:
        """The only output, if its content is fixed; else None."""
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


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SPECIAL = re.compile(r'["\\\n\r\t]')


def render(derivation: Derivation, store_dir: str = STORE_DIR) -> str:
    """Return the `.drv` text; inverse of `parse`."""
    inputs = {path.full(store_dir): names for path, names in derivation.input_derivations.items()}
    return _render(derivation, inputs, store_dir, blank_outputs=False)


def _render(
    derivation: Derivation,
    inputs: Mapping[str, Iterable[str]],
    store_dir: str,
    *,
    blank_outputs: bool,
) -> str:
    outputs = derivation.outputs
    output_terms = [
        _tuple(
            name,
            "" if blank_outputs or output.path is None else output.path.full(store_dir),
            output.algorithm,
            output.digest,
        )
        for name, output in sorted(outputs.items())
    ]
    environment = [
        _tuple(key, "" if blank_outputs and key in outputs else value)
        for key, value in sorted(derivation.environment.items(), key=_bytewise)
    ]
    fields = (
        _list(output_terms),
        _list(
            f"({_string(key)},{_strings(sorted(names))})" for key, names in sorted(inputs.items())
        ),
        _strings(sorted(path.full(store_dir) for path in derivation.input_sources)),
        _string(derivation.system),
        _string(derivation.builder),
        _strings(derivation.arguments),
        _list(environment),
    )
    return f"Derive({','.join(fields)})"


def _bytewise(item: tuple[str, str]) -> bytes:
    return item[0].encode("utf-8", "surrogateescape")


def _string(text: str) -> str:
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(lambda match: _ESCAPES[match[0]], text)
    return f'"{text}"'


def _list(terms: Iterable[str]) -> str:
    return f"[{','.join(terms)}]"


def _strings(texts: Iterable[str]) -> str:
    return _list(_string(text) for text in texts)


def _tuple(*texts: str) -> str:
    return f"({','.join(_string(text) for text in texts)})"


def derivation_path(derivation: Derivation, store_dir: str = STORE_DIR) -> StorePath:
    """Return the store path of the `.drv` object."""
    data = render(derivation, store_dir).encode("utf-8", "surrogateescape")
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
        return hashlib.sha256(text.encode()).hexdigest()
    inputs: dict[str, set[str]] = {}
    for path, names in derivation.input_derivations.items():
        inputs.setdefault(lookup(path), set()).update(names)
    text = _render(derivation, inputs, store_dir, blank_outputs=blank_outputs)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def with_output_paths(
    derivation: Derivation, lookup: HashLookup, store_dir: str = STORE_DIR
) -> Derivation:
    """Return the derivation with its output paths computed, in `outputs` and in the environment."""
    check_name(derivation.name)
    fixed = derivation.fixed_output
    if fixed is not None and fixed.fixed is not None:
        path = make_fixed_output(
            derivation.name, fixed.fixed, recursive=fixed.recursive, store_dir=store_dir
        )
        paths = {"out": path}
    else:
        inner = hash_modulo(derivation, lookup, store_dir, blank_outputs=True)
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


def check_output_paths(
    derivation: Derivation, lookup: HashLookup, store_dir: str = STORE_DIR
) -> None:
    """Check that the outputs' paths are the ones their derivation leads to.

    :raises FormatError: one is not; such a `.drv` must not be realised.
    """
    expected = with_output_paths(derivation, lookup, store_dir)
    for name, output in derivation.outputs.items():
        if output.path != expected.outputs[name].path:
            raise FormatError(
                f"derivation {derivation.name}: output {name!r} is {output.path}, "
                f"but its inputs lead to {expected.outputs[name].path}"
            )


def parse(text: str, name: str, store_dir: str = STORE_DIR) -> Derivation:
    """Return the derivation that the `.drv` text describes; inverse of `render`.

    `name` is the `.drv` object's name without the suffix.

    :raises FormatError: not an ATerm derivation, or one that names paths outside the store.
    """
    term = _Term(text)
    term.expect("Derive(")
    outputs = term.items(lambda: term.fields(term.string, 4))
    term.expect(",")
    input_derivations = term.items(term.input_derivation)
    term.expect(",")
    input_sources = term.items(term.string)
    term.expect(",")
    system = term.string()
    term.expect(",")
    builder = term.string()
    term.expect(",")
    arguments = term.items(term.string)
    term.expect(",")
    environment = term.items(lambda: term.fields(term.string, 2))
    term.expect(")")
    term.end()
    return Derivation(
        name=name,
        outputs=_unique([(fields[0], _output(fields, store_dir)) for fields in outputs], "output"),
        input_derivations=_unique(
            [(StorePath.parse_full(path, store_dir), names) for path, names in input_derivations],
            "input derivation",
        ),
        input_sources=frozenset(StorePath.parse_full(path, store_dir) for path in input_sources),
        system=system,
        builder=builder,
        arguments=tuple(arguments),
        environment=_unique([(fields[0], fields[1]) for fields in environment], "variable"),
    )


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _unique(pairs: Iterable[tuple[_Key, _Value]], what: str) -> dict[_Key, _Value]:
    found: dict[_Key, _Value] = {}
    for key, value in pairs:
        if key in found:
            raise FormatError(f"the derivation has the {what} {key!r} twice")
        found[key] = value
    return found


def _output(fields: tuple[str, ...], store_dir: str) -> Output:
    _, path, algorithm, digest = fields
    recursive = algorithm.startswith("r:")
    return Output(
        path=StorePath.parse_full(path, store_dir) if path else None,
        fixed=Hash.parse(digest, algorithm.removeprefix("r:")) if algorithm and digest else None,
        recursive=recursive,
    )


_Item = TypeVar("_Item")


class _Term:
    """A cursor over an ATerm text."""

    # Runs of ordinary characters and of escapes, so that a string costs one match.
    _STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
    _ESCAPE = re.compile(r"\\(.)", re.DOTALL)
    _UNESCAPED: ClassVar[Mapping[str, str]] = {"n": "\n", "r": "\r", "t": "\t"}

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def _fail(self, wanted: str) -> NoReturn:
        found = self._text[self._at : self._at + 20]
        raise FormatError(f"not a derivation: at {self._at} stands {found!r} instead of {wanted}")

    def expect(self, wanted: str) -> None:
        if not self._text.startswith(wanted, self._at):
            self._fail(repr(wanted))
        self._at += len(wanted)

    def end(self) -> None:
        if self._at != len(self._text):
            self._fail("the end")

    def string(self) -> str:
        match = self._STRING.match(self._text, self._at)
        if match is None:
            self._fail("a string")
        self._at = match.end()
        if "\\" not in match[1]:
            return match[1]
        return self._ESCAPE.sub(lambda escape: self._UNESCAPED.get(escape[1], escape[1]), match[1])

    def items(self, item: Callable[[], _Item]) -> list[_Item]:
        self.expect("[")
        items: list[_Item] = []
        while not self._text.startswith("]", self._at):
            if items:
                self.expect(",")
            items.append(item())
        self._at += 1
        return items

    def fields(self, item: Callable[[], str], count: int) -> tuple[str, ...]:
        self.expect("(")
        items = [item()]
        for _ in range(count - 1):
            self.expect(",")
            items.append(item())
        self.expect(")")
        return tuple(items)

    def input_derivation(self) -> tuple[str, tuple[str, ...]]:
        self.expect("(")
        path = self.string()
        self.expect(",")
        names = self.items(self.string)
        self.expect(")")
        return path, tuple(names)
