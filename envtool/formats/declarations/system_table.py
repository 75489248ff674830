"""The keys of `[system]`: which packages of Debian make the environment's /usr, and from where."""

import re

from envtool.formats.declarations.checked import Table
from envtool.formats.declarations.declaration import MAIN, SystemChoice

__all__ = ["DEBIAN_PACKAGE", "read_system"]

DEBIAN_PACKAGE = r"[a-z0-9][a-z0-9+.-]+(?: \((?:<<|<=|=|>=|>>) [^\s()]+\))?"
"""A package as it is asked for: by name, or name and version as Debian writes relations."""
_SUITE = r"[a-z0-9][a-z0-9.+-]*"


def read_system(system: Table) -> SystemChoice | None:
    """Read the table `[system]`; faults go to its list. None: it names no package."""
    system.refuse_unknown(("packages", "suite", "components", "allow-failures"))
    suite = system.string("suite", example="trixie")
    if suite is not None and not re.fullmatch(_SUITE, suite):
        system.fault("suite", f"'{suite}' is not the name of a suite of Debian, such as trixie")
    packages = _debian_names(system, "packages")
    if not packages and "packages" not in system.values:
        system.fault("packages", 'is missing: packages = ["graphviz"]')
    allowed, components = _debian_names(system, "allow-failures"), _components(system)
    return SystemChoice(packages, suite, allowed, components) if packages else None


def _components(system: Table) -> tuple[str, ...]:
    unlike = "the name of a part of a suite, such as main or contrib"
    found = {name for _, name in system.words("components", _SUITE, unlike)}
    if not system.values.get("components", [""]):
        system.fault("components", 'is empty: components = ["main", "contrib"]')
    return tuple(sorted(found)) or MAIN


def _debian_names(table: Table, key: str) -> tuple[str, ...]:
    unlike = "the name of a package of Debian: a-z, 0-9 and +.- only"
    return tuple(sorted({name for _, name in table.words(key, DEBIAN_PACKAGE, unlike)}))
