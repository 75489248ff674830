"""What an environment stands on: where its interpreter comes from, and its packages of Debian."""

from typing import TYPE_CHECKING, Literal

from envtool.values import value

if TYPE_CHECKING:
    from collections.abc import Iterable

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

    :raises LockError: the text is no lock.
    """
    from envtool.formats.lock_head import read_head, read_pinned, read_system
    from envtool.formats.locked import Pins

    is_host = read_head(lock, path).source == "host"
    return ground(Pins() if is_host else read_pinned(lock, path), read_system(lock, path))
