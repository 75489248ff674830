"""What a generation is: the record in its store object, read each time an environment is entered.

The object is a folder `<digest>-<name>-generation` with `generation.json` (this record),
`declaration` and `pylock.toml` (what it came from, as text) and `environment`, a relative symlink
to the environment. It holds no path of this machine.

Entering must be quick, so this room imports next to nothing and its classes are plain.
"""

from __future__ import annotations

from envtool.errors import FormatError
from envtool.formats.nix.storepath import StorePath
from envtool.formats.plain_json import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

RECORD = "generation.json"
DECLARATION = "declaration"
LOCK = "pylock.toml"
ENVIRONMENT = "environment"
_FORMAT = 1


class Package:
    """One package of a generation."""

    __slots__ = ("direct", "name", "path", "requires", "size", "version")

    def __init__(
        self,
        *,
        name: str,
        version: str | None,
        path: StorePath | None,
        size: int | None,
        direct: bool,
        requires: Sequence[str],
    ) -> None:
        self.name = name
        """Normalised (PEP 503)."""
        self.version = version
        """None when the lock does not know it: a local project with a dynamic version."""
        self.path = path
        """Its unpacked store object."""
        self.size = size
        """NAR bytes; None when the object is not valid here."""
        self.direct = direct
        """The declaration itself asks for it."""
        self.requires = tuple(requires)
        """Names of the packages of this environment that it requires."""

    @property
    def shown(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}" if self.version else self.name


class Record:
    """The contents of `generation.json`."""

    __slots__ = (
        "declaration_sha256",
        "environment",
        "hook",
        "impure",
        "kernel",
        "kind",
        "lock_digest",
        "name",
        "packages",
        "python",
        "system",
        "variables",
    )

    def __init__(
        self,
        *,
        name: str,
        environment: StorePath,
        python: str,
        impure: bool,
        kind: str,
        declaration_sha256: str,
        lock_digest: str,
        variables: dict[str, str],
        hook: str | None,
        kernel: str | None,
        packages: Sequence[Package],
        system: StorePath | None = None,
    ) -> None:
        self.name = name
        """The project's name, with the environment's behind a dot unless it is the default."""
        self.environment = environment
        self.python = python
        """Full version, `3.11.2`."""
        self.impure = impure
        """The interpreter is the host's."""
        self.kind = kind
        """Kind of the declaration (`envtool.formats.declarations.declaration.Kind`)."""
        self.declaration_sha256 = declaration_sha256
        """Base 16, of the declaration's text."""
        self.lock_digest = lock_digest
        """Digest of what the lock answers."""
        self.variables = variables
        self.hook = hook
        self.kernel = kernel
        """Display name in Jupyter; None when the environment has no ipykernel."""
        self.packages = tuple(packages)
        self.system = system
        """The system root whose /usr it has; None: the host's."""


def render(record: Record) -> bytes:
    """Return the record as canonical JSON; inverse of `parse`."""
    import json

    packages = [
        {
            "name": package.name,
            "version": package.version,
            "path": package.path,
            "size": package.size,
            "direct": package.direct,
            "requires": package.requires,
        }
        for package in record.packages
    ]
    fields = {name: getattr(record, name) for name in Record.__slots__}
    if record.system is None:
        del fields["system"]
    text = json.dumps({**fields, "packages": packages, "format": _FORMAT}, sort_keys=True, indent=1)
    return text.encode() + b"\n"


def parse(data: bytes, place: str) -> Record:
    """Return the record that `data` spells; `place` is named when it cannot be read.

    :raises FormatError: not JSON, or of a format that this envtool does not know.
    """
    try:
        fields = loads(data)
        if fields.pop("format") != _FORMAT:
            raise FormatError(
                f"{place} is of a newer format than this envtool knows",
                hint="use the envtool that made it, or make a new generation: envtool switch",
            )
        packages = [
            Package(**{**each, "path": StorePath.parse(each["path"]) if each["path"] else None})
            for each in fields.pop("packages")
        ]
        environment = StorePath.parse(fields.pop("environment"))
        system = StorePath.parse(fields.pop("system")) if "system" in fields else None
        return Record(**fields, environment=environment, packages=packages, system=system)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            f"{place} is damaged: {error}", hint="make a new generation: envtool switch"
        ) from error
