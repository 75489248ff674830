"""Values: frozen, slotted classes that are declared like dataclasses.

    @value
    class Artifact:
        filename: str
        size: int | None = None

`dataclasses` writes and compiles source for every class, 0.5 ms each: for the forty classes that an
everyday command loads that is a quarter of its time, `inspect` not counted. Here a class costs a
twentieth of that, and an instance about a microsecond more. To a type checker it is the same
(PEP 681). Left out is what nobody here uses: ordering, `field`, inheritance of fields.
"""

from __future__ import annotations

from operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TypeVar, dataclass_transform

    _Value = TypeVar("_Value")
else:  # every command loads this room, and few need what `typing` takes 4 ms to make

    def dataclass_transform(**_: bool) -> Callable[[Callable], Callable]:
        return lambda decorator: decorator


__all__ = ["asdict", "replace", "value"]

_FIELDS = "__match_args__"
_set = object.__setattr__


@dataclass_transform(frozen_default=True, eq_default=True)
def value(cls: type[_Value]) -> type[_Value]:
    """Make a class with annotations one of frozen values with these fields, in this order."""
    fields = tuple(cls.__annotations__)
    defaults = {name: cls.__dict__[name] for name in fields if name in cls.__dict__}
    namespace = {
        name: member
        for name, member in cls.__dict__.items()
        if name not in defaults and name not in {"__dict__", "__weakref__"}
    }
    state = attrgetter(*fields) if len(fields) > 1 else _alone(fields)
    namespace |= {
        "__slots__": fields,
        _FIELDS: fields,
        "__init__": _initialiser(cls.__name__, fields, defaults),
        "__setattr__": _frozen,
        "__delattr__": _frozen,
    }
    namespace.setdefault("__repr__", _shown)
    # Equality goes by the fields, of the very same class.
    namespace.setdefault("__eq__", _equality(state))
    namespace.setdefault("__hash__", lambda self: hash(state(self)))
    namespace["__reduce__"] = lambda self: (type(self), state(self))
    made: type[_Value] = type(cls.__name__, cls.__bases__, namespace)
    return made


def replace(old: _Value, **changes: Any) -> _Value:
    """Return the value with some of its fields changed."""
    fields: tuple[str, ...] = getattr(old, _FIELDS)
    return type(old)(**{name: getattr(old, name) for name in fields} | changes)


def asdict(old: object) -> dict[str, Any]:
    """Return the fields of a value by name; values among them likewise."""
    fields: tuple[str, ...] = getattr(old, _FIELDS)
    found = {name: getattr(old, name) for name in fields}
    return {
        name: asdict(each) if hasattr(type(each), _FIELDS) else each for name, each in found.items()
    }


def _alone(fields: tuple[str, ...]) -> Callable[[object], tuple[Any, ...]]:
    """Return what gives the only field, or none, as a tuple; `attrgetter` would not."""
    return lambda self: tuple(getattr(self, name) for name in fields)


def _initialiser(
    name: str, fields: tuple[str, ...], defaults: dict[str, Any]
) -> Callable[..., None]:
    known = frozenset(fields)

    def initialise(self: object, /, *given: Any, **named: Any) -> None:
        if len(given) > len(fields) or not known.issuperset(named):
            raise TypeError(f"{name} has the fields {', '.join(fields)} and no others")
        for field, each in zip(fields, given, strict=False):
            _set(self, field, each)
        for field in fields[len(given) :]:
            if field in named:
                _set(self, field, named[field])
            elif field in defaults:
                _set(self, field, defaults[field])
            else:
                raise TypeError(f"{name} needs {field}")
        if given and not named.keys().isdisjoint(fields[: len(given)]):
            raise TypeError(f"{name} got a field twice")

    return initialise


def _equality(state: Callable[[Any], Any]) -> Callable[[object, object], bool]:
    def equal(self: object, other: object) -> bool:
        if type(self) is not type(other):
            return False
        return bool(state(self) == state(other))

    return equal


def _frozen(self: object, name: str, *_: object) -> NoReturn:
    raise AttributeError(f"{type(self).__name__}.{name} cannot be changed: it is a value")


def _shown(self: object) -> str:
    fields: tuple[str, ...] = getattr(self, _FIELDS)
    inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in fields)
    return f"{type(self).__name__}({inside})"
