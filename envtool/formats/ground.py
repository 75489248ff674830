"""What an environment stands on: where its interpreter comes from, and its packages of Debian."""

from typing import TYPE_CHECKING, Literal

from envtool.values import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envtool.formats.debian.package import DebianPackage
    from envtool.formats.locked import LockedSystem, Pins

__all__ = ["HOST", "Deb", "Ground", "Use", "ground", "read_ground"]

Use = Literal["interpreter", "library", "system"]
"""What a package of Debian is there for: the interpreter, a library of it, or `[system]`."""


@value
class Deb:
    """One package of Debian."""

    name: str
    version: str
    use: Use
    direct: bool
    """The declaration names it."""


@value
class Ground:
    """What stands below the packages of Python."""

    source: str
    """Where the interpreter comes from: `host`, `debian` or `standalone`."""
    debs: tuple[Deb, ...] = ()
    """By use and name."""

    def without_libraries(self) -> "Ground":
        """Return the same as it is before anybody knows which libraries are needed."""
        return Ground(self.source, tuple(each for each in self.debs if each.use != "library"))


HOST = Ground("host")


def ground(pins: "Pins", system: "LockedSystem | None") -> Ground:
    """Return what a lock's interpreter and system packages are, as the user sees them."""
    named = {each.partition(" ")[0] for each in system.requested} if system else set()
    return Ground(
        pins.source,
        (
            *_debs(pins.packages, "interpreter"),
            *_debs((each.package for each in pins.libraries), "library"),
            *_debs(system.packages if system else (), "system", named),
        ),
    )


def _debs(
    packages: "Iterable[DebianPackage]", use: Use, named: "Iterable[str]" = ()
) -> "Iterable[Deb]":
    return (Deb(each.name, each.version, use, each.name in named) for each in packages)


def read_ground(lock: str, path: str) -> Ground:
    """Return what the text of a lock, which lies at or in `path`, says of it.

    The packages are not checked: a list of generations has many locks to look into.

    :raises LockError: the text is no lock.
    """
    from envtool.formats.lock_head import read_debian, read_head

    source = read_head(lock, path).source
    try:
        table = read_debian(lock)
        if source == "debian" and not table:
            return _thorough(lock, path)  # it is laid out in another way
        named = {str(each).partition(" ")[0] for each in table.get("requested", ())}
        return Ground(
            source,
            tuple(_deb(each, use, named) for use, key in _KEYS for each in table.get(key, ())),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return _thorough(lock, path)


_KEYS: "tuple[tuple[Use, str], ...]" = (
    ("interpreter", "interpreter"),
    ("library", "libraries"),
    ("system", "system"),
)
"""What packages are for, and the key of a lock that has them."""


def _deb(table: "Mapping[str, object]", use: Use, named: "set[str]") -> Deb:
    name = str(table["name"])
    return Deb(name, str(table["version"]), use, use == "system" and name in named)


def _thorough(lock: str, path: str) -> Ground:
    from envtool.formats.lock import parse

    parsed = parse(lock, path=path)
    return ground(parsed.python.pins, parsed.system)
