"""From a lock to derivations: pure, so that the same lock gives the same store paths everywhere.

One fixed-output fetch per artifact, one unpack per wheel, one interpreter, one environment that
joins them; a source package adds the environment of its build back end and the build itself.
A builder's version is an input, so that a builder that writes something else is another path.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from envtool.errors import LockError
from envtool.formats.nix import derivation as drv
from envtool.formats.nix.derivation import Derivation, Output
from envtool.formats.nix.hashing import Hash
from envtool.formats.nix.storepath import MAX_NAME_LENGTH, StorePath
from envtool.sources.interpreter import Interpreter
from envtool.values import value

if TYPE_CHECKING:
    from envtool.formats.lock import Artifact, LockedPackage

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
class Selected:
    """A locked package and the artifact chosen for this interpreter."""

    package: "LockedPackage"
    artifact: "Artifact | None"
    """None for a directory or a VCS commit."""
    source: StorePath | None = None
    """The store object with the source tree, for what must be built and is not editable."""
    project: str | None = None
    """Absolute path of an editable project; its source stays where it is."""
    fingerprint: str | None = None
    """Of an editable project's metadata files, so that their change builds it again."""
    build_requirements: tuple["Selected", ...] = ()
    inheriting: bool = False
    """Its libraries look where the interpreter's program does, too."""

    @property
    def is_fixed(self) -> bool:
        """Say whether the lock alone decides what it is."""
        return self.artifact is not None and self.artifact.path is None


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


def add_interpreter(made: Instantiation, interpreter: Interpreter) -> StorePath:
    """Add the interpreter and return its `.drv` path."""
    return made.add(_interpreter(interpreter))


def add_packages(
    made: Instantiation,
    selection: Sequence[Selected],
    python: StorePath,
    interpreter: Interpreter,
    *,
    system: StorePath | None = None,
) -> None:
    """Add what the selected packages are made of.

    `system` is the `.drv` path of a system root with a compiler, in which source packages are
    built; None: with the host's tools.

    :raises LockError: a package with neither artifact nor source.
    """
    for selected in selection:
        package = _package(made, selected, python, interpreter, system)
        made.packages[selected.package.name] = package


def add_environment(
    made: Instantiation,
    name: str,
    python: StorePath,
    interpreter: Interpreter,
    *,
    collisions: str = "refuse",
    system: StorePath | None = None,
) -> StorePath:
    """Add the environment `name` that joins the packages and return its `.drv` path.

    `collisions` is what happens when two packages claim one file: `refuse` or `warn`. `system` is
    the `.drv` path of its system root.
    """
    made.environment = _environment(
        made,
        f"{name}-env",
        made.packages | made.joined,
        python,
        interpreter,
        collisions=collisions,
        system=system,
    )
    return made.environment


def instantiate(
    name: str,
    selection: Sequence[Selected],
    interpreter: Interpreter,
    *,
    collisions: str = "refuse",
) -> Instantiation:
    """Return all derivations of the environment `name` that joins the selected packages."""
    made = Instantiation()
    python = add_interpreter(made, interpreter)
    add_packages(made, selection, python, interpreter)
    add_environment(made, name, python, interpreter, collisions=collisions)
    return made


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


def _interpreter(interpreter: Interpreter) -> Derivation:
    variables = {
        LOCAL: "1",
        "executable": interpreter.executable,
        "sha256": interpreter.sha256,
        "version": interpreter.version,
        "abi": interpreter.soabi,
    }
    name = store_name(f"{interpreter.implementation}-{interpreter.version}-host")
    return derivation(name, INTERPRETER, variables, system=f"{interpreter.machine}-linux")


def _package(
    made: Instantiation,
    selected: Selected,
    python: StorePath,
    interpreter: Interpreter,
    system: StorePath | None,
) -> StorePath:
    artifact = selected.artifact
    if artifact is not None and artifact.filename.endswith(".whl"):
        return _unpack(made, selected.package, artifact, inheriting=selected.inheriting)
    return _build(made, selected, python, interpreter, system)


def _fetch(made: Instantiation, artifact: "Artifact") -> StorePath:
    name = store_name(artifact.filename)
    variables = {
        "url": artifact.url or _file_url(artifact.path or ""),
        "outputHash": artifact.sha256,
        "outputHashAlgo": "sha256",
        "outputHashMode": "flat",
    }
    if artifact.size is not None:
        variables["size"] = str(artifact.size)
    output = Output(None, fixed=Hash("sha256", bytes.fromhex(artifact.sha256)))
    return made.add(derivation(name, FETCH, variables, output=output))


def _file_url(path: str) -> str:
    from urllib.parse import quote

    return f"file:{quote(path)}"


def _unpack(
    made: Instantiation, package: "LockedPackage", artifact: "Artifact", *, inheriting: bool
) -> StorePath:
    fetch = _fetch(made, artifact)
    variables = {"src": made.output(fetch).full(), "wheel": artifact.filename}
    if inheriting:
        variables["search"] = "inherited"
    name = store_name(f"{package.name}-{package.version or '0'}")
    return made.add(derivation(name, UNPACK, variables, [fetch]))


def _build(
    made: Instantiation,
    selected: Selected,
    python: StorePath,
    interpreter: Interpreter,
    system: StorePath | None,
) -> StorePath:
    """Add the environment of the build back end and the build in it."""
    package = selected.package
    tools = {
        each.package.name: _package(made, each, python, interpreter, system)
        for each in selected.build_requirements
    }
    environment = _environment(made, f"{package.name}-build-env", tools, python, interpreter)
    variables = {"environment": made.output(environment).full(), "package": package.name}
    inputs, sources = [environment], frozenset[StorePath]()
    if system is not None:
        variables[SYSTEM_ROOT] = made.output(system).full()
        inputs.append(system)
    if selected.project is not None:
        variables |= {
            LOCAL: "1",
            "project": selected.project,
            "fingerprint": selected.fingerprint or "",
        }
    elif selected.source is not None:
        variables["src"] = selected.source.full()
        sources = frozenset({selected.source})
    elif selected.artifact is not None:
        fetch = _fetch(made, selected.artifact)
        variables |= {"src": made.output(fetch).full(), "archive": selected.artifact.filename}
        inputs.append(fetch)
    else:
        raise LockError(f"the lock gives no source for {package.name}", hint="envtool lock")
    if package.vcs is not None:
        variables["commit"] = package.vcs.commit_id
        if package.vcs.subdirectory:
            variables["subdirectory"] = package.vcs.subdirectory
    name = store_name(f"{package.name}-{package.version or '0'}")
    machine = f"{interpreter.machine}-linux"
    return made.add(derivation(name, BUILD, variables, inputs, sources=sources, system=machine))


def _environment(
    made: Instantiation,
    name: str,
    packages: Mapping[str, StorePath],
    python: StorePath,
    interpreter: Interpreter,
    *,
    collisions: str = "refuse",
    system: StorePath | None = None,
) -> StorePath:
    joined = {each: made.output(path).full() for each, path in sorted(packages.items())}
    variables = {
        LOCAL: "1",
        "interpreter": made.output(python).full(),
        "packages": json.dumps(joined, separators=(",", ":")),
        "collisions": collisions,
    }
    inputs = [python, *packages.values()]
    if system is not None:
        variables[SYSTEM_ROOT] = made.output(system).full()
        inputs.append(system)
    return made.add(
        derivation(
            store_name(name),
            ENVIRONMENT,
            variables,
            inputs,
            system=f"{interpreter.machine}-linux",
        )
    )
