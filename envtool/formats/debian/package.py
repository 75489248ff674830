"""Packages: as a Packages index describes them, and as a lock pins them."""

import re
from collections.abc import Mapping
from typing import Any

from envtool.errors import FormatError
from envtool.formats.debian.control import Stanza, parse_stanza
from envtool.formats.debian.relations import Group, Relation, parse, parse_flat
from envtool.formats.debian.version import key
from envtool.values import value

__all__ = ["DebianPackage", "Origin", "Package", "pin", "read", "read_locked", "render_locked"]

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*").fullmatch
_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch
_POOL = re.compile(r"[A-Za-z0-9_+.~%:-]+(?:/[A-Za-z0-9_+.~%:-]+)*\.deb").fullmatch
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z").fullmatch
_SOURCE = re.compile(r"([a-z0-9][a-z0-9+.-]*)(?: \(([^()\s]+)\))?").fullmatch
_REBUILT = re.compile(r"\+b[0-9]+$")
"""What a binary package that was built again has behind its source's version."""
_DIGITS = re.compile(r"[0-9]{1,15}").fullmatch
_PRIORITIES = ("required", "important", "standard", "optional", "extra")


@value
class Origin:
    """Which part of an archive a package comes from."""

    archive: str
    """`debian` or `debian-security`: the name of a mirror's folder."""
    suite: str
    """Its codename, such as `trixie`."""
    component: str
    """Such as `main`."""


@value
class Package:
    """A package as the index describes it, with all that a closure depends on."""

    name: str
    version: str
    architecture: str
    """That of the index, or `all`."""
    origin: Origin
    path: str
    """Below the mirror's folder, such as `pool/main/h/hello/hello_2.10-3_amd64.deb`."""
    size: int
    """Bytes of the .deb."""
    sha256: str
    """Hexadecimal."""
    unpacked: int
    """About how many bytes its files take."""
    priority: int
    """From 0, required, to 4, extra."""
    essential: bool
    depends: tuple[Group, ...]
    """Pre-Depends and Depends."""
    conflicts: tuple[Relation, ...]
    """Conflicts and Breaks: in a closure there is no before and after."""
    provides: tuple[Relation, ...]
    summary: str
    """The first line of the description."""
    source: tuple[str, str]
    """Name and version of the source package that it was built from."""

    def __hash__(self) -> int:
        """Return a hash: the file is the package."""
        return hash(self.sha256)

    def __str__(self) -> str:
        """Return name and version."""
        return f"{self.name} {self.version}"


