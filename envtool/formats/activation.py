"""Entering an environment, as a value: which variables are set, removed or led by what.

A change is applied to a mapping (`envtool run`), written for a shell that sources it after the
user's own start-up files (`envtool shell`), or handed on as JSON (kernels, editors). Entering
twice is entering once: an entry that is put first is taken out of its old place.

    entered = change(assign={"PYTHONPATH": ""}, unset=["PYTHON*"], prepend={"PATH": ["/e/bin"]})
    entered.apply({"PATH": "/usr/bin:/e/bin", "PYTHONHOME": "/x"})
    # {"PATH": "/e/bin:/usr/bin", "PYTHONPATH": ""}
"""

from __future__ import annotations

from envtool.errors import FormatError

__all__ = ["Dialect", "EnvironmentChange", "change", "compose", "led_by", "quoted"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Final, Literal

    Dialect = Literal["bash", "zsh", "fish", "json"]
else:
    Dialect = str

ANY = "*"
"""At the end of a name to be unset: every variable that starts so."""


class EnvironmentChange:
    """Removals, then assignments, then prepending; made by `change`, which checks and sorts.

    A value: compared and hashed by what it does. It is no dataclass because `envtool run` has no
    time to import `dataclasses`.
    """

    __slots__ = ("assigned", "prepended", "removed")

    def __init__(
        self,
        assigned: tuple[tuple[str, str], ...] = (),
        removed: tuple[str, ...] = (),
        prepended: tuple[tuple[str, tuple[str, ...]], ...] = (),
    ) -> None:
        self.assigned: Final = assigned
        """Name and value, sorted by name."""
        self.removed: Final = removed
        """Names, or beginnings of names followed by `*`; sorted."""
        self.prepended: Final = prepended
        """Name of a colon-separated list and what stands first in it, sorted by name."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EnvironmentChange) and self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    def __repr__(self) -> str:
        return "EnvironmentChange({!r}, {!r}, {!r})".format(*self._value())

    def _value(self) -> tuple[object, object, object]:
        return self.assigned, self.removed, self.prepended

    def apply(self, before: Mapping[str, str]) -> dict[str, str]:
        """Return the variables after the change; `before` is left alone."""
        after = {name: text for name, text in before.items() if not self.removes(name)}
        after.update(self.assigned)
        for name, entries in self.prepended:
            after[name] = led_by(entries, after.get(name, ""))
        return after

    def reverse(self, before: Mapping[str, str]) -> EnvironmentChange:
        """Return the change that leads from `apply(before)` back to `before`."""
        after = self.apply(before)
        restored = {name: text for name, text in before.items() if after.get(name) != text}
        gone = [name for name in after if name not in before]
        return EnvironmentChange(tuple(sorted(restored.items())), tuple(sorted(gone)))

    def removes(self, name: str) -> bool:
        """Return whether the first step of the change removes a variable."""
        return any(_covers(pattern, name) for pattern in self.removed)

    def render(self, dialect: Dialect) -> str:
        """Return the change as text that a shell of the dialect sources, or as JSON.

        Ends with a newline. JSON: `{"prepend": {NAME: [entry]}, "set": {NAME: value}, "unset":
        [name or beginning*]}`, to be done in the order unset, set, prepend. Undecodable bytes
        stand as lone surrogates (PEP 383): write the text with `surrogateescape`.

        :raises FormatError: when a name is none that a shell could hold.
        """
        if dialect == "json":
            return self._json()
        for name in self._names():
            _check_name(name)
        lines = _fish(self) if dialect == "fish" else _posix(self, dialect)
        return "".join(f"{line}\n" for line in lines)

    def _names(self) -> Iterator[str]:
        yield from (name for name, _ in self.assigned)
        yield from (name.removesuffix(ANY) for name in self.removed)
        yield from (name for name, _ in self.prepended)

    def shape(self) -> dict[str, dict[str, str] | dict[str, list[str]] | list[str]]:
        """Return the change as JSON has it (`render`)."""
        return {
            "prepend": {name: list(entries) for name, entries in self.prepended},
            "set": dict(self.assigned),
            "unset": list(self.removed),
        }

    def _json(self) -> str:
        import json

        return json.dumps(self.shape(), indent=2, sort_keys=True) + "\n"


def change(
    *,
    assign: Mapping[str, str] | None = None,
    unset: Iterable[str] = (),
    prepend: Mapping[str, Sequence[str]] | None = None,
) -> EnvironmentChange:
    """Return a change in its one normal form.

    :raises FormatError: for a name that no shell could hold, a NUL, or an entry with a colon.
    """
    assigned, led = dict(assign or {}), dict(prepend or {})
    removed = {name for name in unset if name not in assigned}
    made = EnvironmentChange(
        tuple(sorted(assigned.items())),
        tuple(sorted(removed)),
        tuple((name, tuple(dict.fromkeys(led[name]))) for name in sorted(led) if led[name]),
    )
    _check(made)
    return made


def compose(first: EnvironmentChange, second: EnvironmentChange) -> EnvironmentChange:
    """Return the one change that does `first` and then `second`."""
    assigned = {name: text for name, text in first.assigned if not second.removes(name)}
    led = {name: entries for name, entries in first.prepended if not second.removes(name)}
    for name, text in second.assigned:
        assigned[name] = text
        led.pop(name, None)
    for name, entries in second.prepended:
        led[name] = tuple(dict.fromkeys((*entries, *led.get(name, ()))))
    return change(assign=assigned, unset=(*first.removed, *second.removed), prepend=led)


def led_by(entries: Sequence[str], rest: str) -> str:
    """Return a colon-separated list with these entries first, and nowhere else."""
    kept = [entry for entry in rest.split(":") if entry not in entries] if rest else []
    return ":".join((*entries, *kept))


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith(ANY) else name == pattern


def _check(made: EnvironmentChange) -> None:
    for name in made._names():  # noqa: SLF001 - the value's own module
        _check_name(name)
    for name, text in made.assigned:
        _check_text(name, text)
    for name, entries in made.prepended:
        for entry in entries:
            _check_text(name, entry)
            if ":" in entry or not entry:
                raise FormatError(
                    f"{name} cannot be led by {entry!r}: expected an entry without a colon",
                    hint="a store lies at a path without a colon: set ENVTOOL_ROOT",
                )


def _check_name(name: str) -> None:
    if not (name.isascii() and name.isidentifier()):
        raise FormatError(
            f"{name!r} cannot name a variable: expected letters, digits and underscores"
        )


def _check_text(name: str, text: str) -> None:
    if "\0" in text:
        raise FormatError(f"the value of {name} has a NUL, which no variable can hold")


def _posix(made: EnvironmentChange, dialect: Dialect) -> Iterator[str]:
    for pattern in made.removed:
        if not pattern.endswith(ANY):
            yield f"unset {pattern}"
        elif dialect == "zsh":
            yield f"unset -m '{pattern}'"
        else:
            yield f"unset ${{!{pattern}}}"
    for name, text in made.assigned:
        yield f"export {name}={_quoted(text)}"
    for name, entries in made.prepended:
        yield from _posix_prepend(name, entries)


def _posix_prepend(name: str, entries: Sequence[str]) -> Iterator[str]:
    # Each old entry is framed by colons of its own, so that two equal neighbours are both found
    # and an empty entry (the working directory) is kept.
    yield f"_envtool_rest=${{{name}:+:${{{name}//:/::}}:}}"
    for entry in entries:
        yield f"_envtool_entry={_quoted(f':{entry}:')}"
        yield '_envtool_rest=${_envtool_rest//"$_envtool_entry"/}'
    yield f"_envtool_entry={_quoted(':'.join(entries))}${{_envtool_rest:+:}}"
    yield "_envtool_rest=${_envtool_rest#:}"
    yield "_envtool_rest=${_envtool_rest%:}"
    yield f"export {name}=$_envtool_entry${{_envtool_rest//::/:}}"
    yield "unset _envtool_rest _envtool_entry"


def _fish(made: EnvironmentChange) -> Iterator[str]:
    for pattern in made.removed:
        if pattern.endswith(ANY):
            yield f"for name in (set --global --names | string match '{pattern}')"
            yield "    set --erase --global $name"
            yield "end"
        else:
            yield f"set --erase --global {pattern}"
    for name, text in made.assigned:
        yield f"set --global --export {name} {_fish_quoted(text)}"
    for name, entries in made.prepended:
        listed = " ".join(_fish_quoted(entry) for entry in entries)
        yield f"set --global --export --path {name} ${name}"
        yield f"for entry in {listed}"
        yield f"    while set --local at (contains --index -- $entry ${name})"
        yield f"        set --erase {name}[$at]"
        yield "    end"
        yield "end"
        yield f"set --global --export --path {name} {listed} ${name}"


def quoted(text: str, dialect: Dialect) -> str:
    """Return a word that stands for the text in a shell of the dialect."""
    return _fish_quoted(text) if dialect == "fish" else _quoted(text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
