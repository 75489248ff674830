"""Which artifact of each locked package an interpreter takes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from envtool.errors import LockError
from envtool.formats.locked import Artifact, Lock, LockedPackage

Selection = tuple[tuple[LockedPackage, Artifact | None], ...]

_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_WHEEL_PARTS = (5, 6)
"""`name-version-python-abi-platform`, with a build tag after the version or without."""


def wheel_tags(filename: str) -> tuple[str, ...]:
    """Return the compatibility tags of a wheel's file name, compressed sets expanded.

    A name that is no wheel's has none, so that it never fits.
    """
    parts = filename.removesuffix(".whl").split("-")
    if len(parts) not in _WHEEL_PARTS or not filename.endswith(".whl"):
        return ()
    return tuple("-".join(tag) for tag in product(*(part.split(".") for part in parts[-3:])))


def _build_order(filename: str) -> tuple[int, str]:
    """Return the sort key of a wheel's build tag; without one it sorts first."""
    parts = filename.split("-")
    if len(parts) != _WHEEL_PARTS[1]:
        return (-1, "")
    digits = parts[2][: len(parts[2]) - len(parts[2].lstrip("0123456789"))]
    return (int(digits or 0), parts[2][len(digits) :])


def _best_wheel(wheels: Sequence[Artifact], ranks: Mapping[str, int]) -> Artifact | None:
    best: int | None = None
    equals: list[Artifact] = []
    for wheel in wheels:
        for tag in wheel_tags(wheel.filename):
            rank = ranks.get(tag)
            if rank is not None and (best is None or rank < best):
                best, equals = rank, [wheel]
            elif rank is not None and rank == best:
                equals.append(wheel)
    return max(equals, key=lambda wheel: _build_order(wheel.filename), default=None)


def _glibc(platform: str) -> tuple[int, int] | None:
    """Return the glibc a wheel's platform tag asks for; None when it is no manylinux tag."""
    family, _, rest = platform.partition("_")
    if family in _LEGACY:
        return _LEGACY[family]
    numbers = rest.split("_")
    if family != "manylinux" or not all(number.isdigit() for number in numbers[:2]):
        return None
    return int(numbers[0]), int(numbers[1])


def _platforms(tags: Sequence[str]) -> Iterator[str]:
    return (tag.split("-", 2)[2] for tag in tags)


def _misfit(package: LockedPackage, tags: Sequence[str]) -> str:
    """Return in words why no wheel of a package fits."""
    wheels = package.wheels or ((package.archive,) if package.archive else ())
    offered = [tag for wheel in wheels for tag in wheel_tags(wheel.filename)]
    pairs = {tag.rsplit("-", 1)[0] for tag in tags}
    spoken = [tag for tag in offered if tag.rsplit("-", 1)[0] in pairs]
    if not spoken:
        named = ", ".join(sorted({tag.rsplit("-", 1)[0] for tag in offered})) or "none"
        return f"its wheels are for {named}; the interpreter is {tags[0].rsplit('-', 1)[0]}"
    machine = next(_platforms(tags)).removeprefix("linux_")
    ours = [platform for platform in _platforms(spoken) if platform.endswith(f"_{machine}")]
    needed = min(filter(None, map(_glibc, ours)), default=None)
    if needed is None:
        named = ", ".join(sorted(set(_platforms(spoken))))
        return f"its wheels are for {named}; the interpreter is {machine}"
    have = max(filter(None, map(_glibc, _platforms(tags))), default=None)
    has = f"has {have[0]}.{have[1]}" if have else "has none"
    return f"its wheels need glibc {needed[0]}.{needed[1]}, the interpreter {has} ({machine})"


def _holds(marker: str, environment: Mapping[str, str], package: LockedPackage) -> bool:
    from packaging.markers import (
        InvalidMarker,
        Marker,
        UndefinedComparison,
        UndefinedEnvironmentName,
    )

    try:
        return Marker(marker).evaluate(dict(environment), context="lock_file")
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName) as error:
        message = f"the lock's marker of {package.name}, {marker!r}, cannot be evaluated: {error}"
        raise LockError(message, hint="envtool lock") from error


def _artifact(package: LockedPackage, ranks: Mapping[str, int]) -> Artifact | None:
    """Return what a package is taken from; None when nothing fits (or nothing need fit)."""
    if package.archive is not None:
        is_wheel = package.archive.filename.endswith(".whl")
        return _best_wheel((package.archive,), ranks) if is_wheel else package.archive
    return _best_wheel(package.wheels, ranks) or package.sdist


def _check_python(lock: Lock, environment: Mapping[str, str]) -> None:
    version = environment["python_version"]
    if lock.declaration and version != lock.python.version:
        raise LockError(
            f"the lock is for Python {lock.python.version}, the interpreter is {version}",
            hint="envtool lock",
        )


def select(lock: Lock, *, tags: Sequence[str], marker_environment: Mapping[str, str]) -> Selection:
    """Return every package whose marker holds, with the artifact to take.

    `tags` are the interpreter's compatibility tags, best first. The artifact is the wheel with
    the best tag (the higher build number among equals), else the sdist; None for a directory or
    a VCS package.

    :raises LockError: when the lock is for another Python, when a package has nothing that fits
        (all of them are named), or when two entries of one package apply at once.
    """
    _check_python(lock, marker_environment)
    ranks = {tag: rank for rank, tag in reversed(tuple(enumerate(tags)))}
    chosen: dict[str, tuple[LockedPackage, Artifact | None]] = {}
    faults = []
    for package in lock.packages:
        if package.marker and not _holds(package.marker, marker_environment, package):
            continue
        if package.name in chosen:
            faults.append(f"the lock has two entries of {package.name} that apply at once")
        artifact = _artifact(package, ranks)
        if artifact is None and not (package.directory or package.vcs):
            shown = f"{package.name} {package.version or ''}".strip()
            faults.append(f"{shown} has nothing that fits: {_misfit(package, tags)}")
        chosen[package.name] = (package, artifact)
    if faults:
        hint = "ask for another version of it, or use another interpreter (ENVTOOL_PYTHON)"
        raise LockError("\n".join(faults), hint=hint)
    return tuple(chosen.values())
