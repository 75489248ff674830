"""The values a lock is made of; `envtool.formats.lock` reads and writes them."""

from typing import TYPE_CHECKING, Literal

from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.debian.package import DebianPackage
    from envtool.formats.standalone import StandaloneArchive


@value
class Artifact:
    """One file to fetch, pinned by its SHA-256."""

    filename: str
    url: str | None
    """None when `path` says where it lies."""
    path: str | None
    """Relative to the lock's folder, or absolute; None when `url` is given."""
    size: int | None
    """Bytes; None when the index did not say."""
    sha256: str
    """64 lower-case hex digits."""


@value
class Directory:
    """A local project."""

    path: str
    """Relative to the lock's folder, or absolute."""
    editable: bool


@value
class Vcs:
    """A commit of a repository."""

    type: str
    url: str
    commit_id: str
    subdirectory: str | None


@value
class LockedPackage:
    """One package; wheels and sdist, archive, directory or vcs says where it comes from."""

    name: str
    """Normalised (PEP 503)."""
    version: str | None
    """None for a directory or VCS package whose version is dynamic."""
    marker: str | None
    wheels: tuple[Artifact, ...] = ()
    sdist: Artifact | None = None
    archive: Artifact | None = None
    directory: Directory | None = None
    vcs: Vcs | None = None
    dependencies: tuple[str, ...] = ()
    """Normalised names of the packages in this lock that it requires; sorted."""
    direct: bool = False
    """The declaration itself asks for it."""


@value
class LockedLibrary:
    """A package of Debian that has libraries which packages of the lock need."""

    package: "DebianPackage"
    asked: tuple[str, ...]
    """Who asks, and for what: `opencv-python libGL.so.1`, `libgl1 libGLX.so.0`; sorted."""


@value
class Pins:
    """What an interpreter of our own is made of, and what it finds; nothing for the host's."""

    packages: "tuple[DebianPackage, ...]" = ()
    """Of Debian, by name."""
    archive: "StandaloneArchive | None" = None
    """None: the interpreter is one of Debian's, if there are packages."""
    libraries: tuple[LockedLibrary, ...] = ()
    """Those that wheels need and the interpreter is not made of; by name."""
    inheriting: tuple[str, ...] = ()
    """Packages whose libraries look where the interpreter's program does, too; sorted."""
    programs: tuple[str, ...] = ()
    """Packages with programs that the interpreter's loader can start; sorted."""
    headers: "tuple[DebianPackage, ...]" = ()
    """With C headers of the interpreter, for what is built from source."""

    @property
    def source(self) -> Literal["host", "debian", "standalone"]:
        """The word for where the interpreter comes from."""
        if self.archive is not None:
            return "standalone"
        return "debian" if self.packages else "host"


@value
class LockedPython:
    """The interpreter the lock was made for."""

    version: str
    """Feature release, `3.11`."""
    implementation: str
    """`cpython`."""
    platform: str
    """uv's name of the target, such as `x86_64-manylinux_2_40`; empty in another tool's lock."""
    pins: Pins = Pins()

    @property
    def source(self) -> Literal["host", "debian", "standalone"]:
        """The word for where it comes from."""
        return self.pins.source


@value
class BuildRequirements:
    """What the build back end of one source package needs, locked like everything else."""

    package: str
    packages: tuple[LockedPackage, ...]


@value
class LockedSystem:
    """The packages of Debian that make the environment's /usr."""

    requested: tuple[str, ...]
    """As the declaration asks for them."""
    allowed: tuple[str, ...]
    """Names of packages whose maintainer scripts may fail."""
    packages: "tuple[DebianPackage, ...]"
    """The closure, by name."""


_COMPILERS = frozenset({"clang", "gcc"})


def builds_inside(system: LockedSystem | None, pins: Pins) -> bool:
    """Say whether source packages are built in a system root, because it has a compiler.

    Not with the host's Python, which would not find its libraries there.
    """
    if system is None or pins.source == "host":
        return False
    return any(each.name in _COMPILERS for each in system.packages)


@value
class Lock:
    """A declaration's answer: every package and where its bytes come from."""

    python: LockedPython
    packages: tuple[LockedPackage, ...]
    """Sorted by name."""
    builds: tuple[BuildRequirements, ...]
    declaration: str
    """Digest of the declaration it answers; empty in another tool's lock."""
    system: "LockedSystem | None" = None


def is_source(package: LockedPackage) -> bool:
    """Return whether a package has to be built before it can be used."""
    if package.archive is not None:
        return not package.archive.filename.endswith(".whl")
    return bool(package.directory or package.vcs or package.sdist)


def basename(location: str) -> str:
    """Return the file name a URL or path ends in, percent signs decoded."""
    name = location.split("#", 1)[0].split("?", 1)[0].rsplit("/", 1)[-1]
    if "%" in name:
        from urllib.parse import unquote

        return unquote(name)
    return name


def package_order(package: LockedPackage) -> tuple[str, str, str]:
    """Return the sort key of packages in a lock."""
    return (package.name, package.version or "", package.marker or "")