@value
class DebianPackage:
    """A package that a lock pins."""

    name: str
    version: str
    architecture: str
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal."""
    path: str
    """Below the mirror's folder, such as `pool/main/h/hello/hello_2.10-3_amd64.deb`."""
    archive: str
    """`debian` or `debian-security`."""
    suite: str
    component: str
    timestamp: str
    """When the suite was as it was locked: `20250520T000000Z`."""
    source: str = ""
    """Name and version of the source package, with a blank between; empty where they are what
    `source_name` and `source_version` would tell anyway."""

    @property
    def source_name(self) -> str:
        """The name of the source package: in a pool, that of the folder."""
        return self.source.partition(" ")[0] or _usual_source(self.path, self.version)[0]

    @property
    def source_version(self) -> str:
        """The version of the source package, mostly the package's own."""
        return self.source.partition(" ")[2] or _usual_source(self.path, self.version)[1]

    @property
    def filename(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


def read(text: str, origin: Origin) -> Package:
    """Return the package that a stanza of a Packages index describes.

    :raises FormatError: a field that is needed is missing or has another form.
    """
    stanza = parse_stanza(text, f"Packages of {origin.suite}/{origin.component}")
    name, path = _text(stanza, "package", _NAME), _text(stanza, "filename", _POOL)
    try:
        key(stanza.get("version", ""))
        pre = parse(stanza.get("pre-depends", ""))
        depends = parse(stanza.get("depends", ""))
        conflicts = parse_flat(stanza.get("conflicts", ""))
        breaks = parse_flat(stanza.get("breaks", ""))
        provides = parse_flat(stanza.get("provides", ""))
    except FormatError as error:
        raise FormatError(f"{name} of {origin.suite}/{origin.component}: {error}") from error
    _check_climbing(path)
    return Package(
        name=name,
        version=stanza["version"],
        architecture=_text(stanza, "architecture", _NAME),
        origin=origin,
        path=path,
        size=_number(stanza, "size"),
        sha256=_text(stanza, "sha256", _SHA256),
        unpacked=_number(stanza, "installed-size", "0") * 1024,
        priority=_priority(stanza.get("priority", "")),
        essential=stanza.get("essential") == "yes",
        depends=pre + depends,
        conflicts=conflicts + breaks,
        provides=provides,
        summary=stanza.get("description", "").partition("\n")[0],
        source=_source(stanza, name),
    )


def pin(package: Package, timestamp: str) -> DebianPackage:
    """Return what a lock says of a package; `timestamp` is that of its suite's Release file."""
    usual = _usual_source(package.path, package.version)
    return DebianPackage(
        name=package.name,
        version=package.version,
        architecture=package.architecture,
        size=package.size,
        sha256=package.sha256,
        path=package.path,
        archive=package.origin.archive,
        suite=package.origin.suite,
        component=package.origin.component,
        timestamp=timestamp,
        source="" if package.source == usual else " ".join(package.source),
    )


def _source(stanza: Stanza, name: str) -> tuple[str, str]:
    """Return the source package's name and version (Policy 5.6.1)."""
    found = _SOURCE(stanza.get("source", name).strip())
    if found is None:
        return name, stanza["version"]
    return found[1], found[2] or stanza["version"]


def _usual_source(path: str, version: str) -> tuple[str, str]:
    """Return name and version of a source package as an archive's pool tells them."""
    folder, _, file = path.rpartition("/")
    return folder.rpartition("/")[2] or file.partition("_")[0], _REBUILT.sub("", version)


def render_locked(package: DebianPackage) -> dict[str, Any]:
    """Return the table of a lock that pins the package; `read_locked` gives it back."""
    return {
        "name": package.name,
        "version": package.version,
        "architecture": package.architecture,
        "size": package.size,
        "sha256": package.sha256,
        "path": package.path,
        "archive": package.archive,
        "suite": package.suite,
        "component": package.component,
        "timestamp": package.timestamp,
        **({"source": package.source} if package.source else {}),
    }


def read_locked(table: Mapping[str, Any]) -> DebianPackage:
    """Return the package that a lock's table pins.

    :raises FormatError: with every fault of the table, one a line.
    """
    name = table.get("name")
    fields = (*_LOCKED, *(field for field in _MAY_BE if field in table))
    faults = [fault for field in fields if (fault := _fault(table, field))]
    if faults:
        raise FormatError("\n".join(f"{name or 'a package without name'}: {f}" for f in faults))
    return DebianPackage(
        **{field: table[field] for field in (*_LOCKED, *_MAY_BE) if field in table}
    )


def _is_version(text: str) -> bool:
    try:
        key(text)
    except FormatError:
        return False
    return True


_LOCKED: Mapping[str, Any] = {
    "name": _NAME,
    "version": _is_version,
    "architecture": _NAME,
    "size": None,
    "sha256": _SHA256,
    "path": lambda path: _POOL(path) and not _climbs(path),
    "archive": _NAME,
    "suite": _NAME,
    "component": _NAME,
    "timestamp": _TIMESTAMP,
}
"""Field to what its text must pass; None for the one that is a number."""


_MAY_BE: Mapping[str, Any] = {
    "source": re.compile(r"[a-z0-9][a-z0-9+.-]* [A-Za-z0-9.+~:-]+").fullmatch,
}


def _fault(table: Mapping[str, Any], field: str) -> str:
    found, form = table.get(field), {**_LOCKED, **_MAY_BE}[field]
    if found is None:
        return f"{field} is missing"
    if form is None:
        right = isinstance(found, int) and not isinstance(found, bool) and found >= 0
    else:
        right = isinstance(found, str) and bool(form(found))
    return "" if right else f"{field} is {found!r}, which is not its form"


def _climbs(path: str) -> bool:
    return not {".", ".."}.isdisjoint(path.split("/"))


def _check_climbing(path: str) -> None:
    if _climbs(path):
        raise FormatError(f"{path!r} leads out of the archive")


def _text(stanza: Stanza, field: str, form: Any) -> str:
    text = stanza.get(field, "")
    if not form(text):
        raise FormatError(
            f"{stanza.get('package', 'a package')}: {field.title()} is {text[:80]!r}, "
            "which is not its form"
        )
    return text


def _number(stanza: Stanza, field: str, default: str = "") -> int:
    text = stanza.get(field, default)
    return int(_text({**stanza, field: text}, field, _DIGITS))


def _priority(text: str) -> int:
    return _PRIORITIES.index(text) if text in _PRIORITIES else len(_PRIORITIES) - 1
