"""The lock as a software bill of materials: CycloneDX 1.6 in JSON.

<https://cyclonedx.org/docs/1.6/json/>. Nothing of the moment stands in it: the same lock gives the
same bytes, serial number included.
"""

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid5

from envtool.formats.locked import Artifact, Lock, LockedPackage

if TYPE_CHECKING:
    from envtool.formats.standalone import StandaloneArchive

__all__ = ["render"]

_SPACE = UUID("6f1a1f8e-2c43-5c2a-9d6b-5f0e7a3f9b11")
"""The namespace of our serial numbers."""


def render(lock: Lock, name: str, version: str) -> str:
    """Return the bill of what an environment is made of; `version` is envtool's."""
    components = [_component(each) for each in lock.packages]
    pins = lock.python.pins
    debs = [*pins.packages, *(each.package for each in pins.libraries)]
    debs += lock.system.packages if lock.system else ()
    # The interpreter's and those of /usr have some in common; a reference may stand there once.
    components += {each["bom-ref"]: each for each in map(_debian, debs)}.values()
    if pins.archive is not None:
        components.append(_standalone(pins.archive))
    bill: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "envtool", "version": version}]
            },
            "component": {"type": "application", "bom-ref": "root", "name": name},
        },
        "components": components,
        "dependencies": _dependencies(lock),
    }
    serial = uuid5(_SPACE, json.dumps(bill, sort_keys=True))
    return json.dumps({"serialNumber": f"urn:uuid:{serial}", **bill}, indent=2) + "\n"


def _component(package: LockedPackage) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "type": "library",
        "bom-ref": _reference(package),
        "name": package.name,
        "scope": "required",
    }
    if package.version is not None:
        shape |= {"version": package.version, "purl": _purl(package)}
    files = [*package.wheels, *filter(None, [package.sdist, package.archive])]
    references = [_distribution(file) for file in files if file.url is not None]
    if package.vcs is not None:
        references.append({"type": "vcs", "url": package.vcs.url})
    if len(files) == 1:
        shape["hashes"] = [{"alg": "SHA-256", "content": files[0].sha256}]
    if references:
        shape["externalReferences"] = references
    return shape


def _distribution(file: Artifact) -> dict[str, Any]:
    return {
        "type": "distribution",
        "url": file.url,
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
    }


def _reference(package: LockedPackage) -> str:
    return _purl(package) if package.version else f"local:{package.name}"


def _purl(package: LockedPackage) -> str:
    return f"pkg:pypi/{package.name}@{quote(package.version or '', safe='')}"


def _debian(package: Any) -> dict[str, Any]:
    version, architecture = quote(package.version, safe=""), package.architecture
    where = f"pkg:deb/debian/{quote(package.name)}@{version}?arch={architecture}"
    return {
        "type": "library",
        "bom-ref": where,
        "name": package.name,
        "version": package.version,
        "purl": where,
        "hashes": [{"alg": "SHA-256", "content": package.sha256}],
    }


def _standalone(archive: "StandaloneArchive") -> dict[str, Any]:
    return {
        "type": "platform",
        "bom-ref": f"python-build-standalone:{archive.version}",
        "name": "python-build-standalone",
        "version": archive.version,
        "hashes": [{"alg": "SHA-256", "content": archive.sha256}],
        "externalReferences": [{"type": "distribution", "url": archive.url}],
    }


def _dependencies(lock: Lock) -> list[dict[str, Any]]:
    known = {package.name: _reference(package) for package in lock.packages}
    direct = [known[package.name] for package in lock.packages if package.direct]
    own = [
        {
            "ref": known[package.name],
            "dependsOn": sorted({known[name] for name in package.dependencies if name in known}),
        }
        for package in lock.packages
    ]
    return [{"ref": "root", "dependsOn": sorted(direct)}, *own]
