"""Reading a `pylock.toml` (PEP 751), ours or another tool's; `envtool.formats.lock` is the room."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from envtool.errors import FormatError, LockError
from envtool.formats.locked import (
    Artifact,
    BuildRequirements,
    Directory,
    Lock,
    LockedLibrary,
    LockedPackage,
    LockedPython,
    LockedSystem,
    Pins,
    Vcs,
    basename,
    package_order,
)

if TYPE_CHECKING:
    from envtool.formats.debian.package import DebianPackage
    from envtool.formats.standalone import StandaloneArchive

Table = Mapping[str, Any]

_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*").fullmatch
_FEATURE = re.compile(r"3\.[0-9]+").fullmatch
_LOWER_BOUND = re.compile(r"(?:>=|==|~=)\s*(3\.[0-9]+)").search


class _Reader:
    """One pylock being read; keeps every fault it meets."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.faults: list[str] = []

    def fault(self, where: str, message: str) -> None:
        self.faults.append(f"{self.path}: {where}: {message}")

    def text(self, table: Table, key: str, where: str, *, required: bool = False) -> str | None:
        value = table.get(key)
        if isinstance(value, str) and value:
            return value
        if value is not None:
            self.fault(where, f"{key} is {value!r}, expected a text")
        elif required:
            self.fault(where, f"{key} is missing")
        return None

    def strings(self, table: Table, key: str, where: str) -> list[str]:
        value = table.get(key, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        self.fault(where, f"{key} is not an array of texts")
        return []

    def tables(self, table: Table, key: str, where: str) -> list[Table]:
        value = table.get(key, [])
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return value
        self.fault(where, f"{key} is not an array of tables")
        return []

    def table(self, table: Table, key: str, where: str) -> Table | None:
        value = table.get(key)
        if value is None or isinstance(value, dict):
            return value
        self.fault(where, f"{key} is not a table")
        return None

    def sha256(self, table: Table, where: str) -> str:
        hashes = self.table(table, "hashes", where) or {}
        digest = hashes.get("sha256")
        if isinstance(digest, str) and _SHA256(digest.lower()):
            return digest.lower()
        said = "is missing" if digest is None else f"is {digest!r}, expected 64 hex digits"
        self.fault(where, f"hashes.sha256 {said}")
        return ""

    def size(self, table: Table, where: str) -> int | None:
        size = table.get("size")
        if size is None or (type(size) is int and size >= 0):
            return size
        self.fault(where, f"size is {size!r}, expected a number of bytes")
        return None

    def artifact(self, table: Table, where: str) -> Artifact:
        url = self.text(table, "url", where)
        path = None if url else self.text(table, "path", where)
        if url is None and path is None:
            self.fault(where, "neither url nor path says where it lies")
        filename = self.text(table, "name", where) or basename(url or path or "")
        if (url or path) and (filename in ("", ".", "..") or "/" in filename or "\0" in filename):
            self.fault(where, f"{filename!r} is no file name")
        return Artifact(filename, url, path, self.size(table, where), self.sha256(table, where))

    def artifact_at(self, table: Table, key: str, where: str) -> Artifact | None:
        found = self.table(table, key, where)
        if found is None:
            return None
        if "subdirectory" in found:
            self.fault(f"{where}: {key}", "subdirectory is not supported")
        return self.artifact(found, f"{where}: {key}")

    def directory(self, table: Table, where: str) -> Directory | None:
        found = self.table(table, "directory", where)
        if found is None:
            return None
        if "subdirectory" in found:
            self.fault(where, "directory.subdirectory is not supported")
        editable = found.get("editable", False)
        if not isinstance(editable, bool):
            self.fault(where, f"directory.editable is {editable!r}, expected true or false")
        path = self.text(found, "path", f"{where}: directory", required=True)
        return Directory(path or "", editable is True)

    def vcs(self, table: Table, where: str) -> Vcs | None:
        found = self.table(table, "vcs", where)
        if found is None:
            return None
        where = f"{where}: vcs"
        url = self.text(found, "url", where) or self.text(found, "path", where)
        if url is None:
            self.fault(where, "url is missing")
        kind = self.text(found, "type", where, required=True)
        commit = self.text(found, "commit-id", where, required=True)
        return Vcs(kind or "", url or "", commit or "", self.text(found, "subdirectory", where))

    def package(self, table: Table, where: str, direct: frozenset[str]) -> LockedPackage:
        name = self.text(table, "name", where, required=True) or ""
        if name and not _NAME(name):
            self.fault(where, f"{name!r} is not a normalised name")
        where = f"{where} {name}" if name else where
        wheels = self.tables(table, "wheels", where)
        package = LockedPackage(
            name=name,
            version=self.text(table, "version", where),
            marker=self.text(table, "marker", where),
            wheels=tuple(
                self.artifact(wheel, f"{where}: wheels[{number}]")
                for number, wheel in enumerate(wheels)
            ),
            sdist=self.artifact_at(table, "sdist", where),
            archive=self.artifact_at(table, "archive", where),
            directory=self.directory(table, where),
            vcs=self.vcs(table, where),
            dependencies=self.dependencies(table, where),
            direct=name in direct,
        )
        self.check_source(package, where)
        return package

    def check_source(self, package: LockedPackage, where: str) -> None:
        index = package.wheels or package.sdist
        sources = (index, package.archive, package.directory, package.vcs)
        if sum(bool(source) for source in sources) != 1:
            self.fault(where, "expected one of wheels or sdist, archive, directory, vcs")
        if index and package.version is None:
            self.fault(where, "version is missing")

    def dependencies(self, table: Table, where: str) -> tuple[str, ...]:
        if "dependencies" not in table:
            return ()
        tables = self.tables(table, "dependencies", where)
        names = {
            self.text(item, "name", f"{where}: dependencies", required=True) for item in tables
        }
        return tuple(sorted(name for name in names if name is not None))

    def packages(
        self, table: Table, where: str, direct: frozenset[str]
    ) -> tuple[LockedPackage, ...]:
        found = [
            self.package(item, f"{where}[{number}]", direct)
            for number, item in enumerate(self.tables(table, "packages", where))
        ]
        names = {package.name for package in found}
        for package in found:
            for name in package.dependencies:
                if name not in names:
                    self.fault(f"{where} {package.name}", f"its dependency {name} is not locked")
        return tuple(sorted(found, key=package_order))

    def builds(self, ours: Table) -> tuple[BuildRequirements, ...]:
        where = "tool.envtool.builds"
        found = (
            BuildRequirements(
                self.text(item, "package", f"{where}[{number}]", required=True) or "",
                self.packages(item, f"{where}[{number}].packages", frozenset()),
            )
            for number, item in enumerate(self.tables(ours, "builds", where))
        )
        return tuple(sorted(found, key=lambda build: build.package))

    def python(self, document: Table, ours: Table) -> LockedPython:
        table = self.table(ours, "python", "tool.envtool")
        if table is None:
            return LockedPython(self.foreign_feature(document), "cpython", "")
        where = "tool.envtool.python"
        version = self.text(table, "version", where, required=True) or ""
        if version and not _FEATURE(version):
            self.fault(where, f"version is {version!r}, expected a feature release such as 3.11")
        source = self.text(table, "source", where, required=True)
        if source not in (None, "host", "debian", "standalone"):
            self.fault(where, f"source is {source!r}, expected host, debian or standalone")
        implementation = self.text(table, "implementation", where, required=True)
        platform = table.get("platform", "")
        if not isinstance(platform, str):
            self.fault(where, f"platform is {platform!r}, expected a text")
            platform = ""
        implementation = implementation or ""
        pins = Pins()
        if source in {"debian", "standalone"}:
            archive = self.archive(table, where) if source == "standalone" else None
            pins = self.pins(ours, source, archive)
        return LockedPython(version, implementation, platform, pins)

    def archive(self, python: Table, where: str) -> "StandaloneArchive | None":
        from envtool.formats.standalone import read_locked

        table = self.table(python, "archive", where)
        try:
            return read_locked(table or {})
        except FormatError as error:
            for line in str(error).splitlines():
                self.fault(where, line)
        return None

    def pins(self, ours: Table, source: str, archive: "StandaloneArchive | None") -> Pins:
        where = "tool.envtool.debian"
        debian = self.table(ours, "debian", "tool.envtool") or {}
        tables = self.tables(debian, "interpreter", where)
        if not tables:
            self.fault(where, f"interpreter names no packages, but python.source is {source}")
        libraries = self.tables(debian, "libraries", where)
        headers = self.tables(debian, "headers", where)
        return Pins(
            tuple(filter(None, (self.debian(table, where) for table in tables))),
            archive,
            tuple(filter(None, (self.library(table, where) for table in libraries))),
            tuple(self.strings(debian, "inheriting", where)),
            tuple(self.strings(debian, "programs", where)),
            tuple(filter(None, (self.debian(table, where) for table in headers))),
        )

    def library(self, table: Table, where: str) -> LockedLibrary | None:
        package = self.debian(table, where)
        asked = self.strings(table, "asked", where)
        return LockedLibrary(package, tuple(asked)) if package else None

    def debian(self, table: Table, where: str) -> "DebianPackage | None":
        from envtool.formats.debian.package import read_locked

        try:
            return read_locked(table)
        except FormatError as error:
            for line in str(error).splitlines():
                self.fault(where, line)
        return None

    def system(self, ours: Table) -> LockedSystem | None:
        where = "tool.envtool.debian"
        debian = self.table(ours, "debian", "tool.envtool") or {}
        tables = self.tables(debian, "system", where)
        if not tables:
            return None
        return LockedSystem(
            tuple(self.strings(debian, "requested", where)),
            tuple(self.strings(debian, "allow-failures", where)),
            tuple(filter(None, (self.debian(table, where) for table in tables))),
        )

    def foreign_feature(self, document: Table) -> str:
        bounds = self.text(document, "requires-python", "requires-python") or ""
        if found := _LOWER_BOUND(bounds):
            return found[1]
        self.fault("requires-python", "neither it nor tool.envtool.python says which Python")
        return ""

    def lock(self, document: Table) -> Lock:
        tool = self.table(document, "tool", "tool") or {}
        ours = self.table(tool, "envtool", "tool") or {}
        direct = ours.get("direct", [])
        if not isinstance(direct, list) or not all(isinstance(name, str) for name in direct):
            self.fault("tool.envtool", f"direct is {direct!r}, expected names")
            direct = []
        return Lock(
            python=self.python(document, ours),
            packages=self.packages(document, "packages", frozenset(direct)),
            builds=self.builds(ours),
            declaration=self.text(ours, "declaration", "tool.envtool") or "",
            system=self.system(ours),
        )


def _document(text: str, path: str) -> Table:
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if re.search(r"^(<{7} |={7}$|>{7} )", text, re.MULTILINE):
            message = f"{path}: a merge left its conflict markers in it"
        else:
            message = f"{path}: not TOML: {error}"
        raise LockError(message, hint="envtool lock") from error


def parse(text: str, *, path: str) -> Lock:
    """Return the lock a `pylock.toml` holds: ours, or any other tool's.

    Another tool's lock has no declaration digest (so it is never current), no platform and no
    direct packages; its Python is the lower bound of `requires-python`. `path` is for messages.

    :raises LockError: with all faults, one per line; an artifact without a SHA-256 is one.
    """
    document = _document(text, path)
    reader = _Reader(path)
    version = document.get("lock-version")
    if not isinstance(version, str) or version.split(".")[0] != "1":
        said = "is missing" if version is None else f"is {version!r}"
        raise LockError(
            f"{path}: lock-version {said}; this envtool reads 1.x",
            hint="envtool lock",
        )
    lock = reader.lock(document)
    if reader.faults:
        raise LockError("\n".join(reader.faults), hint="envtool lock")
    return lock
