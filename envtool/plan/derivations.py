"""Derivations of ours: which builders they name, what those are told, and where they lead.

A builder's version is an input, so that a builder that writes something else is another path.
"""

import re
from collections.abc import Iterable, Mapping

from envtool.formats.nix import derivation as drv
from envtool.formats.nix.derivation import Derivation, Output
from envtool.formats.nix.storepath import MAX_NAME_LENGTH, StorePath
from envtool.values import value

FETCH = "builtin:fetchurl"
UNPACK = "builtin:unpack-wheel"
UNPACK_DEB = "builtin:unpack-deb"
UNPACK_STANDALONE = "builtin:unpack-standalone"
INTERPRETER = "builtin:host-interpreter"
DEBIAN_INTERPRETER = "builtin:debian-interpreter"
LIBRARIES = "builtin:debian-libraries"
LOCAL_INTERPRETER = "builtin:local-interpreter"
LOCAL_PROGRAMS = "builtin:local-programs"
DEBIAN_ROOT = "builtin:debian-root"
ENVIRONMENT = "builtin:environment"
BUILD = "builtin:build-project"
SYSTEM_ROOT = "systemRoot"
"""The variable of an environment, or of a build, that names its system root."""
LOCAL = "envtoolLocal"
"""The variable that marks a derivation whose output holds paths of this machine."""

VERSIONS = {
    UNPACK: "1",
    UNPACK_DEB: "1",
    UNPACK_STANDALONE: "1",
    INTERPRETER: "1",
    DEBIAN_INTERPRETER: "4",
    LIBRARIES: "3",
    LOCAL_INTERPRETER: "3",
    LOCAL_PROGRAMS: "1",
    DEBIAN_ROOT: "1",
    ENVIRONMENT: "2",
    BUILD: "2",
}
"""What each builder writes, by number; raise it when the output changes."""


@value
class Known:
    """A derivation by what others need to know of it."""

    derivation: StorePath
    """Its `.drv` path."""
    output: StorePath
    modulo: str
    """Its base-16 hash modulo fixed outputs, by which its users count it."""


class Instantiation:
    """Derivations, and what they lead to."""

    def __init__(self) -> None:
        self.derivations: dict[StorePath, Derivation] = {}
        """By `.drv` path, each after its inputs."""
        self.packages: dict[str, StorePath] = {}
        """Normalised name to the `.drv` whose output is the unpacked package."""
        self.joined: dict[str, StorePath] = {}
        """Of a package the `.drv` of what an environment joins in its place, where there is one."""
        self.environment: StorePath | None = None
        """The `.drv` that joins them."""
        self._known: dict[StorePath, Known] = {}

    def add(self, unfinished: Derivation) -> StorePath:
        """Compute the derivation's output paths, keep it, and return its `.drv` path."""
        finished = drv.with_output_paths(unfinished, self._modulo)
        path = drv.derivation_path(finished)
        if path not in self.derivations:
            self.derivations[path] = finished
            modulo = drv.hash_modulo(finished, self._modulo)
            self.know(Known(path, finished.output_path(), modulo))
        return path

    def know(self, known: Known) -> None:
        """Let a derivation be an input, whether it is kept here or is realised already."""
        self._known[known.derivation] = known

    def known(self, path: StorePath) -> Known:
        """Return what is known of a derivation."""
        return self._known[path]

    def output(self, path: StorePath) -> StorePath:
        """Return the output path of one of the derivations."""
        return self._known[path].output

    def _modulo(self, path: StorePath) -> str:
        return self._known[path].modulo


def store_name(text: str) -> str:
    """Return `text` as the name of a store object: other characters become `_`."""
    name = re.sub(r"[^A-Za-z0-9+\-._?=]", "_", text).lstrip(".")
    return name[:MAX_NAME_LENGTH] or "_"


def derivation(
    name: str,
    builder: str,
    environment: Mapping[str, str],
    inputs: Iterable[StorePath] = (),
    *,
    output: Output | None = None,
    sources: frozenset[StorePath] = frozenset(),
    system: str = "builtin",
) -> Derivation:
    """Return a derivation for one of the builders, whose output paths are yet to be computed."""
    variables = {**environment, "builder": builder, "name": name, "system": system}
    if builder in VERSIONS:
        variables["builderVersion"] = VERSIONS[builder]
    return Derivation(
        name=name,
        outputs={"out": output or Output(None)},
        input_derivations=dict.fromkeys(inputs, ("out",)),
        input_sources=sources,
        system=system,
        builder=builder,
        arguments=(),
        environment=variables,
    )
